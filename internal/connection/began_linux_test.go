package connection_test

import (
	"net"
	"net/netip"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/internal/connection"
)

// A container began a connection if it has the socket, on a port where it does not listen, also after it closed it.
func TestBegan(t *testing.T) {
	running(t)
	groups, err := os.ReadFile("/proc/self/cgroup")
	require.NoError(t, err)
	self := connection.Container{PID: os.Getpid(), ID: string(groups)}
	end := func(a net.Addr) netip.AddrPort { return a.(*net.TCPAddr).AddrPort() }
	began := func(own, remote net.Addr) bool {
		seen, err := connection.Began(self, end(own), end(remote))
		require.NoError(t, err)
		return seen
	}
	for _, at := range []string{"127.0.0.1:8099", "[::1]:8099"} {
		_, conns := serve(t, "tcp", at)
		client, err := net.Dial("tcp", at)
		require.NoError(t, err)
		server := <-conns
		require.True(t, began(client.LocalAddr(), client.RemoteAddr()))
		require.False(t, began(server.LocalAddr(), server.RemoteAddr()), "it accepted that one")
		other := *client.RemoteAddr().(*net.TCPAddr)
		other.Port++
		require.False(t, began(client.LocalAddr(), &other), "another remote end")
		require.NoError(t, client.Close())
		require.NoError(t, server.Close())
		require.True(t, began(client.LocalAddr(), client.RemoteAddr()), "TIME_WAIT")
	}
	_, err = connection.Began(connection.Container{PID: os.Getpid(), ID: "another"}, netip.MustParseAddrPort("127.0.0.1:1"), netip.MustParseAddrPort("127.0.0.1:2"))
	require.ErrorContains(t, err, "is not seen here")
}

func BenchmarkBegan(b *testing.B) {
	groups, err := os.ReadFile("/proc/self/cgroup")
	require.NoError(b, err)
	for b.Loop() {
		_, err := connection.Began(connection.Container{PID: os.Getpid(), ID: string(groups)}, netip.MustParseAddrPort("127.0.0.1:1"), netip.MustParseAddrPort("127.0.0.1:2"))
		require.NoError(b, err)
	}
}

package connection_test

import (
	"context"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/ironpost/ironpost/internal/connection"
	"github.com/ironpost/ironpost/internal/testenv"
)

func TestMain(m *testing.M) { os.Exit(testenv.RunInOwnNetwork(m)) }

const (
	patience = 10 * time.Second
	tick     = 5 * time.Millisecond
)

func running(t *testing.T) *connection.Watcher {
	t.Helper()
	testenv.Require(t, "a network namespace", testenv.InOwnNetwork())
	lo, err := netlink.LinkByName("lo")
	require.NoError(t, err)
	require.NoError(t, netlink.LinkSetUp(lo))
	w := connection.NewWatcher()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	t.Cleanup(func() { cancel(); require.NoError(t, <-done) })
	return w
}

// serve listens on addr and hands over the server's ends.
func serve(t *testing.T, network, addr string) (net.Listener, chan net.Conn) {
	t.Helper()
	l, err := net.Listen(network, addr)
	require.NoError(t, err)
	conns := make(chan net.Conn, 16)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conns <- c
		}
	}()
	t.Cleanup(func() { _ = l.Close() })
	return l, conns
}

// dialFrom connects from an address of the loopback network.
func dialFrom(t *testing.T, from, to string) net.Conn {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	c, err := d.Dial("tcp", to)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func inbound(t *testing.T, w *connection.Watcher, from, service string, since time.Time) bool {
	t.Helper()
	seen, err := w.Inbound(connection.Query{Remote: netip.MustParseAddr(from), Service: service, Since: since})
	require.NoError(t, err)
	return seen
}

// An open connection and one that ended count, whoever closed it first; another address, another service and an
// earlier time do not.
func TestInboundConnections(t *testing.T) {
	w := running(t)
	began := time.Now()
	for _, tt := range []struct{ network, listen, to string }{
		{"tcp4", "127.0.0.1:22", "127.0.0.1:22"}, {"tcp", ":22", "127.0.0.1:22"}, {"tcp4", "0.0.0.0:22", "127.0.0.1:22"},
	} {
		l, conns := serve(t, tt.network, tt.listen)
		for i, first := range []string{"client", "server"} {
			from := []string{"127.0.0.41", "127.0.0.42"}[i]
			client := dialFrom(t, from, tt.to)
			server := <-conns
			require.True(t, inbound(t, w, from, "sshd", began), "open")
			require.True(t, inbound(t, w, "::ffff:"+from, "sshd", began))
			require.False(t, inbound(t, w, "127.0.0.43", "sshd", began), "another address")
			require.False(t, inbound(t, w, from, "webserver", began), "another service")
			require.False(t, inbound(t, w, from, "other", began), "an unknown service")
			a, b := client, server
			if first == "server" {
				a, b = server, client
			}
			require.NoError(t, a.Close())
			_, err := io.ReadAll(b)
			require.NoError(t, err)
			require.NoError(t, b.Close())
			require.Eventually(t, func() bool { return inbound(t, w, from, "sshd", began) }, patience, tick, "ended")
		}
		require.NoError(t, l.Close())
	}
}

// A handshake that is not complete proves no address, and a connection of this host to a service elsewhere is not
// inbound.
func TestOutgoingConnectionsDoNotCount(t *testing.T) {
	w := running(t)
	began := time.Now()
	_, conns := serve(t, "tcp4", "127.0.0.9:8080")
	client := dialFrom(t, "127.0.0.51", "127.0.0.9:8080")
	server := <-conns
	require.True(t, inbound(t, w, "127.0.0.51", "webserver", began))
	require.False(t, inbound(t, w, "127.0.0.9", "webserver", began), "the remote end of the client's socket")
	require.NoError(t, client.Close())
	require.NoError(t, server.Close())
	_, err := net.DialTimeout("tcp", "127.0.0.9:8443", patience)
	require.ErrorIs(t, err, syscall.ECONNREFUSED)
	require.False(t, inbound(t, w, "127.0.0.9", "webserver", began))
}

// Without the privilege nothing is known of containers, and the watcher says why, as long as it is so.
func TestConnectionsToContainersNeedAPrivilege(t *testing.T) {
	w := running(t)
	q := connection.Query{Remote: netip.MustParseAddr("127.0.0.61"), Container: &connection.Container{ID: "c", Addresses: []netip.Addr{netip.MustParseAddr("172.17.0.2")}}}
	ask := func(drop bool) (err error) {
		done := make(chan struct{})
		go func() { // its thread ends with it
			defer close(done)
			runtime.LockOSThread()
			var data [2]unix.CapUserData
			header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
			if err = unix.Capget(&header, &data[0]); err != nil {
				return
			}
			if drop {
				data[0].Effective &^= 1 << unix.CAP_NET_ADMIN
			}
			if err = unix.Capset(&header, &data[0]); err != nil {
				return
			}
			_, err = w.Inbound(q)
		}()
		<-done
		return err
	}
	require.ErrorIs(t, ask(true), unix.EPERM)
	require.ErrorIs(t, w.TrackErr(), unix.EPERM)
	require.Eventually(t, func() bool { return ask(false) == nil }, patience, tick)
	require.NoError(t, w.TrackErr())
}

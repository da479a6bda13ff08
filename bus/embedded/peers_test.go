package embedded_test

import (
	"net"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
)

// Who has shown a key is a peer; who only connects is not, else an attacker became one.
func TestPeersHaveShownAKey(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	stranger, err := net.Dial("tcp", f.address)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, stranger.Close()) })
	greeting := make([]byte, 4) // the server has taken it in
	_, err = stranger.Read(greeting)
	require.NoError(t, err)
	require.Empty(t, f.bus.Server().Peers())

	nc, err := f.connect(f.ca.Client(), f.key)
	require.NoError(t, err)
	require.True(t, nc.IsConnected())
	require.Equal(t, []netip.Addr{netip.MustParseAddr("127.0.0.1")}, f.bus.Server().Peers())
}

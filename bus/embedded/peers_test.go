package embedded_test

import (
	"net"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
)

// A connection with a key is a peer; one without is not, or an attacker could become one.
func TestPeersAreAuthenticatedConnections(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	unauthenticated, err := net.Dial("tcp", f.address)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, unauthenticated.Close()) })
	greeting := make([]byte, 4) // the server has taken it in
	_, err = unauthenticated.Read(greeting)
	require.NoError(t, err)
	require.Empty(t, f.bus.Server().Peers())

	nc, err := f.connect(f.ca.Client(), f.key)
	require.NoError(t, err)
	require.True(t, nc.IsConnected())
	require.Equal(t, []netip.Addr{netip.MustParseAddr("127.0.0.1")}, f.bus.Server().Peers())
}

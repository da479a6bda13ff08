package embedded

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// from is a connection of an address.
type from struct {
	net.Conn

	addr   net.Addr
	closed bool
}

func connFrom(addr string) *from {
	return &from{addr: net.TCPAddrFromAddrPort(netip.MustParseAddrPort(addr))}
}

func (c *from) RemoteAddr() net.Addr { return c.addr }

func (c *from) Close() error {
	c.closed = true
	return nil
}

// Whoever holds as many connections as one address may, and shows no key, does not keep out others behind that address.
func TestOldestWithoutKeyGivesWayToItsSource(t *testing.T) {
	t.Parallel()
	for name, addrs := range map[string][4]string{
		"IPv4": {"192.0.2.9:1", "192.0.2.1:1", "192.0.2.1:2", "192.0.2.1:3"},
		"IPv6": {"[2001:db8:9::1]:1", "[2001:db8::1]:1", "[2001:db8::2]:1", "[2001:db8::3]:1"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSlots(limits{total: 8, pending: 8, fromSource: 2, perKey: 2})
			var conns []*from
			for _, addr := range addrs {
				c := connFrom(addr)
				require.True(t, s.take(c), addr)
				conns = append(conns, c)
			}
			require.False(t, conns[0].closed, "the oldest of all is of another source")
			require.True(t, conns[1].closed)
			require.ErrorIs(t, s.admit(conns[1], "key", time.Time{}), errNoSlot)
			require.NoError(t, s.admit(conns[3], "key", time.Time{}))
			require.Equal(t, 3, s.count())
		})
	}
}

func TestOldestWithoutKeyGivesWayAtTheLimitOfAll(t *testing.T) {
	t.Parallel()
	s := newSlots(limits{total: 2, pending: 2, fromSource: 2, perKey: 2})
	admitted, pending, late := connFrom("192.0.2.1:1"), connFrom("192.0.2.2:1"), connFrom("192.0.2.3:1")
	require.True(t, s.take(admitted))
	require.NoError(t, s.admit(admitted, "key", time.Time{}))
	require.True(t, s.take(pending))
	require.True(t, s.take(late))
	require.True(t, pending.closed)
	require.NoError(t, s.admit(late, "key", time.Time{}))
	require.False(t, s.take(connFrom("192.0.2.4:1")), "all have shown a key")
	require.False(t, admitted.closed)
}

// Connections that gave way cost memory until their goroutines have ended, so their number is bounded, too.
func TestConnectionsThatGaveWayAreBounded(t *testing.T) {
	t.Parallel()
	s := newSlots(limits{total: 8, pending: 4, fromSource: 4, perKey: 4})
	var taken []*from
	for {
		c := connFrom("192.0.2.1:1")
		if !s.take(c) {
			break
		}
		taken = append(taken, c)
		require.Less(t, len(taken), 100)
	}
	require.Len(t, taken, 8, "four wait for a key, four end")
	s.release(taken[0])
	require.True(t, s.take(connFrom("192.0.2.1:1")))
	for _, c := range taken[1:] {
		s.release(c)
	}
	require.Equal(t, 1, s.count())
	require.Zero(t, s.evicted)
}

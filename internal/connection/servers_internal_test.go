package connection

import (
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A user's socket on a port that any user may take proves nothing: the user can connect from it to the address that is to be blocked.
func TestSocketsOfUsersAboveThePrivilegedPortsDoNotCount(t *testing.T) {
	t.Parallel()
	listener := func(port uint16, uid uint32) socket {
		return socket{local: netip.AddrPortFrom(netip.IPv4Unspecified(), port), listening: true, uid: uid}
	}
	root, privileged, user := listener(8443, 0), listener(443, 33), listener(8080, 1000)
	var o owners
	require.Equal(t, []socket{root, privileged}, o.servers([]socket{root, privileged, user}, "webserver"))
	require.Empty(t, o.servers([]socket{listener(2222, 1000)}, "sshd"))
}

// Whose the listening sockets are is looked up once for all queries: lines about an address that is connected cost no look each.
func TestListenersAreLookedUpOncePerLook(t *testing.T) {
	const queries = 256
	remote := netip.MustParseAddr("203.0.113.7")
	w := NewWatcher()
	w.dumped = time.Now().Add(time.Hour) // no look at the kernel
	w.sockets = []socket{{local: netip.MustParseAddrPort("192.0.2.1:22"), remote: netip.AddrPortFrom(remote, 40000)}}
	w.servers = []socket{{local: netip.MustParseAddrPort("0.0.0.0:22"), listening: true}}
	w.owners = owners{"sshd": {at: w.dumped}}
	asked := make([]Query, queries)
	for i := range asked {
		asked[i] = Query{Remote: remote, Service: "sshd"}
	}
	require.Less(t, testing.AllocsPerRun(10, func() {
		seen, err := w.Seen(asked)
		require.NoError(t, err)
		require.True(t, seen[queries-1])
	}), float64(queries))
}

package connection

import (
	"net/netip"
	"testing"

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

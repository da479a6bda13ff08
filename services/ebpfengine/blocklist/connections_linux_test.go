package blocklist_test

import (
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/services/ebpfengine/blocklist"
)

func TestConnectedPeersAreThoseOfTheNetwork(t *testing.T) {
	t.Parallel()
	const tcp6 = `  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000000000000000000000000000:0016 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 11 1 0
   1: B80D0120000000000000000002000000:0016 B80D0120000000000000000007000000:C001 01 00000000:00000000 00:00000000 00000000     0        0 12 1 0
   2: B80D0120000000000000000002000000:0016 B80D0120000000000000000008000000:C001 06 00000000:00000000 00:00000000 00000000     0        0 0 1 0
   3: B80D0120000000000000000002000000:0016 B80D0120010000000000000009000000:C001 01 00000000:00000000 00:00000000 00000000     0        0 13 1 0
`
	const tracked = `ipv6     10 tcp      6 431999 ESTABLISHED src=2001:db8::a dst=2001:db8:5::2 sport=1 dport=443 src=2001:db8:6::2 dst=2001:db8::a sport=443 dport=1 [ASSURED] mark=0 use=1
ipv6     10 tcp      6 100 TIME_WAIT src=2001:db8::b dst=2001:db8:5::2 sport=1 dport=443 src=2001:db8:5::2 dst=2001:db8::b sport=443 dport=1 [ASSURED] mark=0 use=1
ipv6     10 udp      17 20 src=2001:db8::c dst=2001:db8:5::2 sport=1 dport=443 [UNREPLIED] src=2001:db8:5::2 dst=2001:db8::c sport=443 dport=1 mark=0 use=1
ipv6     10 udp      17 20 src=2001:db8:5::2 dst=2001:db8::d sport=1 dport=443 src=2001:db8::d dst=2001:db8:5::2 sport=443 dport=1 [ASSURED] mark=0 use=1
ipv4     2 tcp      6 431999 ESTABLISHED src=192.0.2.1 dst=192.0.2.2 sport=1 dport=443 src=192.0.2.2 dst=192.0.2.1 sport=443 dport=1 [ASSURED] mark=0 use=1
`
	root := t.TempDir()
	write := func(name, text string) {
		path := filepath.Join(root, "proc", name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	}
	write("net/tcp6", tcp6)
	peers := func() []netip.Addr {
		found, err := blocklist.ConnectedPeers(root, netip.MustParsePrefix("2001:db8::/64"))
		require.NoError(t, err)
		return found
	}
	require.Equal(t, []netip.Addr{netip.MustParseAddr("2001:db8::7")}, peers(), "without forwarding and connection tracking")

	write("net/nf_conntrack", tracked)
	require.Equal(t, []netip.Addr{netip.MustParseAddr("2001:db8::7"), netip.MustParseAddr("2001:db8::a"), netip.MustParseAddr("2001:db8::d")}, peers())

	require.NoError(t, os.Remove(filepath.Join(root, "proc/net/nf_conntrack")))
	write("sys/net/ipv6/conf/all/forwarding", "1\n")
	_, err := blocklist.ConnectedPeers(root, netip.MustParsePrefix("2001:db8::/64"))
	require.ErrorContains(t, err, "connections that this host forwards")
}

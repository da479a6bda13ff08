package blocklist_test

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/services/ebpfengine/blocklist"
)

// system returns a folder that looks like a root file system with files.
func system(t testing.TB, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	}
	return root
}

func ofKind(list []blocklist.ProtectedAddress, kind string) []string {
	var all []string
	for _, l := range list {
		if l.Kind == kind {
			all = append(all, l.Prefix.String())
		}
	}
	return all
}

func TestServersAreReadFromSystemFiles(t *testing.T) {
	t.Parallel()
	root := system(t, map[string]string{
		"etc/resolv.conf":                         "# made by hand\nsearch example.org\nnameserver 127.0.0.53\nnameserver 192.0.2.53 # main\n nameserver\t2001:db8::53\nnameserver fe80::1%eth0\nnameserver rubbish\nnameserver\n",
		"run/systemd/resolve/resolv.conf":         "nameserver 198.51.100.53\n",
		"run/systemd/netif/leases/2":              "ADDRESS=192.0.2.10\nSERVER_ADDRESS=192.0.2.67\nROUTER=192.0.2.1\n",
		"var/lib/NetworkManager/internal-x.lease": "SERVER_ADDRESS=192.0.2.68\n",
		"var/lib/dhcp/dhclient.eth0.leases":       "lease {\n  option dhcp-server-identifier 192.0.2.69;\n}\nlease {\n  option dhcp-server-identifier evil;\n}\n",
	})
	list, problems := blocklist.NetworkAddresses(root, []netip.Addr{netip.MustParseAddr("::ffff:203.0.113.22")})
	require.Empty(t, problems)
	require.Equal(t, []string{"127.0.0.53/32", "192.0.2.53/32", "2001:db8::53/128", "fe80::1/128", "198.51.100.53/32"}, ofKind(list, blocklist.DNSServer))
	require.Equal(t, []string{"192.0.2.67/32", "192.0.2.68/32", "192.0.2.69/32"}, ofKind(list, blocklist.DHCPServer))
	require.Equal(t, []string{"203.0.113.22/32"}, ofKind(list, blocklist.BusPeer))
	require.NotEmpty(t, ofKind(list, blocklist.OwnAddress))

	list, omitted := blocklist.FitAllowList(list)
	require.Zero(t, omitted)
	require.Equal(t, []string{"192.0.2.53/32", "198.51.100.53/32", "2001:db8::53/128"}, ofKind(list, blocklist.DNSServer), "the others are loopback and link-local")
}

func TestUnreadableSystemFileIsReportedAndTheRestFound(t *testing.T) {
	t.Parallel()
	root := system(t, map[string]string{"run/systemd/resolve/resolv.conf": "nameserver 198.51.100.53\n"})
	require.NoError(t, os.MkdirAll(filepath.Join(root, "etc", "resolv.conf"), 0o700))
	list, problems := blocklist.NetworkAddresses(root, nil)
	require.Len(t, problems, 1)
	require.ErrorContains(t, problems[0], "dns servers")
	require.Equal(t, []string{"198.51.100.53/32"}, ofKind(list, blocklist.DNSServer))
}

func TestOneKindDoesNotCrowdOutTheOthers(t *testing.T) {
	t.Parallel()
	list := blocklist.AlwaysProtected()
	for i := range 10_000 {
		addr := netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 1})
		list = append(list, blocklist.ProtectedAddress{Prefix: netip.PrefixFrom(addr, 32), Kind: blocklist.SSHPeer})
	}
	list = append(list, blocklist.ProtectedAddress{Prefix: netip.MustParsePrefix("192.0.2.1/32"), Kind: blocklist.Gateway})
	kept, omitted := blocklist.FitAllowList(list)
	require.Equal(t, []string{"192.0.2.1/32"}, ofKind(kept, blocklist.Gateway))
	require.Len(t, ofKind(kept, blocklist.SSHPeer), 512)
	require.Equal(t, 10_000-512, omitted)
}

func FuzzSystemFiles(f *testing.F) {
	f.Add("nameserver 192.0.2.53\nSERVER_ADDRESS=192.0.2.1\n option dhcp-server-identifier 192.0.2.2;")
	f.Fuzz(func(t *testing.T, text string) {
		for _, addr := range blocklist.Servers(text) {
			require.True(t, addr.IsValid())
		}
	})
}

// A lookup that is cut short removes no protected address, unless none has been complete for long.
func TestIncompleteLookupKeepsProtectedAddresses(t *testing.T) {
	t.Parallel()
	host := func(addr, kind string) blocklist.ProtectedAddress {
		return blocklist.ProtectedAddress{Prefix: netip.MustParsePrefix(addr), Kind: kind}
	}
	own, gateway := host("192.0.2.1/32", blocklist.OwnAddress), host("192.0.2.254/32", blocklist.Gateway)
	next := host("192.0.2.253/32", blocklist.Gateway)
	cut := errors.New("dump interrupted")
	var lookup blocklist.Lookup
	now := time.Now()
	require.Equal(t, []blocklist.ProtectedAddress{own, gateway}, lookup.Record(now, []blocklist.ProtectedAddress{own, gateway}))
	now = now.Add(time.Minute)
	require.Equal(t, []blocklist.ProtectedAddress{own, gateway}, lookup.Record(now, []blocklist.ProtectedAddress{own}, cut), "kept")
	require.Equal(t, []blocklist.ProtectedAddress{own, next, gateway}, lookup.Record(now, []blocklist.ProtectedAddress{own, next}, cut), "what is new counts at once")
	require.Equal(t, []blocklist.ProtectedAddress{own, next}, lookup.Record(now, []blocklist.ProtectedAddress{own, next}), "a complete lookup replaces everything")
	now = now.Add(time.Hour)
	require.Equal(t, []blocklist.ProtectedAddress{own}, lookup.Record(now, []blocklist.ProtectedAddress{own}, cut), "nothing is kept for ever")
}

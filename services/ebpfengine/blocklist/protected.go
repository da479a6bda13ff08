package blocklist

import (
	"net/netip"
	"slices"
	"strings"
)

// The kinds of ProtectedAddress.
const (
	Loopback   = "loopback"
	LinkLocal  = "link-local" // neighbour discovery, router advertisements, DHCP
	Gateway    = "gateway"
	DNSServer  = "dns server"
	DHCPServer = "dhcp server"
	BusPeer    = "bus peer"
	SSHPeer    = "ssh peer"
	OwnAddress = "own address"
)

// maxProtected is the size of the kernel's allow list.
const maxProtected = 4096

// maxOfKind bounds the share of one kind, so that the kinds whose number others influence do not crowd out the rest.
func maxOfKind(kind string) int {
	switch kind {
	case OwnAddress:
		return 1536
	case Allowed:
		return maxAllowed
	case SSHPeer, BusPeer:
		return 512
	}
	return 128
}

// ProtectedAddress is a prefix whose packets the kernel lets pass whatever the blocklist says, so that a block cuts off neither
// the machine nor the operator who could remove it.
type ProtectedAddress struct {
	Prefix netip.Prefix `json:"prefix"`
	Kind   string       `json:"kind"`
	// From is where an allowed prefix is written: "ebpf.allow" or file:line. Empty for the other kinds.
	From string `json:"from,omitempty"`
}

// alwaysProtected returns the protected addresses of every machine. The unspecified addresses are those of a machine that has
// none yet: DHCP (RFC 2131, section 4.1) and duplicate address detection (RFC 4862, section 5.4.2) send from them. IPv6 routers
// send from link-local addresses (RFC 4861, section 4.2), and clouds have their metadata service there.
func alwaysProtected() []ProtectedAddress {
	return []ProtectedAddress{
		{Prefix: netip.MustParsePrefix("127.0.0.0/8"), Kind: Loopback},
		{Prefix: netip.MustParsePrefix("::1/128"), Kind: Loopback},
		{Prefix: netip.MustParsePrefix("0.0.0.0/32"), Kind: LinkLocal},
		{Prefix: netip.MustParsePrefix("::/128"), Kind: LinkLocal},
		{Prefix: netip.MustParsePrefix("169.254.0.0/16"), Kind: LinkLocal},
		{Prefix: netip.MustParsePrefix("fe80::/10"), Kind: LinkLocal},
	}
}

// appendHosts appends single addresses of kind. Unspecified and multicast addresses are left out.
func appendHosts(list []ProtectedAddress, kind string, addrs ...netip.Addr) []ProtectedAddress {
	for _, a := range addrs {
		a = a.WithZone("").Unmap()
		if a.IsValid() && !a.IsUnspecified() && !a.IsMulticast() {
			list = append(list, ProtectedAddress{Prefix: netip.PrefixFrom(a, a.BitLen()), Kind: kind})
		}
	}
	return list
}

// fitAllowList sorts list, drops prefixes that another covers, and keeps each kind within its bound. Omitted counts those without
// room.
func fitAllowList(list []ProtectedAddress) (kept []ProtectedAddress, omitted int) {
	list = slices.Clone(list)
	slices.SortStableFunc(list, func(a, b ProtectedAddress) int { return compare(a.Prefix, b.Prefix) })
	counts := map[string]int{}
	for _, l := range list {
		if n := len(kept); n > 0 && covers(kept[n-1].Prefix, l.Prefix) {
			continue
		}
		if counts[l.Kind]++; counts[l.Kind] > maxOfKind(l.Kind) || len(kept) == maxProtected {
			omitted++
			continue
		}
		kept = append(kept, l)
	}
	return kept, omitted
}

// Covered returns the protected addresses of list that overlap block: its packets from there pass.
func Covered(list []ProtectedAddress, block netip.Prefix) []ProtectedAddress {
	var found []ProtectedAddress
	for _, l := range list {
		if l.Prefix.Overlaps(block) {
			found = append(found, l)
		}
	}
	return found
}

// parseResolvConf returns the name servers in a resolv.conf(5).
func parseResolvConf(text string) []netip.Addr {
	var servers []netip.Addr
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 2 || fields[0] != "nameserver" {
			continue
		}
		if addr, err := netip.ParseAddr(fields[1]); err == nil {
			servers = append(servers, addr)
		}
	}
	return servers
}

// parseLease returns the DHCP servers in a lease file: SERVER_ADDRESS=… of systemd-networkd and NetworkManager, or
// "option dhcp-server-identifier …;" of dhclient.leases(5).
func parseLease(text string) []netip.Addr {
	var servers []netip.Addr
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		value, ok := strings.CutPrefix(line, "SERVER_ADDRESS=")
		if !ok {
			value, ok = strings.CutPrefix(strings.TrimSuffix(line, ";"), "option dhcp-server-identifier ")
		}
		if addr, err := netip.ParseAddr(strings.TrimSpace(value)); ok && err == nil {
			servers = append(servers, addr)
		}
	}
	return servers
}

package blocklist

import (
	"net/netip"
	"slices"
	"strings"
)

// The kinds of Lifeline.
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

// maxLifelines is the size of the kernel's allow list.
const maxLifelines = 4096

// mostOf bounds what one kind may take of it. Only what somebody else makes many needs a bound.
func mostOf(kind string) int {
	switch kind {
	case OwnAddress:
		return 2048
	case SSHPeer, BusPeer:
		return 512
	}
	return 128
}

// ProtectedAddress is a prefix whose packets the kernel lets pass whatever the blocklist says, so that a block never cuts the
// machine off, or the person off who could lift it.
type ProtectedAddress struct {
	Prefix netip.Prefix `json:"prefix"`
	Kind   string       `json:"kind"`
}

// constant are the lifelines of every machine. The unspecified addresses are those of a machine that has none yet: DHCP
// (RFC 2131, section 4.1) and duplicate address detection (RFC 4862, section 5.4.2) send from them. Link-local is
// where IPv6 routers speak from (RFC 4861, section 4.2) and clouds keep their metadata.
func constant() []ProtectedAddress {
	kinds := [][2]string{
		{"127.0.0.0/8", Loopback},
		{"::1/128", Loopback},
		{"0.0.0.0/32", LinkLocal},
		{"::/128", LinkLocal},
		{"169.254.0.0/16", LinkLocal},
		{"fe80::/10", LinkLocal},
	}
	list := make([]ProtectedAddress, 0, len(kinds))
	for _, k := range kinds {
		list = append(list, ProtectedAddress{Prefix: netip.MustParsePrefix(k[0]), Kind: k[1]})
	}
	return list
}

// single appends addresses as lifelines of kind. What is no address of one machine is left out.
func single(list []ProtectedAddress, kind string, addrs ...netip.Addr) []ProtectedAddress {
	for _, a := range addrs {
		a = a.WithZone("").Unmap()
		if a.IsValid() && !a.IsUnspecified() && !a.IsMulticast() {
			list = append(list, ProtectedAddress{Prefix: netip.PrefixFrom(a, a.BitLen()), Kind: kind})
		}
	}
	return list
}

// tidy drops what is there twice or is covered by another lifeline, sorts, and keeps each kind within its bound. Left
// counts what had no room.
func tidy(list []ProtectedAddress) (kept []ProtectedAddress, left int) {
	list = slices.Clone(list)
	slices.SortStableFunc(list, func(a, b ProtectedAddress) int { return compare(a.Prefix, b.Prefix) })
	counts := map[string]int{}
	for _, l := range list {
		if n := len(kept); n > 0 && covers(kept[n-1].Prefix, l.Prefix) {
			continue
		}
		if counts[l.Kind]++; counts[l.Kind] > mostOf(l.Kind) || len(kept) == maxLifelines {
			left++
			continue
		}
		kept = append(kept, l)
	}
	return kept, left
}

// Covered returns the lifelines of list that block would drop, were they not allowed.
func Covered(list []ProtectedAddress, block netip.Prefix) []ProtectedAddress {
	var found []ProtectedAddress
	for _, l := range list {
		if l.Prefix.Overlaps(block) {
			found = append(found, l)
		}
	}
	return found
}

// nameservers reads resolv.conf(5).
func nameservers(text string) []netip.Addr {
	var found []netip.Addr
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 2 || fields[0] != "nameserver" {
			continue
		}
		if addr, err := netip.ParseAddr(fields[1]); err == nil {
			found = append(found, addr)
		}
	}
	return found
}

// leaseServers reads who gave a lease: SERVER_ADDRESS=… of systemd-networkd and NetworkManager, or
// "option dhcp-server-identifier …;" of dhclient.leases(5).
func leaseServers(text string) []netip.Addr {
	var found []netip.Addr
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		value, ok := strings.CutPrefix(line, "SERVER_ADDRESS=")
		if !ok {
			value, ok = strings.CutPrefix(strings.TrimSuffix(line, ";"), "option dhcp-server-identifier ")
		}
		if addr, err := netip.ParseAddr(strings.TrimSpace(value)); ok && err == nil {
			found = append(found, addr)
		}
	}
	return found
}

package safety

import (
	"bufio"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
)

// BlockFilter say which source addresses are never blocked: what no packet from
// outside rightly comes from, this machine's own, its resolvers, and what a person
// listed. The engine keeps its own lifelines open besides.
type BlockFilter struct {
	NeverBlock   []netip.Prefix // listed by a person
	AllowPrivate bool           // private addresses may be blocked
}

// carrierNAT is the address space behind carrier-grade NAT, RFC 6598.
var carrierNAT = netip.MustParsePrefix("100.64.0.0/10")

// Parse returns the address to block, or why there is none: an address of the
// record may be empty or a word.
func (a BlockFilter) Parse(text string) (netip.Addr, string) {
	if text == "" {
		return netip.Addr{}, "the alert names no source address"
	}
	addr, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Addr{}, "the source of the alert is not an address"
	}
	addr = addr.Unmap().WithZone("")
	return addr, a.reason(addr)
}

// reason says why addr is not blocked, "" if it may be.
func (a BlockFilter) reason(addr netip.Addr) string {
	switch {
	case !addr.IsValid() || addr.IsUnspecified():
		return "the source address is unspecified"
	case addr.IsLoopback(), addr.IsLinkLocalUnicast():
		return "the source address is of this machine or its link: " + addr.String()
	case addr.IsMulticast(), addr == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return "the source address is multicast, so it was forged: " + addr.String()
	case isOwn(addr):
		return "the source address is one of this machine's own: " + addr.String()
	case slices.Contains(resolvers(resolvConf), addr):
		return "the source address is one of this machine's resolvers: " + addr.String()
	case slices.ContainsFunc(a.NeverBlock, func(p netip.Prefix) bool { return p.Contains(addr) }):
		return "the source address is in container.never_block: " + addr.String()
	case !a.AllowPrivate && (addr.IsPrivate() || carrierNAT.Contains(addr)):
		return "the source address is private, and container.block_private is false: " + addr.String()
	}
	return ""
}

// isOwn reports whether an interface of this machine has addr. One that cannot be
// asked owns nothing.
func isOwn(addr netip.Addr) bool {
	if addr.IsLoopback() {
		return true
	}
	own, err := net.InterfaceAddrs()
	if err != nil {
		return false
	}
	for _, o := range own {
		if p, err := netip.ParsePrefix(o.String()); err == nil && p.Addr().Unmap() == addr {
			return true
		}
	}
	return false
}

const resolvConf = "/etc/resolv.conf"

// resolvers reads the nameservers of a resolv.conf(5).
func resolvers(path string) []netip.Addr {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer func() { _ = f.Close() }() // only read
	var out []netip.Addr
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) < 2 || fields[0] != "nameserver" {
			continue
		}
		if addr, err := netip.ParseAddr(fields[1]); err == nil {
			out = append(out, addr.Unmap().WithZone(""))
		}
	}
	return out
}

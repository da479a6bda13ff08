package safety

import (
	"bufio"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
)

// BlockFilter says which source addresses are never blocked: those no packet from outside
// can have, this machine's own, its resolvers, and those listed in the configuration.
// The packet engine has protected addresses of its own besides.
type BlockFilter struct {
	NeverBlock   []netip.Prefix // container.never_block
	AllowPrivate bool           // block private addresses too
}

// carrierNAT is the address space behind carrier-grade NAT, RFC 6598.
var carrierNAT = netip.MustParsePrefix("100.64.0.0/10")

// Parse returns the address of a record, which may be empty or any text, and why it is
// not blocked, "" if it may be. The address is invalid if text is none.
func (f BlockFilter) Parse(text string) (addr netip.Addr, refused string) {
	if text == "" {
		return netip.Addr{}, "the alert names no source address"
	}
	addr, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Addr{}, "the source of the alert is not an address"
	}
	addr = addr.Unmap().WithZone("")
	switch {
	case addr.IsUnspecified():
		refused = "the source address is unspecified"
	case addr.IsLoopback(), addr.IsLinkLocalUnicast():
		refused = "the source address is of this machine or its link: " + addr.String()
	case addr.IsMulticast(), addr == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		refused = "the source address is multicast, so it was forged: " + addr.String()
	case isOwn(addr):
		refused = "the source address is one of this machine's own: " + addr.String()
	case slices.Contains(resolvers(resolvConf), addr):
		refused = "the source address is one of this machine's resolvers: " + addr.String()
	case slices.ContainsFunc(f.NeverBlock, func(p netip.Prefix) bool { return p.Contains(addr) }):
		refused = "the source address is in container.never_block: " + addr.String()
	case !f.AllowPrivate && (addr.IsPrivate() || carrierNAT.Contains(addr)):
		refused = "the source address is private, and container.block_private is false: " + addr.String()
	}
	return addr, refused
}

// RefuseNetwork returns why a network with an address that may be blocked is not, "" if it may be.
func (f BlockFilter) RefuseNetwork(network netip.Prefix) string {
	switch {
	case slices.ContainsFunc(ownAddresses(), network.Contains):
		return "it has an address of this machine: " + network.String()
	case slices.ContainsFunc(resolvers(resolvConf), network.Contains):
		return "it has a resolver of this machine: " + network.String()
	case slices.ContainsFunc(f.NeverBlock, network.Overlaps):
		return "it has addresses in container.never_block: " + network.String()
	}
	return ""
}

// isOwn reports whether an interface of this machine has addr. If the interfaces cannot
// be listed only loopback is known.
func isOwn(addr netip.Addr) bool {
	if addr.IsLoopback() {
		return true
	}
	return slices.Contains(ownAddresses(), addr)
}

// ownAddresses returns the addresses of this machine's interfaces, none if they cannot be listed.
func ownAddresses() (found []netip.Addr) {
	own, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	for _, o := range own {
		if p, err := netip.ParsePrefix(o.String()); err == nil {
			found = append(found, p.Addr().Unmap())
		}
	}
	return found
}

const resolvConf = "/etc/resolv.conf"

// resolvers returns the nameservers of a resolv.conf(5), none if it cannot be read.
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

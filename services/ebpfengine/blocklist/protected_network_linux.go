package blocklist

import (
	"errors"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
)

// gateways returns the next hops of the default routes in all tables, also of routes with several next hops and of IPv4 routes
// via IPv6 (RFC 5549), and the remote ends of point-to-point interfaces.
func gateways(string) (addrs []netip.Addr, err error) {
	add := func(ip net.IP, via netlink.Destination) {
		if v, ok := via.(*netlink.Via); ok {
			ip = v.Addr
		}
		if addr, ok := netip.AddrFromSlice(ip); ok {
			addrs = append(addrs, addr)
		}
	}
	routes, err := netlink.RouteListFiltered(netlink.FAMILY_ALL, &netlink.Route{Table: 0}, netlink.RT_FILTER_TABLE)
	for _, r := range routes {
		if r.Dst != nil {
			if bits, _ := r.Dst.Mask.Size(); bits != 0 {
				continue
			}
		}
		add(r.Gw, r.Via)
		for _, hop := range r.MultiPath {
			add(hop.Gw, hop.Via)
		}
	}
	found, addrErr := netlink.AddrList(nil, netlink.FAMILY_ALL)
	for _, a := range found {
		if a.Peer == nil {
			continue
		}
		if bits, size := a.Peer.Mask.Size(); bits == size {
			add(a.Peer.IP, nil)
		}
	}
	return addrs, errors.Join(err, addrErr)
}

// ownAddresses returns the addresses of all interfaces.
func ownAddresses(string) (addrs []netip.Addr, err error) {
	found, err := netlink.AddrList(nil, netlink.FAMILY_ALL)
	for _, a := range found {
		if addr, ok := netip.AddrFromSlice(a.IP); ok {
			addrs = append(addrs, addr)
		}
	}
	return addrs, err
}

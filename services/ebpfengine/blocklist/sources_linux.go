package blocklist

import (
	"context"
	"net/netip"

	"github.com/vishvananda/netlink"
)

// gateways returns the next hops of all default routes, whatever their table.
func gateways(string) ([]ProtectedAddress, error) {
	routes, err := netlink.RouteListFiltered(netlink.FAMILY_ALL, &netlink.Route{Table: 0}, netlink.RT_FILTER_TABLE)
	var list []ProtectedAddress
	for _, r := range routes {
		if r.Dst == nil || isDefault(r.Dst.Mask.Size()) {
			list = single(list, Gateway, hops(r)...)
		}
	}
	return list, wrapped("routes", err)
}

func isDefault(ones, _ int) bool { return ones == 0 }

// hops are the gateways of a route, also of one with several and of one of IPv4 through IPv6 (RFC 5549).
func hops(r netlink.Route) []netip.Addr {
	var all []netip.Addr
	add := func(ip []byte) {
		if addr, ok := netip.AddrFromSlice(ip); ok {
			all = append(all, addr)
		}
	}
	add(r.Gw)
	if via, ok := r.Via.(*netlink.Via); ok {
		add(via.Addr)
	}
	for _, hop := range r.MultiPath {
		add(hop.Gw)
		if via, ok := hop.Via.(*netlink.Via); ok {
			add(via.Addr)
		}
	}
	return all
}

// ownAddresses returns the addresses of all interfaces, and the other ends of point-to-point ones.
func ownAddresses(string) ([]ProtectedAddress, error) {
	found, err := netlink.AddrList(nil, netlink.FAMILY_ALL)
	var list []ProtectedAddress
	for _, a := range found {
		if addr, ok := netip.AddrFromSlice(a.IP); ok {
			list = single(list, OwnAddress, addr)
		}
		if a.Peer == nil {
			continue
		}
		if ones, bits := a.Peer.Mask.Size(); ones != bits {
			continue
		}
		if addr, ok := netip.AddrFromSlice(a.Peer.IP); ok {
			list = single(list, Gateway, addr)
		}
	}
	return list, wrapped("addresses", err)
}

// changesBuffer bounds the changes that wait; more wait in the socket, and when it overflows the subscription ends and
// the poll remains.
const changesBuffer = 256

// networkChanges calls each whenever an address or a route came or went, until ctx ends or the kernel gives up telling.
func networkChanges(ctx context.Context, each func()) error {
	ctx, cancel := context.WithCancel(ctx)
	addrs, routes := make(chan netlink.AddrUpdate, changesBuffer), make(chan netlink.RouteUpdate, changesBuffer)
	addrsErr := netlink.AddrSubscribe(addrs, ctx.Done())
	if addrsErr != nil {
		close(addrs)
	}
	routesErr := netlink.RouteSubscribe(routes, ctx.Done())
	if routesErr != nil {
		close(routes)
	}
	defer drain(addrs, routes) // so that the library's goroutines end
	defer cancel()
	for {
		select {
		case <-ctx.Done():
			return nil
		case _, open := <-addrs:
			if !open {
				return wrapped("watch addresses", addrsErr)
			}
		case _, open := <-routes:
			if !open {
				return wrapped("watch routes", routesErr)
			}
		}
		each()
	}
}

// drain reads until both are closed.
func drain(addrs <-chan netlink.AddrUpdate, routes <-chan netlink.RouteUpdate) {
	for range addrs {
		continue
	}
	for range routes {
		continue
	}
}

package attach

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
)

// Find returns the interfaces with the given names, and the names without an interface. For Auto alone it returns the interfaces
// of the default routes: for IPv4 and IPv6 those of the lowest metric, with all their next hops.
func Find(names []string) (found []Interface, missing []string, err error) {
	links, err := complete(netlink.LinkList)
	if err != nil {
		return nil, nil, fmt.Errorf("list interfaces: %w", err)
	}
	if len(names) == 1 && names[0] == Auto {
		indexes, err := defaultRoutes()
		if err != nil {
			return nil, nil, err
		}
		return filter(links, func(a *netlink.LinkAttrs) bool { return slices.Contains(indexes, a.Index) }), nil, nil
	}
	found = filter(links, func(a *netlink.LinkAttrs) bool { return slices.Contains(names, a.Name) })
	for _, name := range names {
		if !slices.ContainsFunc(found, func(i Interface) bool { return i.Name == name }) {
			missing = append(missing, name)
		}
	}
	return found, missing, nil
}

func filter(links []netlink.Link, wanted func(*netlink.LinkAttrs) bool) []Interface {
	var out []Interface
	for _, l := range links {
		if wanted(l.Attrs()) {
			out = append(out, interfaceOf(l.Attrs()))
		}
	}
	return out
}

func interfaceOf(a *netlink.LinkAttrs) Interface {
	i := Interface{Name: a.Name, Index: a.Index, Ethernet: a.EncapType == "ether" || a.EncapType == "loopback"}
	if a.Xdp != nil && a.Xdp.Attached {
		i.ProgramID, i.Mode = a.Xdp.ProgId, modeOf(a.Xdp.AttachMode)
	}
	return i
}

// modeOf reads IFLA_XDP_ATTACHED (linux/if_link.h).
func modeOf(attached uint32) Mode {
	switch attached {
	case nl.XDP_ATTACHED_DRV:
		return Native
	case nl.XDP_ATTACHED_SKB:
		return SKB
	case nl.XDP_ATTACHED_HW:
		return HW
	}
	return ""
}

// defaultRoutes returns the indexes of the interfaces of the default routes. IPv6 may be missing in the kernel, which is no error.
func defaultRoutes() ([]int, error) {
	var indexes []int
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		routes, err := complete(func() ([]netlink.Route, error) { return netlink.RouteList(nil, family) })
		if err != nil && family == netlink.FAMILY_V4 {
			return nil, fmt.Errorf("list routes: %w", err)
		}
		indexes = append(indexes, lowestMetric(routes)...)
	}
	return indexes, nil
}

// IsOutside reports whether packets that leave through an interface come from outside, by the address that they have as source: a
// default route leads to it, and not through that interface. Then this host is a router that forwards them.
func IsOutside(addr netip.Addr, leaves Interface) bool {
	indexes, err := defaultRoutes()
	if err != nil || slices.Contains(indexes, leaves.Index) {
		return false
	}
	routes, err := netlink.RouteGet(addr.AsSlice())
	return err == nil && len(routes) > 0 && slices.Contains(indexes, routes[0].LinkIndex)
}

// lowestMetric returns the interfaces of the default routes with the lowest metric.
func lowestMetric(routes []netlink.Route) []int {
	routes = slices.DeleteFunc(routes, func(r netlink.Route) bool { return !isDefault(r) })
	if len(routes) == 0 {
		return nil
	}
	lowest := slices.MinFunc(routes, func(a, b netlink.Route) int { return a.Priority - b.Priority }).Priority
	var out []int
	for _, r := range routes {
		if r.Priority != lowest {
			continue
		}
		if r.LinkIndex != 0 {
			out = append(out, r.LinkIndex)
		}
		for _, hop := range r.MultiPath {
			out = append(out, hop.LinkIndex)
		}
	}
	return out
}

func isDefault(r netlink.Route) bool {
	if r.Dst == nil {
		return true
	}
	ones, _ := r.Dst.Mask.Size()
	return ones == 0 && r.Dst.IP.IsUnspecified()
}

// complete calls list until the result is complete: the kernel cuts it short when it changes meanwhile. After some attempts an
// incomplete result will do, because the change causes another lookup.
func complete[T any](list func() ([]T, error)) (out []T, err error) {
	const attempts = 5
	for range attempts {
		if out, err = list(); !errors.Is(err, netlink.ErrDumpInterrupted) {
			return out, err
		}
	}
	return out, nil
}

func byIndex(index int) (Interface, error) {
	l, err := netlink.LinkByIndex(index)
	if err != nil {
		return Interface{}, fmt.Errorf("interface %d: %w", index, err)
	}
	return interfaceOf(l.Attrs()), nil
}

// NameNow returns the present name of an interface, which may have been renamed; "" if it is gone.
func NameNow(i Interface) string {
	now, err := byIndex(i.Index)
	if err != nil {
		return ""
	}
	return now.Name
}

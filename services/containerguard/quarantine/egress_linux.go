package quarantine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/ironpost/ironpost/bpf"
	"github.com/ironpost/ironpost/internal/docker"
)

// Egress is cut on the host's end of the container's interfaces, by a pair of packet programs (bpf.EgressCut) that lets pass what
// belongs to conversations that others began. The container cannot reach that end, whatever its capabilities, and it sees all packets,
// those of raw sockets, too. It goes with the interface: after a restart of the container, egress is cut again. Docker's name server
// is asked past it, as dockerd itself answers in the container's network namespace: a route there refuses its address, if the
// guard may enter.

// The filter of the programs, which one interface has once.
const (
	cutPriority = 1 // before the filters of others
	cutHandle   = 0x1907
)

// dockerNameServer is the address at which dockerd answers in every container with a network of the user's.
var dockerNameServer = &net.IPNet{IP: net.IPv4(127, 0, 0, 11).To4(), Mask: net.CIDRMask(32, 32)}

// swarmBridge is where containers with an overlay network have a second interface. The first is not on this host's end.
const swarmBridge = "docker_gwbridge"

// cutEgress attaches the programs, admits the conversations that others began, and ends those of the container. It fails with
// docker.ErrForbidden where that is not possible. The remark says what it could not do for want of permission, empty if nothing.
func cutEgress(ctx context.Context, c docker.Container) (remark string, err error) {
	interfaces, err := hostInterfaces(c)
	if err != nil {
		return "", err
	}
	cut, err := bpf.LoadEgressCut()
	switch {
	case errors.Is(err, os.ErrPermission), errors.Is(err, bpf.ErrUnsupported):
		return "", fmt.Errorf("%w: %w", docker.ErrForbidden, err)
	case err != nil:
		return "", err
	}
	defer func() { _ = cut.Close() }() // the kernel keeps what is attached
	for _, link := range interfaces {
		if err := attachCut(link, c.ID, cut); err != nil {
			return "", err
		}
	}
	began, err := sortTracked(c, cut)
	if err != nil {
		return "", err
	}
	err = sortSockets(ctx, c, cut, began)
	if err == nil {
		err = changeNameServerRoute(ctx, c, (*netlink.Handle).RouteReplace) // last: egressOpen takes it for the end
	}
	if errors.Is(err, os.ErrPermission) {
		return "the guard may not enter the network namespace of the container, so Docker's name server can still be asked", nil
	}
	return "", err
}

// egressOpen says where a running container may begin connections, empty if nowhere.
func egressOpen(ctx context.Context, c docker.Container) string {
	interfaces, err := hostInterfaces(c)
	if err != nil {
		return "outgoing connections were possible: " + err.Error()
	}
	for _, link := range interfaces {
		for _, parent := range []uint32{netlink.HANDLE_MIN_INGRESS, netlink.HANDLE_MIN_EGRESS} {
			filters, err := netlink.FilterList(link, parent)
			if err != nil || !slices.ContainsFunc(filters, func(f netlink.Filter) bool { return isCutOf(f, c.ID) }) {
				return "outgoing connections were possible through interface " + link.Attrs().Name
			}
		}
	}
	refused := false
	err = inNamespace(ctx, c, func(h *netlink.Handle) error {
		routes, err := h.RouteListFiltered(netlink.FAMILY_V4, nameServerRoute(), netlink.RT_FILTER_TABLE|netlink.RT_FILTER_TYPE|netlink.RT_FILTER_DST)
		refused = len(routes) > 0
		return err
	})
	if !errors.Is(err, os.ErrPermission) && (err != nil || !refused) {
		return "Docker's name server could be asked"
	}
	return ""
}

// restoreEgress removes what cutEgress made.
func restoreEgress(ctx context.Context, c docker.Container) error {
	links, err := listLinks()
	if err != nil {
		return err
	}
	for _, link := range links { // all, as the container may have hidden its end in another namespace
		if link.Type() != "veth" {
			continue
		}
		if err := detachCut(link, c.ID); err != nil {
			return err
		}
	}
	err = changeNameServerRoute(ctx, c, (*netlink.Handle).RouteDel)
	if errors.Is(err, unix.ESRCH) || errors.Is(err, os.ErrPermission) || errors.Is(err, errNotOwnNamespace) { // there is none
		return nil
	}
	return err
}

// hostInterfaces returns this host's ends of the container's interfaces. It fails with docker.ErrForbidden unless each of the
// container's networks has one. It needs no permission.
func hostInterfaces(c docker.Container) (ends []netlink.Link, err error) {
	links, err := listLinks()
	if err != nil {
		return nil, err
	}
	id, err := netlink.GetNetNsIdByPid(c.PID)
	if err != nil {
		return nil, fmt.Errorf("network namespace: %w", err)
	}
	if _, err := cgroupOf(c); err != nil { // with the namespace known: the process id may have been reused before
		return nil, err
	}
	swarm := -1
	for _, link := range links {
		if link.Attrs().Name == swarmBridge {
			swarm = link.Attrs().Index
		}
	}
	for _, link := range links {
		if link.Type() == "veth" && id >= 0 && link.Attrs().NetNsID == id && link.Attrs().MasterIndex != swarm {
			ends = append(ends, link)
		}
	}
	if n := len(disconnectable(c)); len(ends) < n {
		return nil, fmt.Errorf("%w: this host has %d interfaces for the %d networks of the container: egress can be cut on bridge networks, by a guard in the network namespace of the host",
			docker.ErrForbidden, len(ends), n)
	}
	return ends, nil
}

// listLinks lists the interfaces of this network namespace.
func listLinks() (links []netlink.Link, err error) {
	const tries = 3 // an interface was made or removed meanwhile
	for range tries {
		if links, err = netlink.LinkList(); !errors.Is(err, netlink.ErrDumpInterrupted) {
			break
		}
	}
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	return links, nil
}

// cutName names the programs of a container.
func cutName(id string) string { return "ironpost-cut-" + id[:12] }

func isCutOf(f netlink.Filter, id string) bool {
	program, ok := f.(*netlink.BpfFilter)
	return ok && program.Handle == cutHandle && program.Name == cutName(id)
}

// attachCut attaches the programs to an interface, in place of earlier ones.
func attachCut(link netlink.Link, id string, cut *bpf.EgressCut) error {
	qdisc := &netlink.Clsact{QdiscAttrs: netlink.QdiscAttrs{
		LinkIndex: link.Attrs().Index, Parent: netlink.HANDLE_CLSACT, Handle: netlink.MakeHandle(0xffff, 0),
	}}
	if err := netlink.QdiscAdd(qdisc); err != nil && !errors.Is(err, unix.EEXIST) {
		return forbidden("interface "+link.Attrs().Name, err)
	}
	for _, f := range []struct {
		parent uint32
		fd     int
	}{{netlink.HANDLE_MIN_INGRESS, cut.FromContainer()}, {netlink.HANDLE_MIN_EGRESS, cut.ToContainer()}} {
		filter := &netlink.BpfFilter{
			FilterAttrs: netlink.FilterAttrs{
				LinkIndex: link.Attrs().Index, Parent: f.parent, Handle: cutHandle, Protocol: unix.ETH_P_ALL, Priority: cutPriority,
			},
			Fd: f.fd, Name: cutName(id), DirectAction: true,
		}
		if err := netlink.FilterReplace(filter); err != nil {
			return forbidden("interface "+link.Attrs().Name, err)
		}
	}
	return nil
}

// forbidden returns err so that what is not permitted is not tried again.
func forbidden(what string, err error) error {
	if errors.Is(err, os.ErrPermission) {
		return fmt.Errorf("%w: %s: %w: cutting egress needs CAP_NET_ADMIN and CAP_BPF", docker.ErrForbidden, what, err)
	}
	return fmt.Errorf("%s: %w", what, err)
}

// detachCut removes the programs of a container from an interface, and their queueing discipline if nothing else uses it.
func detachCut(link netlink.Link, id string) error {
	removed, others := false, false
	for _, parent := range []uint32{netlink.HANDLE_MIN_INGRESS, netlink.HANDLE_MIN_EGRESS} {
		filters, err := netlink.FilterList(link, parent)
		if err != nil {
			continue // the interface is gone
		}
		for _, f := range filters {
			if !isCutOf(f, id) {
				others = true
				continue
			}
			if err := netlink.FilterDel(f); err != nil && !errors.Is(err, unix.ENOENT) {
				return fmt.Errorf("interface %s: %w", link.Attrs().Name, err)
			}
			removed = true
		}
	}
	if !removed || others {
		return nil
	}
	err := netlink.QdiscDel(&netlink.Clsact{QdiscAttrs: netlink.QdiscAttrs{
		LinkIndex: link.Attrs().Index, Parent: netlink.HANDLE_CLSACT, Handle: netlink.MakeHandle(0xffff, 0),
	}})
	if err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("interface %s: %w", link.Attrs().Name, err)
	}
	return nil
}

func nameServerRoute() *netlink.Route {
	return &netlink.Route{Dst: dockerNameServer, Type: unix.RTN_PROHIBIT, Table: unix.RT_TABLE_LOCAL}
}

func changeNameServerRoute(ctx context.Context, c docker.Container, change func(*netlink.Handle, *netlink.Route) error) error {
	err := inNamespace(ctx, c, func(h *netlink.Handle) error { return change(h, nameServerRoute()) })
	if err != nil {
		return fmt.Errorf("route to Docker's name server: %w", err)
	}
	return nil
}

// inNamespace calls do with the interfaces and routes of the container's network namespace.
func inNamespace(ctx context.Context, c docker.Container, do func(*netlink.Handle) error) error {
	ns, err := networkNamespace(c)
	if err != nil {
		return err
	}
	defer func() { _ = ns.Close() }()
	h, err := openRoutes(ctx, ns)
	if err != nil {
		return err
	}
	defer h.Close()
	return do(h)
}

package quarantine

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/ironpost/ironpost/internal/docker"
	"github.com/ironpost/ironpost/internal/task"
)

// removeInterface removes the interface that is on the network of an address from the
// container's network namespace. That there is none is no error.
func removeInterface(ctx context.Context, c docker.Container, address netip.Addr) error {
	ns, err := networkNamespace(c)
	if err != nil {
		return err
	}
	defer func() { _ = ns.Close() }()
	h, err := openRoutes(ctx, ns)
	if err != nil {
		return fmt.Errorf("enter network namespace: %w", err)
	}
	defer h.Close()
	links, err := h.LinkList()
	if err != nil {
		return fmt.Errorf("list interfaces: %w", err)
	}
	for _, link := range links {
		addresses, err := h.AddrList(link, netlink.FAMILY_V4)
		if err != nil {
			return fmt.Errorf("list addresses: %w", err)
		}
		has := slices.ContainsFunc(addresses, func(a netlink.Addr) bool { return a.Contains(address.AsSlice()) })
		if !has {
			continue
		}
		if err := h.LinkDel(link); err != nil {
			return fmt.Errorf("remove left over interface: %w", err)
		}
	}
	return nil
}

// openRoutes opens a handle for the interfaces of a network namespace, as openDiag does.
func openRoutes(ctx context.Context, ns *os.File) (h *netlink.Handle, err error) {
	g := task.New(ctx)
	g.Go("interfaces", func(context.Context) (err error) {
		runtime.LockOSThread()
		if err = unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err == nil {
			h, err = netlink.NewHandle(unix.NETLINK_ROUTE)
		}
		return err
	})
	return h, g.Wait()
}

package quarantine

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/ironpost/ironpost/bpf"
	"github.com/ironpost/ironpost/internal/docker"
)

// ends are the two ends of a conversation, as the one that began it names them.
type ends struct{ source, target netip.AddrPort }

// tracked selects, of what connection tracking knows, what a container began, and notes that and what others began with it.
type tracked struct {
	own     []netip.Addr // of the container
	began   map[ends]bool
	inbound []bpf.Conversation
}

// MatchConntrackFlow implements netlink.CustomConntrackFilter.
func (t *tracked) MatchConntrackFlow(flow *netlink.ConntrackFlow) bool {
	if source := addrPort(flow.Forward.SrcIP, flow.Forward.SrcPort); slices.Contains(t.own, source.Addr()) {
		t.began[ends{source, addrPort(flow.Forward.DstIP, flow.Forward.DstPort)}] = true
		return true
	}
	if answering := addrPort(flow.Reverse.SrcIP, flow.Reverse.SrcPort); slices.Contains(t.own, answering.Addr()) {
		t.inbound = append(t.inbound, bpf.Conversation{
			Protocol: flow.Forward.Protocol, Remote: addrPort(flow.Reverse.DstIP, flow.Reverse.DstPort), Port: answering.Port(),
		})
	}
	return false
}

func addrPort(ip net.IP, port uint16) netip.AddrPort {
	addr, _ := netip.AddrFromSlice(ip)
	return netip.AddrPortFrom(addr.Unmap(), port)
}

// sortTracked admits the conversations that others began, as far as this host's connection tracking knows them. What the container
// began it returns, and makes connection tracking forget it, so that nothing comes back to it.
func sortTracked(c docker.Container, cut *bpf.EgressCut) (began map[ends]bool, err error) {
	t := &tracked{began: map[ends]bool{}}
	for _, n := range c.Networks {
		for _, addr := range []netip.Addr{n.IPv4, n.IPv6} {
			if addr.IsValid() {
				t.own = append(t.own, addr)
			}
		}
	}
	for _, family := range []netlink.InetFamily{unix.AF_INET, unix.AF_INET6} {
		const tries = 3 // an entry may end by itself between being listed and deleted
		for range tries {
			if _, err = netlink.ConntrackDeleteFilters(netlink.ConntrackTable, family, t); err == nil {
				break
			}
		}
		if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) && !errors.Is(err, unix.ENOENT) {
			return nil, forbidden("connection tracking", err)
		}
	}
	for _, v := range t.inbound {
		if err := cut.Admit(v); err != nil {
			return nil, err
		}
	}
	return t.began, nil
}

// sortSockets admits the TCP connections that others began with a port on which the container listens, as connection tracking may not
// see those within one network, and ends the container's own, which may come from such a port, too.
func sortSockets(ctx context.Context, c docker.Container, cut *bpf.EgressCut, began map[ends]bool) error {
	diag, err := openDiag(ctx, c)
	if err != nil {
		return err
	}
	defer diag.Close()
	listening, err := diag.listening()
	if err != nil {
		return err
	}
	for _, family := range []byte{unix.AF_INET, unix.AF_INET6} {
		ids, err := diag.connections(family)
		if err != nil {
			return err
		}
		for _, id := range ids {
			local, remote := endsOf(family, id)
			if listening[local.Port()] && !began[ends{local, remote}] {
				err = cut.Admit(bpf.Conversation{Protocol: unix.IPPROTO_TCP, Remote: remote, Port: local.Port()})
			} else {
				err = diag.destroy(family, id)
			}
			if err != nil {
				return fmt.Errorf("connection of %s with %s: %w", local, remote, err)
			}
		}
	}
	return nil
}

// endsOf returns the addresses of a connection; see isInternal.
func endsOf(family byte, id []byte) (local, remote netip.AddrPort) {
	return netip.AddrPortFrom(addressIn(family, id[4:]), binary.BigEndian.Uint16(id)), netip.AddrPortFrom(addressIn(family, id[20:]), binary.BigEndian.Uint16(id[2:]))
}

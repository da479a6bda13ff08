package conntrack

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Numbers of linux/netfilter/nfnetlink_conntrack.h, and of the parts of a tuple that a filter compares (linux/netfilter/nf_internals.h,
// also in libnetfilter_conntrack).
const (
	ctaFilter, ctaFilterReplyFlags = 25, 2

	compareAddresses = 1<<0 | 1<<1 | 1<<3 // source, destination, protocol
)

// maxEntries bounds the connections that are compared; without ports there may be many.
const maxEntries = 64

// Source returns the address that began the connection of which a packet left this host with the given addresses. Ports are 0 for
// protocols without; then all connections of the protocol between the two must have one source. The error is ErrUnknown, ErrBusy, or
// why the kernel does not answer: it needs CAP_NET_ADMIN, and connection tracking in this network namespace.
func (a *Asker) Source(proto uint8, source, target netip.AddrPort) (netip.Addr, error) {
	left, err := a.left()
	if err != nil {
		return netip.Addr{}, err
	}
	s, err := nl.Subscribe(unix.NETLINK_NETFILTER)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("ask for connections: %w", err)
	}
	defer s.Close()
	timeout := unix.NsecToTimeval(left.Nanoseconds())
	err = errors.Join(s.SetSendTimeout(&timeout), s.SetReceiveTimeout(&timeout), s.Send(request(proto, source, target)))
	if err != nil {
		return netip.Addr{}, fmt.Errorf("ask for connections: %w", err)
	}
	return read(s, source.Port() == 0, a.until)
}

// read returns the one source of the connections that the kernel answers with: one of them, or several.
func read(s *nl.NetlinkSocket, several bool, until time.Time) (found netip.Addr, err error) {
	for n := 0; n < maxEntries; {
		if time.Now().After(until) {
			return netip.Addr{}, ErrBusy
		}
		messages, _, err := s.Receive()
		if err != nil {
			return netip.Addr{}, fmt.Errorf("read connections: %w", err)
		}
		for _, m := range messages {
			switch m.Header.Type {
			case unix.NLMSG_DONE:
				return result(found)
			case unix.NLMSG_ERROR:
				if errors.Is(errorOf(m.Data), unix.ENOENT) {
					return netip.Addr{}, ErrUnknown
				}
				return netip.Addr{}, fmt.Errorf("read connections: %w", errorOf(m.Data))
			}
			addr := original(m.Data)
			if found.IsValid() && addr != found {
				return netip.Addr{}, ErrUnknown
			}
			if found = addr; !several {
				return result(found)
			}
			n++
		}
	}
	return result(found)
}

func result(found netip.Addr) (netip.Addr, error) {
	if !found.IsValid() {
		return found, ErrUnknown
	}
	return found, nil
}

// errorOf returns the error of a message of type NLMSG_ERROR.
func errorOf(data []byte) error {
	const size = 4
	if len(data) < size {
		return unix.EBADMSG
	}
	return syscall.Errno(-int32(nl.NativeEndian().Uint32(data)))
}

// request asks for the connection whose replies come from target to source, or, without ports, for all of them. The kernel filters since
// Linux 5.8.
func request(proto uint8, source, target netip.AddrPort) *nl.NetlinkRequest {
	family, from, to := uint8(nl.FAMILY_V4), nl.CTA_IP_V4_SRC, nl.CTA_IP_V4_DST
	if target.Addr().Is6() {
		family, from, to = nl.FAMILY_V6, nl.CTA_IP_V6_SRC, nl.CTA_IP_V6_DST
	}
	flags := 0
	if source.Port() == 0 {
		flags = unix.NLM_F_DUMP
	}
	r := nl.NewNetlinkRequest(int(netlink.ConntrackTable)<<8|nl.IPCTNL_MSG_CT_GET, flags)
	r.AddData(&nl.Nfgenmsg{NfgenFamily: family, Version: nl.NFNETLINK_V0})
	ports := nl.NewRtAttr(unix.NLA_F_NESTED|nl.CTA_TUPLE_PROTO, nil)
	ports.AddRtAttr(nl.CTA_PROTO_NUM, []byte{proto})
	if source.Port() != 0 {
		ports.AddRtAttr(nl.CTA_PROTO_SRC_PORT, nl.BEUint16Attr(target.Port()))
		ports.AddRtAttr(nl.CTA_PROTO_DST_PORT, nl.BEUint16Attr(source.Port()))
	}
	addresses := nl.NewRtAttr(unix.NLA_F_NESTED|nl.CTA_TUPLE_IP, nil)
	addresses.AddRtAttr(from, target.Addr().AsSlice())
	addresses.AddRtAttr(to, source.Addr().AsSlice())
	reply := nl.NewRtAttr(unix.NLA_F_NESTED|nl.CTA_TUPLE_REPLY, nil)
	reply.AddChild(addresses)
	reply.AddChild(ports)
	r.AddData(reply)
	if source.Port() != 0 {
		return r // a look-up, which takes the same time however many connections there are
	}
	filter := nl.NewRtAttr(unix.NLA_F_NESTED|ctaFilter, nil)
	filter.AddRtAttr(ctaFilterReplyFlags, nl.Uint32Attr(compareAddresses))
	r.AddData(filter)
	return r
}

// original returns the source of the first packet of the connection in a message, an invalid address if there is none.
func original(message []byte) netip.Addr {
	if len(message) < nl.SizeofNfgenmsg {
		return netip.Addr{}
	}
	return sourceIn(message[nl.SizeofNfgenmsg:], nl.CTA_TUPLE_ORIG)
}

// sourceIn returns the source of one direction of the connection in attributes, an invalid address if there is none.
func sourceIn(data []byte, tuple uint16) netip.Addr {
	addresses := attribute(attribute(data, tuple), nl.CTA_TUPLE_IP)
	source := attribute(addresses, nl.CTA_IP_V4_SRC)
	if source == nil {
		source = attribute(addresses, nl.CTA_IP_V6_SRC)
	}
	addr, _ := netip.AddrFromSlice(source)
	return addr
}

// attribute returns the value of an attribute, nil if there is none. It allocates nothing: a flood of connections is a flood of messages.
func attribute(data []byte, kind uint16) []byte {
	const header = 4 // length and type
	for len(data) >= header {
		length := int(binary.NativeEndian.Uint16(data))
		if length < header || length > len(data) {
			return nil
		}
		if binary.NativeEndian.Uint16(data[2:])&nl.NLA_TYPE_MASK == kind {
			return data[header:length]
		}
		data = data[min(len(data), (length+3)&^3):]
	}
	return nil
}

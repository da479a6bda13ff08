package conntrack

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

const (
	newConnections = 1       // the multicast group NFNLGRP_CONNTRACK_NEW of linux/netfilter/nfnetlink_compat.h
	reportBuffer   = 4 << 20 // room for the reports of a burst, in bytes
	beLiberal      = 0x08    // IP_CT_TCP_FLAG_BE_LIBERAL of linux/netfilter/nf_conntrack_tcp.h
)

// Watch calls found for each attempt to begin a TCP connection until ctx ends, then returns nil. Its handshake is not complete yet, and may never
// be: see Complete. A connection that the kernel tracks from its middle on is no attempt: it takes the sender of the next packet for who began it,
// and a peer can choose who that is, by a reset that ends at this host. Attempts of which the kernel lost the report are not found; lost is called then. Neither may block.
// The error is why the kernel reports nothing: it needs CAP_NET_ADMIN, and connection tracking in this network namespace.
func Watch(ctx context.Context, found func(Connection), lost func()) error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		return fmt.Errorf("reports of new connections: %w", err)
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, reportBuffer) // else the system's default
	reports := os.NewFile(uintptr(fd), "conntrack")
	defer func() { _ = reports.Close() }()
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return fmt.Errorf("reports of new connections: %w", err)
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, newConnections); err != nil {
		return fmt.Errorf("reports of new connections: %w", err)
	}
	defer context.AfterFunc(ctx, func() { _ = reports.Close() })()
	buf := make([]byte, 64<<10)
	for {
		n, err := reports.Read(buf)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, unix.ENOBUFS):
			lost()
			continue
		case err != nil:
			return fmt.Errorf("reports of new connections: %w", err)
		}
		eachMessage(buf[:n], func(message []byte) {
			state, _ := stateOf(message)
			if c := begun(message); c.From.IsValid() && state == nl.TCP_CONNTRACK_SYN_SENT {
				found(c)
			}
		})
	}
}

// eachMessage calls fn for each netlink message in b, without its header.
func eachMessage(b []byte, fn func(message []byte)) {
	for len(b) >= unix.NLMSG_HDRLEN {
		length := int(binary.NativeEndian.Uint32(b))
		if length < unix.NLMSG_HDRLEN || length > len(b) {
			return
		}
		fn(b[unix.NLMSG_HDRLEN:length])
		b = b[min(len(b), (length+3)&^3):]
	}
}

// Complete reports whether the handshake of c is complete, by a look-up that takes the same time however many connections there are.
// known is false if the kernel has no such connection, it was reset, or is tracked from its middle on: it will never be complete.
func Complete(c Connection) (complete, known bool, err error) {
	err = dump(lookup(c), func(message []byte) {
		state, assured := stateOf(message)
		known = state <= nl.TCP_CONNTRACK_TIME_WAIT && !fromMiddle(message)
		complete = known && counts(state, assured)
	})
	if errors.Is(err, unix.ENOENT) {
		return false, false, nil
	}
	return complete, known, err
}

// lookup asks for the connection c.
func lookup(c Connection) *nl.NetlinkRequest {
	family, from, to := uint8(nl.FAMILY_V4), nl.CTA_IP_V4_SRC, nl.CTA_IP_V4_DST
	if c.From.Addr().Is6() {
		family, from, to = nl.FAMILY_V6, nl.CTA_IP_V6_SRC, nl.CTA_IP_V6_DST
	}
	r := nl.NewNetlinkRequest(int(netlink.ConntrackTable)<<8|nl.IPCTNL_MSG_CT_GET, unix.NLM_F_ACK)
	r.AddData(&nl.Nfgenmsg{NfgenFamily: family, Version: nl.NFNETLINK_V0})
	addresses := nl.NewRtAttr(unix.NLA_F_NESTED|nl.CTA_TUPLE_IP, nil)
	addresses.AddRtAttr(from, c.From.Addr().AsSlice())
	addresses.AddRtAttr(to, c.To.Addr().AsSlice())
	ports := nl.NewRtAttr(unix.NLA_F_NESTED|nl.CTA_TUPLE_PROTO, nil)
	ports.AddRtAttr(nl.CTA_PROTO_NUM, []byte{unix.IPPROTO_TCP})
	ports.AddRtAttr(nl.CTA_PROTO_SRC_PORT, nl.BEUint16Attr(c.From.Port()))
	ports.AddRtAttr(nl.CTA_PROTO_DST_PORT, nl.BEUint16Attr(c.To.Port()))
	original := nl.NewRtAttr(unix.NLA_F_NESTED|nl.CTA_TUPLE_ORIG, nil)
	original.AddChild(addresses)
	original.AddChild(ports)
	r.AddData(original)
	return r
}

// All calls found for each TCP connection whose handshake is complete and that was not reset, also for those that ended in the last two
// minutes, but not for those that are tracked from their middle on. The kernel walks its whole table.
func All(found func(Connection)) error {
	for _, family := range []uint8{nl.FAMILY_V4, nl.FAMILY_V6} {
		err := dump(dumpRequest(family, netip.Addr{}), func(message []byte) {
			if c := begun(message); c.From.IsValid() && counts(stateOf(message)) && !fromMiddle(message) {
				found(c)
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// fromMiddle reports whether the kernel did not see the first packet of the TCP connection in a message, so it does not know who began it. It
// is lenient with the numbers of such a connection, and also with those of a flow table (nft flow add), which cannot be told apart.
func fromMiddle(message []byte) bool {
	if len(message) < nl.SizeofNfgenmsg {
		return false
	}
	tcp := attribute(attribute(message[nl.SizeofNfgenmsg:], nl.CTA_PROTOINFO), nl.CTA_PROTOINFO_TCP)
	flags := attribute(tcp, nl.CTA_PROTOINFO_TCP_FLAGS_ORIGINAL)
	return len(flags) > 0 && flags[0]&beLiberal != 0
}

// begun returns the connection in a message as its first packet had it, one without addresses if it is not one of TCP.
func begun(message []byte) Connection {
	if len(message) < nl.SizeofNfgenmsg {
		return Connection{}
	}
	tuple := attribute(message[nl.SizeofNfgenmsg:], nl.CTA_TUPLE_ORIG)
	addresses, ports := attribute(tuple, nl.CTA_TUPLE_IP), attribute(tuple, nl.CTA_TUPLE_PROTO)
	from, to := attribute(ports, nl.CTA_PROTO_SRC_PORT), attribute(ports, nl.CTA_PROTO_DST_PORT)
	if proto := attribute(ports, nl.CTA_PROTO_NUM); len(proto) != 1 || proto[0] != unix.IPPROTO_TCP || len(from) != 2 || len(to) != 2 {
		return Connection{}
	}
	address := func(v4, v6 uint16) netip.Addr {
		value := attribute(addresses, v4)
		if value == nil {
			value = attribute(addresses, v6)
		}
		addr, _ := netip.AddrFromSlice(value)
		return addr
	}
	return Connection{
		From: netip.AddrPortFrom(address(nl.CTA_IP_V4_SRC, nl.CTA_IP_V6_SRC), binary.BigEndian.Uint16(from)),
		To:   netip.AddrPortFrom(address(nl.CTA_IP_V4_DST, nl.CTA_IP_V6_DST), binary.BigEndian.Uint16(to)),
	}
}

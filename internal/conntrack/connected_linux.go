package conntrack

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Numbers of linux/netfilter/nfnetlink_conntrack.h and nf_conntrack_common.h.
const (
	ctaFilterOrigFlags = 1
	compareSource      = 1<<0 | 1<<3 // and protocol

	statusAssured = 1 << 2 // the handshake is complete
)

// Connected returns the addresses on this host, such as those of containers, with which remote has a TCP connection, or had one that ended
// in the last two minutes. If remote is invalid, all such pairs are found. Found is called with both ends of each. The kernel walks its whole
// table either way; it needs CAP_NET_ADMIN, and connection tracking in this network namespace.
//
// A connection counts if its handshake is complete and it was not reset: any packet with a number close to the right one completes a
// handshake for connection tracking, which is less exact than a server; the server then resets it.
func Connected(remote netip.Addr, found func(remote, local netip.Addr)) error {
	families := []uint8{nl.FAMILY_V4, nl.FAMILY_V6}
	switch {
	case remote.Is4():
		families = families[:1]
	case remote.IsValid():
		families = families[1:]
	}
	for _, family := range families {
		if err := connected(family, remote, found); err != nil {
			return err
		}
	}
	return nil
}

func connected(family uint8, remote netip.Addr, found func(remote, local netip.Addr)) error {
	return dump(dumpRequest(family, remote), func(message []byte) {
		if !counts(stateOf(message)) {
			return
		}
		data := message[nl.SizeofNfgenmsg:]
		if from := sourceIn(data, nl.CTA_TUPLE_ORIG); !remote.IsValid() || from == remote {
			found(from, sourceIn(data, nl.CTA_TUPLE_REPLY))
		}
	})
}

// dump passes each message that the kernel answers a request with to found.
func dump(request *nl.NetlinkRequest, found func(message []byte)) error {
	s, err := nl.Subscribe(unix.NETLINK_NETFILTER)
	if err != nil {
		return fmt.Errorf("ask for connections: %w", err)
	}
	defer s.Close()
	timeout := unix.NsecToTimeval(maxTime.Nanoseconds())
	if err := s.SetReceiveTimeout(&timeout); err != nil {
		return fmt.Errorf("ask for connections: %w", err)
	}
	if err := s.Send(request); err != nil {
		return fmt.Errorf("ask for connections: %w", err)
	}
	for until := time.Now().Add(maxTime); time.Now().Before(until); {
		messages, _, err := s.Receive()
		if err != nil {
			return fmt.Errorf("read connections: %w", err)
		}
		for _, m := range messages {
			switch m.Header.Type {
			case unix.NLMSG_DONE:
				return nil
			case unix.NLMSG_ERROR: // 0 confirms a look-up
				if refused := errorOf(m.Data); refused != syscall.Errno(0) {
					return fmt.Errorf("read connections: %w", refused)
				}
				return nil
			}
			found(m.Data)
		}
	}
	return ErrBusy
}

// dumpRequest asks for the connections of a family, those that remote began unless it is invalid. The kernel filters since Linux 5.8.
func dumpRequest(family uint8, remote netip.Addr) *nl.NetlinkRequest {
	r := nl.NewNetlinkRequest(int(netlink.ConntrackTable)<<8|nl.IPCTNL_MSG_CT_GET, unix.NLM_F_DUMP)
	r.AddData(&nl.Nfgenmsg{NfgenFamily: family, Version: nl.NFNETLINK_V0})
	if !remote.IsValid() {
		return r
	}
	source := nl.CTA_IP_V4_SRC
	if family == nl.FAMILY_V6 {
		source = nl.CTA_IP_V6_SRC
	}
	addresses := nl.NewRtAttr(unix.NLA_F_NESTED|nl.CTA_TUPLE_IP, nil)
	addresses.AddRtAttr(source, remote.AsSlice())
	protocol := nl.NewRtAttr(unix.NLA_F_NESTED|nl.CTA_TUPLE_PROTO, nil)
	protocol.AddRtAttr(nl.CTA_PROTO_NUM, []byte{unix.IPPROTO_TCP})
	original := nl.NewRtAttr(unix.NLA_F_NESTED|nl.CTA_TUPLE_ORIG, nil)
	original.AddChild(addresses)
	original.AddChild(protocol)
	r.AddData(original)
	filter := nl.NewRtAttr(unix.NLA_F_NESTED|ctaFilter, nil)
	filter.AddRtAttr(ctaFilterOrigFlags, nl.Uint32Attr(compareSource))
	r.AddData(filter)
	return r
}

// counts reports whether the handshake of a connection is complete, and it was not reset.
func counts(state uint8, assured bool) bool {
	return assured && state >= nl.TCP_CONNTRACK_ESTABLISHED && state <= nl.TCP_CONNTRACK_TIME_WAIT
}

// stateOf returns the state of the TCP connection in a message, and whether its handshake was ever complete. It is 0 of another protocol.
func stateOf(message []byte) (state uint8, assured bool) {
	if len(message) < nl.SizeofNfgenmsg {
		return 0, false
	}
	data := message[nl.SizeofNfgenmsg:]
	status := attribute(data, nl.CTA_STATUS)
	value := attribute(attribute(attribute(data, nl.CTA_PROTOINFO), nl.CTA_PROTOINFO_TCP), nl.CTA_PROTOINFO_TCP_STATE)
	if len(status) != 4 || len(value) != 1 {
		return 0, false
	}
	return value[0], binary.BigEndian.Uint32(status)&statusAssured != 0
}

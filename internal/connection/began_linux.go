package connection

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

const socketTime = 100_000 // how long the kernel may take to find a socket, in microseconds

// Began reports whether c has a socket that connects, is connected, or was until a moment ago (TIME_WAIT), from its own end to the remote one, and
// does not listen at its own end: that it began such a connection. It asks the network namespace of c for the one socket, so it takes the same
// time however many there are. The error says why that namespace cannot be asked (see Begun).
func Began(c Container, own, remote netip.AddrPort) (bool, error) {
	process := filepath.Join("/proc", strconv.Itoa(c.PID))
	if c.PID == 0 || !inContainer(process, c.ID) {
		return false, fmt.Errorf("container %.12s: process %d is not seen here", c.ID, c.PID)
	}
	ns, err := netns.GetFromPath(filepath.Join(process, "ns", "net"))
	if err != nil {
		return false, fmt.Errorf("network namespace of container %.12s: %w", c.ID, err)
	}
	defer func() { _ = ns.Close() }()
	s, err := nl.GetNetlinkSocketAt(ns, netns.None(), unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return false, fmt.Errorf("network namespace of container %.12s: %w", c.ID, err)
	}
	defer s.Close()
	timeout := unix.NsecToTimeval(socketTime * 1000)
	if err := s.SetReceiveTimeout(&timeout); err != nil {
		return false, fmt.Errorf("network namespace of container %.12s: %w", c.ID, err)
	}
	state, err := stateOf(s, own, remote)
	if err != nil || state == 0 || state == stateListen || state == stateSynRecv || state == stateNewSynRecv {
		return false, err
	}
	nobody := netip.AddrPortFrom(netip.IPv4Unspecified(), 0)
	if own.Addr().Is6() {
		nobody = netip.AddrPortFrom(netip.IPv6Unspecified(), 0)
	}
	state, err = stateOf(s, own, nobody)
	return err == nil && state != stateListen, err
}

// stateOf returns the state of the socket with both ends, else of the one that listens at its own end, else 0 (linux/inet_diag.h).
func stateOf(s *nl.NetlinkSocket, own, remote netip.AddrPort) (uint8, error) {
	const size, stateAt = 56, 1
	b := make([]byte, 0, size)
	family := byte(unix.AF_INET)
	if own.Addr().Is6() {
		family = unix.AF_INET6
	}
	b = append(b, family, unix.IPPROTO_TCP, 0, 0)
	b = binary.NativeEndian.AppendUint32(b, ^uint32(0)) // any state
	b = binary.BigEndian.AppendUint16(b, own.Port())
	b = binary.BigEndian.AppendUint16(b, remote.Port())
	for _, address := range []netip.Addr{own.Addr(), remote.Addr()} {
		var room [16]byte
		copy(room[:], address.AsSlice())
		b = append(b, room[:]...)
	}
	b = binary.NativeEndian.AppendUint32(b, 0)          // any interface
	b = binary.NativeEndian.AppendUint64(b, ^uint64(0)) // any cookie
	request := nl.NewNetlinkRequest(nl.SOCK_DIAG_BY_FAMILY, 0)
	request.AddRawData(b)
	if err := s.Send(request); err != nil {
		return 0, fmt.Errorf("ask for a socket: %w", err)
	}
	messages, _, err := s.Receive()
	if err != nil {
		return 0, fmt.Errorf("ask for a socket: %w", err)
	}
	for _, m := range messages {
		switch {
		case m.Header.Type == unix.NLMSG_ERROR && len(m.Data) >= 4:
			if no := syscall.Errno(-int32(binary.NativeEndian.Uint32(m.Data))); !errors.Is(no, unix.ENOENT) {
				return 0, fmt.Errorf("ask for a socket: %w", no)
			}
		case len(m.Data) > stateAt:
			return m.Data[stateAt], nil
		}
	}
	return 0, nil
}

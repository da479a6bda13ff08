package embedded

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"
)

// diagTime is how long the kernel may take to find a socket, in microseconds.
const diagTime = 100_000

// ownerOf returns whose the other end of c is: "uid 1000" if it is a socket of this network namespace, else its address, as for one in
// another container, or one that is closed already.
func ownerOf(c net.Conn) string {
	remote, err := netip.ParseAddrPort(c.RemoteAddr().String())
	if err == nil {
		if local, err := netip.ParseAddrPort(c.LocalAddr().String()); err == nil {
			if uid, err := socketOwner(unmap(remote), unmap(local)); err == nil {
				return userOf(int(uid))
			}
		}
	}
	return "address " + addressOf(c).String()
}

func unmap(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap().WithZone(""), a.Port())
}

// socketOwner returns the uid of the TCP socket with these ends, its own one first (sock_diag(7), linux/inet_diag.h). It takes the same time however
// many there are.
func socketOwner(own, remote netip.AddrPort) (uint32, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_INET_DIAG)
	if err != nil {
		return 0, err
	}
	defer func() { _ = unix.Close(fd) }()
	timeout := unix.NsecToTimeval(diagTime * 1000)
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout); err != nil {
		return 0, err
	}
	if err := unix.Sendto(fd, diagRequest(own, remote), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return 0, err
	}
	answer := make([]byte, 4096)
	n, _, err := unix.Recvfrom(fd, answer, 0)
	if err != nil {
		return 0, err
	}
	return ownerIn(answer[:n])
}

const sockDiagByFamily = 20 // SOCK_DIAG_BY_FAMILY of linux/sock_diag.h

// diagRequest is a struct inet_diag_req_v2 for one socket, in any state.
func diagRequest(own, remote netip.AddrPort) []byte {
	const size = unix.NLMSG_HDRLEN + 56
	family := byte(unix.AF_INET)
	if own.Addr().Is6() {
		family = unix.AF_INET6
	}
	b := make([]byte, 0, size)
	b = binary.NativeEndian.AppendUint32(b, size)
	b = binary.NativeEndian.AppendUint16(b, sockDiagByFamily)
	b = binary.NativeEndian.AppendUint16(b, unix.NLM_F_REQUEST)
	b = binary.NativeEndian.AppendUint64(b, 0) // sequence and port
	b = append(b, family, unix.IPPROTO_TCP, 0, 0)
	b = binary.NativeEndian.AppendUint32(b, ^uint32(0)) // any state
	b = binary.BigEndian.AppendUint16(b, own.Port())
	b = binary.BigEndian.AppendUint16(b, remote.Port())
	for _, end := range []netip.AddrPort{own, remote} {
		var room [16]byte
		copy(room[:], end.Addr().AsSlice())
		b = append(b, room[:]...)
	}
	b = binary.NativeEndian.AppendUint32(b, 0)             // any interface
	return binary.NativeEndian.AppendUint64(b, ^uint64(0)) // any cookie
}

var errNoOwner = errors.New("the kernel knows no such socket of a process")

// ownerIn reads a struct inet_diag_msg. The kernel says 0 for the uid, and for the inode, of a socket that no process has any more.
func ownerIn(message []byte) (uint32, error) {
	const size, uidAt, inodeAt = 72, 64, 68
	if len(message) < unix.NLMSG_HDRLEN+size || binary.NativeEndian.Uint16(message[4:]) != sockDiagByFamily {
		return 0, errNoOwner
	}
	body := message[unix.NLMSG_HDRLEN:]
	if binary.NativeEndian.Uint32(body[inodeAt:]) == 0 {
		return 0, errNoOwner
	}
	return binary.NativeEndian.Uint32(body[uidAt:]), nil
}

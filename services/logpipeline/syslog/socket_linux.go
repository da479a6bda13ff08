package syslog

import (
	"encoding/binary"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// noFollow keeps a planted link from redirecting what we write.
const noFollow = unix.O_NOFOLLOW

// tune gives a UDP socket a large buffer and asks the kernel to tell, with each
// message, how many it had no room for. What is refused is done without.
func tune(c *net.UDPConn) {
	_ = c.SetReadBuffer(udpBuffer)
	control(c, func(fd int) {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, udpBuffer)
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RXQ_OVFL, 1)
	})
}

func control(c syscall.Conn, fn func(fd int)) {
	raw, err := c.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) { fn(int(fd)) })
}

// kernelDrops returns the drop counter of the socket out of the control messages
// that came with a datagram, if it is there.
func kernelDrops(oob []byte) (uint32, bool) {
	for len(oob) > 0 {
		hdr, data, rest, err := unix.ParseOneSocketControlMessage(oob)
		if err != nil {
			return 0, false
		}
		if hdr.Level == unix.SOL_SOCKET && hdr.Type == unix.SO_RXQ_OVFL && len(data) >= 4 {
			return binary.NativeEndian.Uint32(data), true
		}
		oob = rest
	}
	return 0, false
}

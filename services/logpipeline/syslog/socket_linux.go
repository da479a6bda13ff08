package syslog

import (
	"net"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// noFollow keeps a planted link from redirecting what we write.
const noFollow = unix.O_NOFOLLOW

// tune gives a UDP socket a large buffer. What is refused is done without.
func tune(c *net.UDPConn) {
	_ = c.SetReadBuffer(udpBuffer)
	control(c, func(fd int) {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, udpBuffer)
	})
}

func control(c syscall.Conn, fn func(fd int)) {
	raw, err := c.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) { fn(int(fd)) })
}

// kernelDrops returns how many datagrams c had no room for since it was opened, false
// if the kernel does not say.
func kernelDrops(c *net.UDPConn) (drops uint32, ok bool) {
	control(c, func(fd int) {
		var info [unix.SK_MEMINFO_DROPS + 1]uint32
		size := uint32(unsafe.Sizeof(info))
		_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_MEMINFO,
			uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0) //nolint:gosec // x/sys has no call for it; both outlive the call
		drops, ok = info[unix.SK_MEMINFO_DROPS], errno == 0 && size == uint32(unsafe.Sizeof(info))
	})
	return drops, ok
}

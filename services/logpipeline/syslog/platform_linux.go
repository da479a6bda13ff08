package syslog

import (
	"net"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// noFollow refuses a symbolic link that another program put in the place of a segment.
const noFollow = unix.O_NOFOLLOW

// setReceiveBuffer requests a large receive buffer. Without CAP_NET_ADMIN the kernel gives
// at most net.core.rmem_max, which is accepted.
func setReceiveBuffer(c *net.UDPConn) {
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
// if the kernel does not count them.
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

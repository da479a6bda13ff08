package connection

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// The states of TCP sockets (include/net/tcp_states.h) that say nothing of the remote end, or that listen.
const (
	stateSynSent    = 2
	stateSynRecv    = 3
	stateListen     = 10
	stateNewSynRecv = 12
)

// destroyed are the multicast groups of sock_diag that report TCP sockets that end, of IPv4 and IPv6
// (SKNLGRP_INET_TCP_DESTROY, SKNLGRP_INET6_TCP_DESTROY in linux/sock_diag.h).
const destroyed = 1<<0 | 1<<2

// reportBuffer is room for the reports of a burst, in bytes.
const reportBuffer = 4 << 20

// watch remembers ended connections until ctx ends or the kernel's reports fail.
func (w *Watcher) watch(ctx context.Context) error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return fmt.Errorf("reports of ended connections: %w", err)
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, reportBuffer) // else the system's default
	reports := os.NewFile(uintptr(fd), "sock_diag")
	defer func() { _ = reports.Close() }()
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: destroyed}); err != nil {
		return fmt.Errorf("reports of ended connections: %w", err)
	}
	defer context.AfterFunc(ctx, func() { _ = reports.Close() })()
	w.mu.Lock()
	w.err = nil
	w.mu.Unlock()
	buf := make([]byte, 32<<10)
	for {
		n, err := reports.Read(buf)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, unix.ENOBUFS): // some were lost: the connections in them are not known
			continue
		case err != nil:
			return fmt.Errorf("reports of ended connections: %w", err)
		}
		for _, s := range parseReports(buf[:n]) {
			w.remember(s, time.Now())
		}
	}
}

// parseReports returns the connections in netlink messages with an inet_diag_msg each (linux/inet_diag.h).
func parseReports(b []byte) []socket {
	const header, message = 16, 72
	var out []socket
	for len(b) >= header+message {
		length := int(binary.NativeEndian.Uint32(b))
		if length < header+message || length > len(b) {
			return out
		}
		m := b[header:length]
		if m[0] == unix.AF_INET || m[0] == unix.AF_INET6 {
			size := map[byte]int{unix.AF_INET: net.IPv4len, unix.AF_INET6: net.IPv6len}[m[0]]
			s := socket{
				local:  addrPort(m[8:8+size], binary.BigEndian.Uint16(m[4:])),
				remote: addrPort(m[24:24+size], binary.BigEndian.Uint16(m[6:])),
			}
			if s.remote.Port() != 0 { // else it listened
				out = append(out, s)
			}
		}
		b = b[min(len(b), (length+3)&^3):]
	}
	return out
}

func addrPort(ip net.IP, port uint16) netip.AddrPort {
	addr, _ := netip.AddrFromSlice(ip)
	return netip.AddrPortFrom(addr.Unmap(), port)
}

// dump returns the TCP sockets whose handshake is complete, and those that listen.
func dump() ([]socket, error) { return sockets(netlink.SocketDiagTCP) }

// dumpIn is dump for the network namespace of a file. This process must be allowed to enter it (CAP_SYS_ADMIN).
func dumpIn(file string) ([]socket, error) {
	ns, err := netns.GetFromPath(file)
	if err != nil {
		return nil, err
	}
	defer func() { _ = ns.Close() }()
	h, err := netlink.NewHandleAt(ns, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return nil, err
	}
	defer h.Close()
	return sockets(h.SocketDiagTCP)
}

// sockets collects what list has of IPv4 and IPv6.
func sockets(list func(family uint8) ([]*netlink.Socket, error)) ([]socket, error) {
	var out []socket
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		all, err := list(family)
		if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
			return nil, fmt.Errorf("list of connections: %w", err)
		}
		for _, s := range all {
			switch s.State {
			case stateSynSent, stateSynRecv, stateNewSynRecv:
				continue
			}
			out = append(out, socket{
				local: addrPort(s.ID.Source, s.ID.SourcePort), remote: addrPort(s.ID.Destination, s.ID.DestinationPort),
				listening: s.State == stateListen, inode: s.INode, uid: s.UID,
			})
		}
	}
	return out, nil
}

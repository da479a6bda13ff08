package connection

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
)

// Begun returns the remote ends of the open TCP connections that c began: those whose own end is on no port that listens. So one that c accepted
// counts as well if nothing listens there any more, and one from a port that listens does not. It reads the network
// namespace of c or, of a container in that of the host, whose sockets are whose. This process must be allowed to (CAP_SYS_ADMIN, or
// CAP_SYS_PTRACE); else the error says so.
func Begun(c Container) ([]netip.AddrPort, error) {
	process := filepath.Join("/proc", strconv.Itoa(c.PID))
	if c.PID == 0 || !inContainer(process, c.ID) {
		return nil, fmt.Errorf("container %.12s: process %d is not seen here", c.ID, c.PID)
	}
	list, own := dump, func(socket) bool { return true }
	if c.Host {
		if _, err := os.ReadDir(filepath.Join(process, "fd")); err != nil {
			return nil, fmt.Errorf("sockets of container %.12s: %w", c.ID, err)
		}
		inodes := socketsOf(func(process string) bool { return inContainer(process, c.ID) })
		own = func(s socket) bool { return inodes[s.inode] }
	} else {
		list = func() ([]socket, error) { return dumpIn(filepath.Join(process, "ns", "net")) }
	}
	sockets, err := list()
	if err != nil {
		return nil, fmt.Errorf("connections of container %.12s: %w", c.ID, err)
	}
	listeners := slices.DeleteFunc(slices.Clone(sockets), func(s socket) bool { return !s.listening })
	var out []netip.AddrPort
	for _, s := range sockets {
		if !s.listening && s.remote.Addr().IsValid() && own(s) && !accepts(listeners, s.local) {
			out = append(out, netip.AddrPortFrom(clean(s.remote.Addr()), s.remote.Port()))
		}
	}
	return out, nil
}

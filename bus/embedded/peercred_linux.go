package embedded

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// peerCredentialsSupported: this system reports the credentials of a unix socket's peer.
const peerCredentialsSupported = true

// firstGroups is how many supplementary groups are read at first; the kernel returns the
// number if there are more, up to maxGroups (its NGROUPS_MAX).
const (
	firstGroups = 64
	maxGroups   = 1 << 16
)

// peerCredentials returns the credentials that the peer of c had when it connected: unix(7), SO_PEERCRED and SO_PEERGROUPS (Linux 4.13).
func peerCredentials(c net.Conn) (peer, error) {
	uc, ok := c.(*net.UnixConn)
	if !ok {
		return peer{}, errors.New("not a unix socket")
	}
	raw, err := uc.SyscallConn()
	if err != nil {
		return peer{}, err
	}
	var p peer
	var perr error
	if err := raw.Control(func(fd uintptr) { p, perr = peerCredentialsOfFD(fd) }); err != nil {
		return peer{}, err
	}
	return p, perr
}

func peerCredentialsOfFD(fd uintptr) (peer, error) {
	cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return peer{}, fmt.Errorf("peer credentials: %w", err)
	}
	groups, err := peerGroups(fd, firstGroups)
	if err != nil {
		return peer{}, fmt.Errorf("peer groups: %w", err)
	}
	return peer{uid: int(cred.Uid), gid: int(cred.Gid), pid: int(cred.Pid), groups: groups}, nil
}

// peerGroups returns the peer's supplementary groups, with a first buffer for n.
func peerGroups(fd uintptr, n int) ([]int, error) {
	raw := make([]uint32, n)
	const size = uint32(unsafe.Sizeof(raw[0]))
	length := uint32(n) * size
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, fd, unix.SOL_SOCKET, unix.SO_PEERGROUPS,
		uintptr(unsafe.Pointer(&raw[0])), uintptr(unsafe.Pointer(&length)), 0) //nolint:gosec // x/sys has no call for it; both outlive the call
	if need := int(length / size); errno == unix.ERANGE && need > n && need <= maxGroups {
		return peerGroups(fd, need)
	}
	if errno != 0 {
		return nil, errno
	}
	groups := make([]int, length/size)
	for i := range groups {
		groups[i] = int(raw[i])
	}
	return groups, nil
}

// fileOwner returns the uid of a file's owner.
func fileOwner(info fs.FileInfo) (uid int, known bool) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return int(st.Uid), true
}

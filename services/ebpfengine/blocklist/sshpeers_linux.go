package blocklist

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

const (
	maxProcesses = 1 << 20
	// maxSockets bounds how many connections are read to find those of sessions.
	maxSockets = 1 << 20
	maxFiles   = 256 // of one sshd
)

// authenticated is the title that sshd gives the process of a session: sshd: user@pts/0, sshd-session: user@notty, and
// sshd: user@pts/0,pts/1 for several terminals on one connection. Before a
// user is known it ends in "[preauth]", "[net]", "[priv]" or the like. It matters: an attacker who only tries
// passwords has a connection too, and must not become a lifeline by it.
var authenticated = regexp.MustCompile(`^sshd(-session)?: .+@(pts/\d+|tty\w*|notty|internal-sftp)(,(pts/\d+|tty\w*))*[ \x00]*$`)

// sshPeers returns the addresses that people are logged in from: the other ends of the connections that sshd holds for
// authenticated sessions, and what utmp says of remote logins. Processes of others can be seen by root only.
func sshPeers(root string) ([]ProtectedAddress, error) {
	sockets, err := sessionSockets(root)
	var list []ProtectedAddress
	if len(sockets) > 0 {
		addrs, connErr := peersOf(root, sockets)
		list = single(list, SSHPeer, addrs...)
		err = errors.Join(err, connErr)
	}
	addrs, utmpErr := remoteLogins(root)
	return single(list, SSHPeer, addrs...), wrapped("ssh peers", errors.Join(err, utmpErr))
}

// sessionSockets returns the inodes of all sockets of authenticated sessions.
func sessionSockets(root string) (map[uint64]bool, error) {
	proc := filepath.Join(root, "proc")
	dir, err := os.Open(proc)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer dir.Close() //nolint:errcheck // was only read
	names, err := dir.Readdirnames(maxProcesses)
	sockets := map[uint64]bool{}
	for _, name := range names {
		if _, notNumber := strconv.ParseUint(name, 10, 32); notNumber == nil && isSession(proc, name) {
			err = errors.Join(err, socketsOf(filepath.Join(proc, name), sockets))
		}
	}
	return sockets, err
}

// isSession asks for the name first, because it is cheap and almost nobody's. Anybody may run anything under the name and the
// title of a session: so root must have started it, with a program of root's, and not within a container.
func isSession(proc, pid string) bool {
	process := filepath.Join(proc, pid)
	if !isSSHD(process) {
		return false
	}
	title, err := readSmall(filepath.Join(process, "cmdline"))
	return err == nil && authenticated.MatchString(strings.TrimRight(title, "\x00 ")) && isRoots(filepath.Join(process, "exe")) &&
		startedByRoot(proc, pid) && namespaceOf(process) == namespaceOf(filepath.Join(proc, "self"))
}

func isSSHD(process string) bool {
	comm, err := os.ReadFile(filepath.Join(process, "comm"))
	return err == nil && slices.Contains([]string{"sshd", "sshd-session"}, strings.TrimSpace(string(comm)))
}

// startedByRoot: the process of a session is its user's, and its parent root's sshd; that of a session of root's is root's itself.
func startedByRoot(proc, pid string) bool {
	parent, root := parentOf(filepath.Join(proc, pid))
	if root {
		return true
	}
	_, root = parentOf(filepath.Join(proc, parent))
	return root && isSSHD(filepath.Join(proc, parent))
}

// parentOf reads status of proc(5): the parent's number, and whether every user id of the process is root's.
func parentOf(process string) (parent string, root bool) {
	text, _ := readSmall(filepath.Join(process, "status")) // it may have ended
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		switch {
		case len(fields) == 2 && fields[0] == "PPid:":
			parent = fields[1]
		case len(fields) == 5 && fields[0] == "Uid:":
			root = slices.Equal(fields[1:], []string{"0", "0", "0", "0"})
		}
	}
	return parent, root
}

// namespaceOf returns the name of a process's namespace of processes, which is another's in a container.
func namespaceOf(process string) string {
	name, _ := os.Readlink(filepath.Join(process, "ns", "pid"))
	return name
}

func isRoots(program string) bool {
	info, err := os.Stat(program)
	if err != nil {
		return false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && stat.Uid == 0 && info.Mode().Perm()&0o022 == 0
}

func socketsOf(process string, into map[uint64]bool) error {
	dir, err := os.Open(filepath.Join(process, "fd"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // it has ended
	}
	if err != nil {
		return err
	}
	defer dir.Close() //nolint:errcheck // was only read
	names, _ := dir.Readdirnames(maxFiles)
	for _, name := range names {
		target, err := os.Readlink(filepath.Join(process, "fd", name))
		inode, ok := strings.CutPrefix(target, "socket:[")
		if err != nil || !ok {
			continue
		}
		if n, err := strconv.ParseUint(strings.TrimSuffix(inode, "]"), 10, 64); err == nil {
			into[n] = true
		}
	}
	return nil
}

// peersOf returns the other ends of the TCP connections with these inodes.
func peersOf(root string, sockets map[uint64]bool) (found []netip.Addr, err error) {
	for _, name := range []string{"proc/net/tcp", "proc/net/tcp6"} {
		f, openErr := os.Open(filepath.Join(root, name))
		if errors.Is(openErr, fs.ErrNotExist) {
			continue // a kernel without IPv6
		}
		if openErr != nil {
			err = errors.Join(err, openErr)
			continue
		}
		in := bufio.NewScanner(f)
		for n := 0; in.Scan() && n < maxSockets; n++ {
			if remote, inode, ok := established(in.Text()); ok && sockets[inode] {
				found = append(found, remote)
			}
		}
		err = errors.Join(err, in.Err(), f.Close())
	}
	return found, err
}

// established reads a line of /proc/net/tcp (proc(5)); ok for a connection that stands.
func established(line string) (remote netip.Addr, inode uint64, ok bool) {
	const state, tcpEstablished = 3, "01"
	fields := strings.Fields(line)
	if len(fields) < 10 || fields[state] != tcpEstablished {
		return netip.Addr{}, 0, false
	}
	text, _, _ := strings.Cut(fields[2], ":")
	bytes, err := hex.DecodeString(text)
	if err != nil || len(bytes)%4 != 0 {
		return netip.Addr{}, 0, false
	}
	for i := 0; i < len(bytes); i += 4 { // words in the order of the machine; all that we run on are little-endian
		slices.Reverse(bytes[i : i+4])
	}
	remote, ok = netip.AddrFromSlice(bytes)
	inode, err = strconv.ParseUint(fields[9], 10, 64)
	return remote.Unmap(), inode, ok && err == nil && inode != 0
}

const userProcess = 7 // ut_type of utmp(5)

// utmpLayout is the size of a record of utmp(5) and where the address stands in it: glibc has 32-bit times on amd64 and
// 64-bit ones on arm64.
func utmpLayout() (size, addr int) {
	if runtime.GOARCH == "amd64" {
		return 384, 348
	}
	return 400, 360
}

// remoteLogins returns the addresses in utmp whose session's process still lives. Only root and the group utmp write it.
func remoteLogins(root string) ([]netip.Addr, error) {
	text, err := readSmall(filepath.Join(root, "run", "utmp"))
	if err != nil {
		return nil, fmt.Errorf("utmp: %w", err)
	}
	var found []netip.Addr
	size, at := utmpLayout()
	for data := []byte(text); len(data) >= size; data = data[size:] {
		kind, pid := binary.LittleEndian.Uint16(data), binary.LittleEndian.Uint32(data[4:])
		if kind != userProcess {
			continue
		}
		if _, err := os.Stat(filepath.Join(root, "proc", strconv.FormatUint(uint64(pid), 10))); err != nil {
			continue
		}
		if addr, ok := utmpAddress([16]byte(data[at : at+16])); ok {
			found = append(found, addr)
		}
	}
	return found, nil
}

// utmpAddress: an IPv4 address stands in the first word alone.
func utmpAddress(b [16]byte) (netip.Addr, bool) {
	if b == [16]byte{} {
		return netip.Addr{}, false
	}
	if [12]byte(b[4:]) == [12]byte{} {
		return netip.AddrFrom4([4]byte(b[:4])), true
	}
	return netip.AddrFrom16(b).Unmap(), true
}

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
	maxProcesses   = 1 << 20
	maxConnections = 1 << 20 // lines of one table of connections
	maxDescriptors = 256     // of one sshd
)

// sessionTitle is the title that sshd gives the process of an authenticated session: sshd: user@pts/0,
// sshd-session: user@notty, and sshd: user@pts/0,pts/1 for several terminals on one connection. Before authentication it ends
// in "[preauth]", "[net]", "[priv]" or the like: an attacker who tries passwords has a connection too, and is not protected.
var sessionTitle = regexp.MustCompile(`^sshd(-session)?: .+@(pts/\d+|tty\w*|notty|internal-sftp)(,(pts/\d+|tty\w*))*[ \x00]*$`)

// sshPeers returns the addresses that users are logged in from: the remote ends of the connections of authenticated SSH
// sessions, and the remote logins in utmp and of logind. Only root may examine the processes of sshd: another user who finds
// sessions, but no login, is told so.
func sshPeers(root string, others *otherProcesses) ([]ProtectedAddress, error) {
	sockets, hidden, err := sessionSockets(filepath.Join(root, "proc"), others)
	peers, connErr := remoteEnds(root, sockets)
	logins, utmpErr := remoteLogins(root)
	sessions, logindErr := loggedIn(root)
	peers = slices.Concat(peers, logins, sessions)
	if hidden > 0 && len(peers) == 0 {
		err = errors.Join(err, fmt.Errorf("%d sessions cannot be examined by this user, and neither utmp nor logind has them", hidden))
	}
	if err = errors.Join(err, connErr, utmpErr, logindErr); err != nil {
		err = fmt.Errorf("ssh peers: %w", err)
	}
	return appendHosts(nil, SSHPeer, peers...), err
}

// sessionSockets returns the inodes of all sockets of authenticated sessions. Hidden counts processes with the title of one that
// this user may not examine.
func sessionSockets(proc string, others *otherProcesses) (sockets map[uint64]bool, hidden int, err error) {
	names, err := readNames(proc, maxProcesses)
	sockets = map[uint64]bool{}
	sshds := others.remove(names, func(pid string) bool { return isSSHD(filepath.Join(proc, pid)) })
	for _, pid := range sshds {
		if !hasSessionTitle(filepath.Join(proc, pid)) {
			continue
		}
		if _, denied := os.Stat(filepath.Join(proc, pid, "exe")); errors.Is(denied, fs.ErrPermission) {
			hidden++
			continue
		}
		if !isSession(proc, pid) {
			continue
		}
		fds, fdErr := readNames(filepath.Join(proc, pid, "fd"), maxDescriptors)
		err = errors.Join(err, fdErr)
		for _, fd := range fds {
			target, _ := os.Readlink(filepath.Join(proc, pid, "fd", fd)) // fails for one that was closed
			inode, isSocket := strings.CutPrefix(target, "socket:[")
			if n, err := strconv.ParseUint(strings.TrimSuffix(inode, "]"), 10, 64); isSocket && err == nil {
				sockets[n] = true
			}
		}
	}
	return sockets, hidden, err
}

// readNames returns up to limit names in a folder; none if it does not exist, as that of a process that has ended.
func readNames(path string, limit int) ([]string, error) {
	dir, err := os.Open(path)
	if err != nil {
		return nil, unlessMissing(err)
	}
	defer dir.Close()                   //nolint:errcheck // was only read
	names, _ := dir.Readdirnames(limit) // as far as the process lives
	return names, nil
}

func hasSessionTitle(process string) bool {
	title, err := readSmall(filepath.Join(process, "cmdline"))
	return err == nil && sessionTitle.MatchString(strings.TrimRight(title, "\x00 "))
}

// isSession reports whether a process with such a title is the server side of an authenticated SSH session. Any user may run any program under
// the name and title of a session, with a connection to any address. So the program must be root's, root must have started it,
// and it must not be in a container.
func isSession(proc, pid string) bool {
	process := filepath.Join(proc, pid)
	return isRootsProgram(filepath.Join(process, "exe")) && startedByRoot(proc, pid) &&
		pidNamespace(process) == pidNamespace(filepath.Join(proc, "self"))
}

func isSSHD(process string) bool {
	comm, err := os.ReadFile(filepath.Join(process, "comm"))
	return err == nil && slices.Contains([]string{"sshd", "sshd-session"}, strings.TrimSpace(string(comm)))
}

// startedByRoot reports whether a session runs as root, or as its user below an sshd that runs as root.
func startedByRoot(proc, pid string) bool {
	parent, root := processOwner(filepath.Join(proc, pid))
	if root {
		return true
	}
	_, root = processOwner(filepath.Join(proc, parent))
	return root && isSSHD(filepath.Join(proc, parent))
}

// processOwner returns a process's parent, and whether all its user ids are root's. It reads status of proc(5) and not the
// owner of the folder, which is root for every process that may not be dumped.
func processOwner(process string) (parent string, root bool) {
	text, _ := readSmall(filepath.Join(process, "status")) // empty if it has ended
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

func pidNamespace(process string) string {
	name, _ := os.Readlink(filepath.Join(process, "ns", "pid"))
	return name
}

func isRootsProgram(path string) bool {
	info, err := os.Stat(path)
	if err != nil {
		return false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && stat.Uid == 0 && info.Mode().Perm()&0o022 == 0
}

// remoteEnds returns the remote ends of the TCP connections with these inodes.
func remoteEnds(root string, sockets map[uint64]bool) (found []netip.Addr, err error) {
	if len(sockets) == 0 {
		return nil, nil
	}
	err = eachConnection(root, []string{"tcp", "tcp6"}, func(remote netip.Addr, inode uint64) {
		if sockets[inode] {
			found = append(found, remote)
		}
	})
	return found, err
}

// eachConnection calls found for each established TCP connection in these tables of proc(5), which are always there; the module for
// sock_diag(7) may be missing.
func eachConnection(root string, tables []string, found func(remote netip.Addr, inode uint64)) (err error) {
	for _, table := range tables {
		f, openErr := os.Open(filepath.Join(root, "proc/net", table))
		if openErr != nil {
			err = errors.Join(err, unlessMissing(openErr)) // a kernel without IPv6 has no tcp6
			continue
		}
		lines := bufio.NewScanner(f)
		for n := 0; lines.Scan(); n++ {
			if n == maxConnections {
				err = errors.Join(err, fmt.Errorf("%s: more than %d connections", f.Name(), maxConnections))
				break
			}
			if remote, inode, ok := parseConnection(lines.Text()); ok {
				found(remote, inode)
			}
		}
		err = errors.Join(err, lines.Err(), f.Close())
	}
	return err
}

// parseConnection parses a line of /proc/net/tcp (proc(5)); ok for an established connection.
func parseConnection(line string) (remote netip.Addr, inode uint64, ok bool) {
	const state, established = 3, "01"
	fields := strings.Fields(line)
	if len(fields) < 10 || fields[state] != established {
		return netip.Addr{}, 0, false
	}
	text, _, _ := strings.Cut(fields[2], ":")
	bytes, err := hex.DecodeString(text)
	if err != nil || len(bytes)%4 != 0 {
		return netip.Addr{}, 0, false
	}
	for i := 0; i < len(bytes); i += 4 { // words in the order of the machine; all supported ones are little-endian
		slices.Reverse(bytes[i : i+4])
	}
	remote, ok = netip.AddrFromSlice(bytes)
	inode, err = strconv.ParseUint(fields[9], 10, 64)
	return remote.Unmap(), inode, ok && err == nil && inode != 0
}

// remoteLogins returns the addresses in utmp(5) whose session's process is alive: those of SSH servers whose processes cannot be
// read, or which are not OpenSSH. Only root and the group utmp write the file.
func remoteLogins(root string) (found []netip.Addr, err error) {
	const userProcess = 7       // ut_type
	size, addressAt := 400, 360 // of struct utmp: glibc has 64-bit times on arm64, 32-bit ones on amd64
	if runtime.GOARCH == "amd64" {
		size, addressAt = 384, 348
	}
	text, err := readSmall(filepath.Join(root, "run", "utmp"))
	if err != nil {
		return nil, fmt.Errorf("utmp: %w", err)
	}
	for data := []byte(text); len(data) >= size; data = data[size:] {
		kind, pid := binary.LittleEndian.Uint16(data), binary.LittleEndian.Uint32(data[4:])
		_, gone := os.Stat(filepath.Join(root, "proc", strconv.FormatUint(uint64(pid), 10)))
		if kind != userProcess || gone != nil {
			continue
		}
		address := [16]byte(data[addressAt:])
		if [12]byte(address[4:]) == [12]byte{} { // IPv4 in the first word; all zero for a local login, which appendHosts leaves out
			found = append(found, netip.AddrFrom4([4]byte(address[:4])))
		} else {
			found = append(found, netip.AddrFrom16(address).Unmap())
		}
	}
	return found, nil
}

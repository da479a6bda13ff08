package blocklist_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/internal/testenv"
	"github.com/ironpost/ironpost/services/ebpfengine/blocklist"
)

// sshd adds a process to the fake proc(5) below root, with a connection from addr.
func sshd(t testing.TB, root string, pid int, comm, title, addr string) {
	t.Helper()
	process := filepath.Join(root, "proc", fmt.Sprint(pid))
	require.NoError(t, os.MkdirAll(filepath.Join(process, "fd"), 0o700))
	write(t, filepath.Join(process, "comm"), comm+"\n")
	write(t, filepath.Join(process, "cmdline"), title+strings.Repeat("\x00", 20))
	write(t, filepath.Join(process, "status"), "Name:\tsshd\nPPid:\t9\nUid:\t1000\t1000\t1000\t1000\n")
	require.NoError(t, os.Symlink("/bin/sh", filepath.Join(process, "exe")))
	require.NoError(t, os.Symlink("/dev/null", filepath.Join(process, "fd", "0")))
	require.NoError(t, os.Symlink(fmt.Sprintf("socket:[%d]", 1000+pid), filepath.Join(process, "fd", "4")))
	connection(t, root, pid, addr)
}

// listener adds the parent of all sessions.
func listener(t testing.TB, root string) {
	t.Helper()
	process := filepath.Join(root, "proc", "9")
	require.NoError(t, os.MkdirAll(process, 0o700))
	write(t, filepath.Join(process, "comm"), "sshd\n")
	write(t, filepath.Join(process, "status"), "Name:\tsshd\nPPid:\t1\nUid:\t0\t0\t0\t0\n")
}

// connection adds a line to proc/net/tcp or tcp6.
func connection(t testing.TB, root string, pid int, addr string) {
	t.Helper()
	a := netip.MustParseAddr(addr)
	name := "proc/net/tcp"
	if a.Is6() {
		name = "proc/net/tcp6"
	}
	var words string
	for b := a.AsSlice(); len(b) > 0; b = b[4:] {
		words += fmt.Sprintf("%08X", binary.LittleEndian.Uint32(b))
	}
	require.NoError(t, os.MkdirAll(filepath.Join(root, "proc", "net"), 0o700))
	f, err := os.OpenFile(filepath.Join(root, name), os.O_APPEND|os.O_WRONLY|os.O_CREATE, 0o600)
	require.NoError(t, err)
	_, err = fmt.Fprintf(f, "   0: 010200C0:0016 %s:D431 01 00000000:00000000 02:000A7B11 00000000     0        0 %d 4 0000000000000000 20 4 30 10 -1\n", words, 1000+pid)
	require.NoError(t, err)
	require.NoError(t, f.Close())
}

func rootOnly(t testing.TB) {
	t.Helper()
	info, err := os.Stat("/bin/sh")
	require.NoError(t, err)
	if info.Mode().Perm()&0o022 != 0 {
		testenv.Require(t, "root's programs", os.ErrPermission)
	}
}

// A user who is logged in is protected; one who only tries is not.
func TestOnlyAuthenticatedSessionsAreProtected(t *testing.T) {
	t.Parallel()
	rootOnly(t)
	root := system(t, map[string]string{"proc/net/tcp": "  sl  local_address rem_address   st\n"})
	listener(t, root)
	sshd(t, root, 10, "sshd", "sshd: alice@pts/0", "198.51.100.1")
	sshd(t, root, 11, "sshd-session", "sshd-session: bob@notty", "2001:db8::11")
	sshd(t, root, 12, "sshd", "sshd: carol@example.org@pts/12", "::ffff:198.51.100.12")
	sshd(t, root, 13, "sshd", "sshd: dave@pts/3,pts/4,pts/10", "198.51.100.13")
	for i, title := range []string{
		"sshd: [accepted]", "sshd: unknown [priv]", "sshd: unknown [net]", "sshd: alice [preauth]", "sshd: a@notty [preauth]",
		"sshd: /usr/sbin/sshd -D [listener] 0 of 10-100 startups", "sshd-session: a@pts/0 [net]", "/usr/bin/evil sshd: a@pts/0", "sshd: a@pts/0\nx", "sshd: a@pts/0,x",
	} {
		sshd(t, root, 20+i, "sshd", title, fmt.Sprintf("203.0.113.%d", i+1))
	}
	sshd(t, root, 40, "evil", "sshd: mallory@pts/1", "203.0.113.40")
	list, err := blocklist.SSHPeers(root)
	require.NoError(t, err)
	require.ElementsMatch(t, []string{"198.51.100.1/32", "198.51.100.12/32", "198.51.100.13/32", "2001:db8::11/128"}, ofKind(list, blocklist.SSHPeer))
}

// Any user may call a process sshd; only a program of root's counts.
func TestOnlyRootsProgramCountsAsSSHD(t *testing.T) {
	t.Parallel()
	root := system(t, map[string]string{"bin/sshd": "#!/bin/sh\n"})
	listener(t, root)
	sshd(t, root, 10, "sshd", "sshd: mallory@pts/0", "203.0.113.1")
	exe := filepath.Join(root, "proc", "10", "exe")
	require.NoError(t, os.Remove(exe))
	require.NoError(t, os.Symlink(filepath.Join(root, "bin", "sshd"), exe))
	require.NoError(t, os.Chmod(filepath.Join(root, "bin", "sshd"), 0o777))
	list, err := blocklist.SSHPeers(root)
	require.NoError(t, err)
	require.Empty(t, list)
}

// Any user may run one of root's programs under the name and title of a session, too, with a connection to any address. That
// address must not become protected: no block would reach it.
func TestOnlySessionsStartedByRootCount(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		testenv.Require(t, "root", os.ErrPermission)
	}
	list := func(user uint32, server string) []string {
		listener, err := net.Listen("tcp", server+":0")
		require.NoError(t, err)
		defer func() { require.NoError(t, listener.Close()) }()
		conn, err := net.Dial("tcp", listener.Addr().String())
		require.NoError(t, err)
		defer func() { require.NoError(t, conn.Close()) }()
		socket, err := conn.(*net.TCPConn).File()
		require.NoError(t, err)
		defer func() { require.NoError(t, socket.Close()) }()
		forgeSession(t, user, socket)
		found, err := blocklist.SSHPeers("/")
		require.NoError(t, err)
		return ofKind(found, blocklist.SSHPeer)
	}
	require.Contains(t, list(0, "127.77.0.1"), "127.77.0.1/32", "root runs it")
	require.NotContains(t, list(65_534, "127.77.0.2"), "127.77.0.2/32")
}

// forgeSession runs a program of root's under the title of a session, as user, with a connection, until the test ends.
func forgeSession(t testing.TB, user uint32, conn *os.File) {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.Chmod(filepath.Dir(dir), 0o755)) // for the user
	require.NoError(t, os.Symlink("/bin/cat", filepath.Join(dir, "sshd")))
	cmd := exec.Command(filepath.Join(dir, "sshd"))
	cmd.Args = []string{"sshd: mallory@pts/0"}
	cmd.ExtraFiles = []*os.File{conn}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: user, Gid: user}}
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		require.NoError(t, in.Close())
		require.NoError(t, cmd.Wait())
	})
	// Start returns before the kernel has set the name and title of the new program; its first output comes after.
	_, err = in.Write([]byte{'.'})
	require.NoError(t, err)
	_, err = io.ReadFull(out, make([]byte, 1))
	require.NoError(t, err)
}

func TestRemoteLoginsOfUtmp(t *testing.T) {
	t.Parallel()
	size, at := 384, 348
	if runtime.GOARCH != "amd64" {
		size, at = 400, 360
	}
	record := func(kind, pid int, addr string) string {
		b := make([]byte, size)
		binary.LittleEndian.PutUint16(b, uint16(kind))
		binary.LittleEndian.PutUint32(b[4:], uint32(pid))
		if addr != "" {
			copy(b[at:], netip.MustParseAddr(addr).AsSlice())
		}
		return string(b)
	}
	root := system(t, map[string]string{
		"proc/7/comm": "login\n",
		"run/utmp": record(7, 7, "198.51.100.7") + record(7, 7, "2001:db8::7") + record(7, 7, "") +
			record(7, 8, "203.0.113.8") + record(8, 7, "203.0.113.9") + record(6, 7, "203.0.113.10") + "cut off",
	})
	list, err := blocklist.SSHPeers(root)
	require.NoError(t, err)
	require.ElementsMatch(t, []string{"198.51.100.7/32", "2001:db8::7/128"}, ofKind(list, blocklist.SSHPeer), "others are gone or no users")
}

func TestRemoteSessionsOfLogind(t *testing.T) {
	t.Parallel()
	session := func(leader, remote, host string) string {
		return "# This is private data. Do not parse.\nUID=1000\nACTIVE=1\nREMOTE=" + remote + "\nREMOTE_HOST=" + host + "\nSERVICE=sshd\nLEADER=" + leader + "\n"
	}
	root := system(t, map[string]string{
		"proc/7/comm":            "sshd\n",
		"run/systemd/sessions/1": session("7", "1", "198.51.100.7"),
		"run/systemd/sessions/2": session("7", "1", "2001:db8::7"),
		"run/systemd/sessions/3": session("8", "1", "203.0.113.8"),
		"run/systemd/sessions/4": session("7", "0", "203.0.113.9"),
		"run/systemd/sessions/5": session("7", "1", "gateway.example.org"),
		"run/systemd/sessions/6": "cut off",
	})
	require.NoError(t, syscall.Mkfifo(filepath.Join(root, "run/systemd/sessions/1.ref"), 0o600))
	list, err := blocklist.SSHPeers(root)
	require.NoError(t, err)
	require.ElementsMatch(t, []string{"198.51.100.7/32", "2001:db8::7/128"}, ofKind(list, blocklist.SSHPeer), "others are gone or local")
}

// A user who may not examine sshd's processes says so, unless the logins are known from elsewhere. The test is run again as
// such a user.
func TestHiddenSessionsAreReported(t *testing.T) {
	t.Parallel()
	const variable = "IRONPOST_TEST_HIDDEN_SESSIONS"
	if root := os.Getenv(variable); root != "" {
		list, err := blocklist.SSHPeers(root)
		fmt.Println(ofKind(list, blocklist.SSHPeer), err)
		return
	}
	if os.Geteuid() != 0 {
		testenv.Require(t, "root", os.ErrPermission)
	}
	root := system(t, map[string]string{"closed/sshd": "", "proc/7/comm": "sshd\n"})
	listener(t, root)
	sshd(t, root, 10, "sshd", "sshd: alice@pts/0", "198.51.100.1")
	exe := filepath.Join(root, "proc", "10", "exe")
	require.NoError(t, os.Remove(exe))
	require.NoError(t, os.Symlink(filepath.Join(root, "closed", "sshd"), exe))
	run := exec.Command("chmod", "-R", "--", "a+rX", root)
	require.NoError(t, run.Run())
	require.NoError(t, os.Chmod(filepath.Dir(root), 0o755)) // the folder of this test
	require.NoError(t, os.Chmod(filepath.Join(root, "closed"), 0o700))

	self, err := os.ReadFile("/proc/self/exe")
	require.NoError(t, err)
	program := filepath.Join(root, "blocklist.test")
	require.NoError(t, os.WriteFile(program, self, 0o755))
	asNobody := func() string {
		cmd := exec.Command(program, "-test.run", "^TestHiddenSessionsAreReported$")
		cmd.Dir, cmd.Env = "/", []string{variable + "=" + root}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65_534, Gid: 65_534}}
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
		return string(out)
	}
	require.Contains(t, asNobody(), "1 sessions cannot be examined by this user")
	sessions := filepath.Join(root, "run", "systemd", "sessions")
	require.NoError(t, os.MkdirAll(sessions, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(sessions, "1"), []byte("REMOTE=1\nREMOTE_HOST=198.51.100.1\nLEADER=7\n"), 0o644))
	require.Contains(t, asNobody(), "[198.51.100.1/32] <nil>")
}

// The kernel's own table is parsed.
func TestKernelsConnectionTableIsRead(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	client, err := net.Dial("tcp", listener.Addr().String())
	require.NoError(t, err)
	server, err := listener.Accept()
	require.NoError(t, err)
	for _, c := range []io.Closer{listener, client, server} {
		t.Cleanup(func() { require.NoError(t, c.Close()) })
	}
	raw, err := server.(*net.TCPConn).SyscallConn()
	require.NoError(t, err)
	var link string
	require.NoError(t, raw.Control(func(fd uintptr) { link, err = os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd)) }))
	require.NoError(t, err)
	var inode uint64
	_, err = fmt.Sscanf(link, "socket:[%d]", &inode)
	require.NoError(t, err)
	addrs, err := blocklist.RemoteEnds("/", inode)
	require.NoError(t, err)
	require.Equal(t, []netip.Addr{netip.MustParseAddr("127.0.0.1")}, addrs)
}

// What is not read might be the operator's session: a table that is too long is an error, not a short list.
func TestTooManyConnectionsAreAnError(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(root, "proc/net"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(root, "proc/net/tcp"), bytes.Repeat([]byte("x\n"), 1<<20+1), 0o600))
	_, err := blocklist.RemoteEnds(root, 1)
	require.ErrorContains(t, err, "more than 1048576 connections")
}

func FuzzParseConnection(f *testing.F) {
	f.Add("   0: 0100007F:0016 0100007F:D431 01 00000000:00000000 02:000A7B11 00000000     0        0 4711 4 0 20 4 30 10 -1")
	f.Fuzz(func(t *testing.T, line string) {
		if addr, ok := blocklist.ParseConnection(line); ok {
			require.True(t, addr.IsValid())
			require.False(t, addr.Is4In6())
		}
	})
}

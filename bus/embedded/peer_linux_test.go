package embedded_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/bus/bustest"
	"github.com/ironpost/ironpost/bus/embedded"
	"github.com/ironpost/ironpost/internal/testenv"
)

// dialVar makes this test binary connect to the socket it names and print the greeting.
const dialVar = "IRONPOST_TEST_DIAL"

func TestMain(m *testing.M) {
	if path := os.Getenv(dialVar); path != "" {
		os.Exit(dialAndPrint(path))
	}
	os.Exit(m.Run())
}

// dialAndPrint is the other process. It exits with 3 where the file's mode alone keeps
// it out.
func dialAndPrint(path string) int {
	c, err := net.Dial("unix", path)
	if errors.Is(err, os.ErrPermission) {
		return 3
	}
	if err != nil {
		return 1
	}
	_ = c.SetReadDeadline(time.Now().Add(patience))
	line, _ := bufio.NewReader(c).ReadBytes('\n')
	_, _ = os.Stdout.Write(line)
	return 0
}

// Ids of users without rights, and of a group that stands for "ironpost".
const (
	outsider = 54321
	members  = 54322
	others   = 54323
)

func TestOperatorsByCredentials(t *testing.T) {
	t.Parallel()
	requireRoot(t)
	b := bustest.New(t, groupOfTests(t))
	openDoor(t, b.Socket(), 0o666) // the peer check alone decides
	many := []uint32{members}
	for n := range uint32(200) { // more than are asked for at first
		many = append(many, 60000+n)
	}
	slices.Reverse(many)
	for name, tc := range map[string]struct {
		credential syscall.Credential
		in         bool
	}{
		"root":                          {syscall.Credential{Uid: 0, Gid: 0}, true},
		"outsider":                      {syscall.Credential{Uid: outsider, Gid: outsider}, false},
		"outsider with groups":          {syscall.Credential{Uid: outsider, Gid: outsider, Groups: []uint32{others, 0}}, false},
		"root's group is not root":      {syscall.Credential{Uid: outsider, Gid: 0}, false},
		"member by primary group":       {syscall.Credential{Uid: outsider, Gid: members}, true},
		"member by supplementary group": {syscall.Credential{Uid: outsider, Gid: outsider, Groups: []uint32{others, members}}, true},
		"member of very many groups":    {syscall.Credential{Uid: outsider, Gid: outsider, Groups: many}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g, code := dialAs(t, b.Socket(), tc.credential)
			require.Zero(t, code)
			require.Equal(t, tc.in, g.Seed != "")
			require.Equal(t, !tc.in, g.Error != "")
		})
	}
}

func TestRefusedPeersAreCounted(t *testing.T) {
	t.Parallel()
	requireRoot(t)
	b := bustest.New(t, groupOfTests(t))
	openDoor(t, b.Socket(), 0o666)
	for range 3 {
		g, _ := dialAs(t, b.Socket(), syscall.Credential{Uid: outsider, Gid: outsider})
		require.Contains(t, g.Error, "only root")
	}
	require.Eventually(t, func() bool { return b.Server().Stats().Refused["socket"] == 3 }, patience, patience/1000, "it is counted after the answer")
}

// The mode alone keeps outsiders out and lets members in, before any check.
func TestSocketModeRefusesOtherUsers(t *testing.T) {
	t.Parallel()
	requireRoot(t)
	b := bustest.New(t, groupOfTests(t))
	openDoor(t, b.Socket(), 0)
	_, code := dialAs(t, b.Socket(), syscall.Credential{Uid: outsider, Gid: outsider})
	require.Equal(t, 3, code)
	g, code := dialAs(t, b.Socket(), syscall.Credential{Uid: outsider, Gid: outsider, Groups: []uint32{members}})
	require.Zero(t, code)
	require.NotEmpty(t, g.Seed)
}

// A folder of someone else's is no place for a socket that hands out a seed.
func TestSocketInFolderOfAnotherUserIsRefused(t *testing.T) {
	t.Parallel()
	requireRoot(t)
	dir := shortDir(t)
	require.NoError(t, os.Chown(dir, outsider, outsider))
	_, err := embedded.Start(within(t), config(t, filepath.Join(dir, "bus.sock")), quiet())
	require.ErrorContains(t, err, "54321")
}

func requireRoot(t *testing.T) {
	t.Helper()
	var err error
	if os.Geteuid() != 0 {
		err = errors.New("needs root, to become other users")
	}
	testenv.Require(t, "root", err)
}

// groupOfTests has the socket's group looked up by number, so that no group must
// be added to the machine.
func groupOfTests(t *testing.T) bustest.Option {
	t.Helper()
	return bustest.WithConfig(func(c *embedded.Config) { c.SocketGroup = strconv.Itoa(members) })
}

// openDoor lets anyone reach the socket's folder and, if mode is not 0, gives the
// socket that mode.
func openDoor(t *testing.T, socket string, mode os.FileMode) {
	t.Helper()
	require.NoError(t, os.Chmod(filepath.Dir(socket), 0o755))
	if mode != 0 {
		require.NoError(t, os.Chmod(socket, mode))
	}
}

// dialAs runs this binary as another user and returns the greeting it got.
func dialAs(t *testing.T, socket string, credential syscall.Credential) (bus.Greeting, int) {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.CommandContext(within(t), "/proc/self/fd/3")
	binary, err := os.Open(self) // a folder on the way may be closed to others
	require.NoError(t, err)
	defer func() { _ = binary.Close() }()
	cmd.ExtraFiles = []*os.File{binary}
	cmd.Env = []string{dialVar + "=" + socket, "GORACE=atexit_sleep_ms=0"}
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &credential}
	out, err := cmd.Output()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		require.NoError(t, err)
	}
	var g bus.Greeting
	if len(out) > 0 {
		require.NoError(t, json.Unmarshal(out, &g))
	}
	return g, cmd.ProcessState.ExitCode()
}

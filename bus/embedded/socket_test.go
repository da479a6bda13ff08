package embedded_test

import (
	"bufio"
	"context"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/bus/bustest"
	"github.com/ironpost/ironpost/bus/embedded"
)

func TestSocketSendsOperatorsTheSeedThenNATS(t *testing.T) {
	t.Parallel()
	b := bustest.New(t, bustest.WithHost("web-1"))
	conn, err := bus.DialSocket(within(t), b.Socket())
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close(within(t))) }()
	require.Equal(t, "web-1", conn.Host())
	require.True(t, conn.Connected())
}

func TestSocketModeAndPath(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	info, err := os.Lstat(b.Socket())
	require.NoError(t, err)
	require.Equal(t, os.ModeSocket|0o660, info.Mode())
	b.Stop()
	require.NoFileExists(t, b.Socket())
	require.NoFileExists(t, b.Socket()+".new")
}

func TestSocketMakesItsFolder(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(shortDir(t), "ironpost")
	bustest.New(t, at(filepath.Join(dir, "bus.sock")))
	info, err := os.Stat(dir)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o750), info.Mode().Perm())
}

// longest returns the longest path of a socket in dir.
func longest(dir string) string {
	return filepath.Join(dir, strings.Repeat("s", embedded.MaxSocketPath-len(dir)-1))
}

func TestLongestSocketPath(t *testing.T) {
	t.Parallel()
	b := bustest.New(t, at(longest(shortDir(t))))
	conn, err := bus.DialSocket(within(t), b.Socket())
	require.NoError(t, err)
	require.NoError(t, conn.Close(within(t)))
}

func TestStaleSocketIsReplaced(t *testing.T) {
	t.Parallel()
	path := filepath.Join(shortDir(t), "bus.sock")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	require.NoError(t, err)
	l.SetUnlinkOnClose(false)
	require.NoError(t, l.Close())
	b := bustest.New(t, at(path))
	_, err = bus.DialSocket(within(t), b.Socket())
	require.NoError(t, err)
}

func TestSocketIsRefused(t *testing.T) {
	t.Parallel()
	for name, make := range map[string]func(t *testing.T, dir string) (path, says string){
		"a file lies there": func(t *testing.T, dir string) (string, string) {
			path := filepath.Join(dir, "bus.sock")
			require.NoError(t, os.WriteFile(path, []byte("mine"), 0o600))
			return path, "not a socket"
		},
		"a link lies there": func(t *testing.T, dir string) (string, string) {
			path := filepath.Join(dir, "bus.sock")
			require.NoError(t, os.Symlink(filepath.Join(dir, "elsewhere"), path))
			return path, "not a socket"
		},
		"a link lies beside": func(t *testing.T, dir string) (string, string) {
			path := filepath.Join(dir, "bus.sock")
			require.NoError(t, os.Symlink(filepath.Join(dir, "elsewhere"), path+".new"))
			return path, "not a socket"
		},
		"another process listens": func(t *testing.T, dir string) (string, string) {
			path := filepath.Join(dir, "bus.sock")
			l, err := net.Listen("unix", path)
			require.NoError(t, err)
			t.Cleanup(func() { _ = l.Close() })
			return path, "another process"
		},
		"the folder is a link": func(t *testing.T, dir string) (string, string) {
			require.NoError(t, os.Mkdir(filepath.Join(dir, "real"), 0o700))
			require.NoError(t, os.Symlink("real", filepath.Join(dir, "link")))
			return filepath.Join(dir, "link", "bus.sock"), "link"
		},
		"anyone may write the folder": func(t *testing.T, dir string) (string, string) {
			require.NoError(t, os.Chmod(dir, 0o777))
			return filepath.Join(dir, "bus.sock"), "anyone"
		},
		"the path is too long": func(t *testing.T, dir string) (string, string) {
			return longest(dir) + "k", "longer"
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path, says := make(t, shortDir(t))
			_, err := embedded.Start(within(t), config(t, path), quiet())
			require.ErrorContains(t, err, says)
		})
	}
}

// A file that took the socket's place is not ours to remove.
func TestStopKeepsAFileOfAnotherProcess(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	require.NoError(t, os.Remove(b.Socket()))
	require.NoError(t, os.WriteFile(b.Socket(), []byte("mine"), 0o600))
	b.Stop()
	require.FileExists(t, b.Socket())
}

func TestOperatorAboveTheLimitIsRejected(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	var clients []*bus.Conn
	for range 64 {
		c, err := bus.DialSocket(within(t), b.Socket())
		require.NoError(t, err)
		t.Cleanup(func() { _ = c.Close(context.Background()) })
		clients = append(clients, c)
	}
	_, g := dial(t, b.Socket())
	require.Empty(t, g.Seed)
	require.Contains(t, g.Error, "too many")
	require.Equal(t, uint64(1), b.Server().Stats().Refused["socket"])

	require.NoError(t, clients[0].Close(within(t)))
	require.Eventually(t, func() bool {
		c, err := net.Dial("unix", b.Socket())
		require.NoError(t, err)
		defer func() { _ = c.Close() }()
		return read(t, c).Seed != ""
	}, patience, 10*time.Millisecond, "a slot that was left is free again")
}

// dial connects and reads the greeting.
func dial(t testing.TB, path string) (net.Conn, bus.Greeting) {
	t.Helper()
	c, err := net.Dial("unix", path)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return c, read(t, c)
}

func read(t testing.TB, c net.Conn) bus.Greeting {
	t.Helper()
	require.NoError(t, c.SetReadDeadline(time.Now().Add(patience)))
	line, err := bufio.NewReader(c).ReadBytes('\n')
	require.NoError(t, err)
	var g bus.Greeting
	require.NoError(t, json.Unmarshal(line, &g))
	return g
}

func at(path string) bustest.Option {
	return bustest.WithConfig(func(c *embedded.Config) { c.Socket = path })
}

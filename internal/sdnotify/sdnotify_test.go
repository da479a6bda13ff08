package sdnotify_test

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/internal/sdnotify"
)

func listen(t *testing.T, name string) *net.UnixConn {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func receive(t *testing.T, conn *net.UnixConn) []string {
	t.Helper()
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(5*time.Second)))
	b := make([]byte, 4096)
	n, err := conn.Read(b)
	require.NoError(t, err)
	return strings.Split(string(b[:n]), "\n")
}

func env(pairs ...string) func(string) string {
	return func(key string) string {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == key {
				return pairs[i+1]
			}
		}
		return ""
	}
}

func TestEachNotificationArrives(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(t.TempDir(), "notify")
	conn := listen(t, socket)
	n := sdnotify.New(env("NOTIFY_SOCKET", socket))

	require.NoError(t, n.Ready("healthy"))
	require.Equal(t, []string{"READY=1", "STATUS=healthy"}, receive(t, conn))
	require.NoError(t, n.Watchdog())
	require.Equal(t, []string{"WATCHDOG=1"}, receive(t, conn))
	require.NoError(t, n.Status("degraded"))
	require.Equal(t, []string{"STATUS=degraded"}, receive(t, conn))
	require.NoError(t, n.Stopping())
	require.Equal(t, []string{"STOPPING=1", "STATUS=stopping"}, receive(t, conn))

	require.NoError(t, n.Reloading())
	got := receive(t, conn)
	require.Equal(t, "RELOADING=1", got[0])
	usec, err := strconv.ParseInt(strings.TrimPrefix(got[1], "MONOTONIC_USEC="), 10, 64)
	require.NoError(t, err)
	require.Positive(t, usec)
}

func TestAbstractSocket(t *testing.T) {
	t.Parallel()
	name := "@ironpost-test-" + strconv.Itoa(os.Getpid())
	conn := listen(t, name)
	require.NoError(t, sdnotify.New(env("NOTIFY_SOCKET", name)).Watchdog())
	require.Equal(t, []string{"WATCHDOG=1"}, receive(t, conn))
}

func TestStatusCannotAddAssignments(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(t.TempDir(), "notify")
	conn := listen(t, socket)
	n := sdnotify.New(env("NOTIFY_SOCKET", socket))
	require.NoError(t, n.Status("fine\nMAINPID=1\x00"+strings.Repeat("é", 1000)))
	got := receive(t, conn)
	require.Len(t, got, 1)
	require.Less(t, len(got[0]), 300)
}

func TestWithoutSystemdNothingHappens(t *testing.T) {
	t.Parallel()
	for _, n := range []*sdnotify.Notifier{nil, sdnotify.New(env()), sdnotify.New(env("NOTIFY_SOCKET", "relative"))} {
		require.NoError(t, n.Ready("x"))
		require.NoError(t, n.Watchdog())
		require.Zero(t, n.WatchdogInterval())
	}
}

func TestMissingSocketIsAnError(t *testing.T) {
	t.Parallel()
	n := sdnotify.New(env("NOTIFY_SOCKET", filepath.Join(t.TempDir(), "gone")))
	require.ErrorContains(t, n.Ready("x"), "notify systemd")
}

func TestWatchdogIntervalIsHalf(t *testing.T) {
	t.Parallel()
	own := strconv.Itoa(os.Getpid())
	for name, c := range map[string]struct {
		usec, pid string
		want      time.Duration
	}{
		"ours":       {"30000000", own, 15 * time.Second},
		"anyone's":   {"30000000", "", 15 * time.Second},
		"another's":  {"30000000", "1", 0},
		"not set":    {"", "", 0},
		"not number": {"soon", "", 0},
		"negative":   {"-5", "", 0},
	} {
		n := sdnotify.New(env("NOTIFY_SOCKET", "/run/x", "WATCHDOG_USEC", c.usec, "WATCHDOG_PID", c.pid))
		require.Equal(t, c.want, n.WatchdogInterval(), name)
	}
}

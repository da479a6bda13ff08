package syslog_test

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/internal/testenv"
	"github.com/ironpost/ironpost/services/logpipeline/syslog"
)

// newUnixRig is a server on a unix socket that everybody can reach.
func newUnixRig(t testing.TB, change func(*syslog.Config)) *rig {
	dir, err := os.MkdirTemp("", "ip")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	require.NoError(t, os.Chmod(dir, 0o755))
	return newRig(t, func(c *syslog.Config) {
		c.UDP, c.TCP, c.Unix = "", "", filepath.Join(dir, "log.sock")
		if change != nil {
			change(c)
		}
	})
}

func (r *rig) bound() {
	require.Eventually(r.t, func() bool { return r.srv.Addr(syslog.Unix) != nil }, 5*time.Second, time.Millisecond)
}

// The kernel proves which user's program sent a message.
func TestLoggerSendsToTheSocket(t *testing.T) {
	t.Parallel()
	var root error
	if os.Getuid() != 0 {
		root = errors.New("not root")
	}
	testenv.Require(t, "another user", root)
	const nobody = 65534
	r := newUnixRig(t, nil)
	r.bound()
	logger := exec.Command("logger", "-u", r.cfg.Unix, "-t", "sshd", "Accepted password for root")
	logger.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	require.NoError(t, logger.Run())
	rec := r.record()
	require.Contains(t, string(rec.Message), "sshd: Accepted password for root")
	require.EqualValues(t, nobody, *rec.UID)
	require.Equal(t, syslog.Unix, rec.Transport)

	c, err := net.Dial("unixgram", r.cfg.Unix)
	require.NoError(t, err)
	send(t, c, "<34>two\n lines\n")
	rec = r.record()
	require.Equal(t, "<34>two\n lines", string(rec.Message), "a line end may come from whom the message is about")
	self, err := os.Readlink("/proc/self/exe")
	require.NoError(t, err)
	require.Equal(t, self, rec.Exe)
	require.EqualValues(t, 0, *rec.UID)
	send(t, c, "\n")
	require.Eventually(t, func() bool { return r.srv.Stats().Dropped[syslog.DropEmpty] == 1 }, 5*time.Second, time.Millisecond)
}

// What is over the share of one user is dropped and counted, and another user still has room.
func TestUserThatFloodsTheSocket(t *testing.T) {
	t.Parallel()
	r := newUnixRig(t, func(c *syslog.Config) { c.UDPQueueBytes = 1 << 20; c.MaxBytes = 64 << 20 })
	r.bound()
	c, err := net.Dial("unixgram", r.cfg.Unix)
	require.NoError(t, err)
	const sent = 3000
	text := "<34>" + strings.Repeat("x", 8000)
	for range sent {
		send(t, c, text)
	}
	require.Eventually(t, func() bool {
		st := r.srv.Stats()
		return st.Received[syslog.Unix]+st.Dropped[syslog.DropPeer]+st.Dropped[syslog.DropSpool] == sent
	}, 20*time.Second, 10*time.Millisecond)
}

// A socket that an earlier process left is taken over; one that is in use, and any other file, is left alone.
func TestSocketThatIsThere(t *testing.T) {
	t.Parallel()
	r := newUnixRig(t, nil)
	r.bound()
	st, err := os.Stat(r.cfg.Unix)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o666), st.Mode().Perm())
	second := newRig(t, func(c *syslog.Config) { c.UDP, c.TCP, c.Unix = "", "", r.cfg.Unix })
	require.Eventually(t, func() bool { return len(second.srv.Stats().Reasons) == 1 }, 5*time.Second, time.Millisecond)
	require.Contains(t, second.srv.Stats().Reasons[0], "another program has it")
	r.stop()
	require.Eventually(t, func() bool { return second.srv.Addr(syslog.Unix) != nil }, 5*time.Second, time.Millisecond)
	second.stop()

	left, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: r.cfg.Unix, Net: "unixgram"})
	require.NoError(t, err)
	require.NoError(t, left.Close())
	r.start()
	r.bound()
	r.stop()
	require.NoError(t, os.WriteFile(r.cfg.Unix, []byte("a file"), 0o600))
	r.start()
	require.Eventually(t, func() bool { return len(r.srv.Stats().Reasons) == 1 }, 5*time.Second, time.Millisecond)
	require.Contains(t, r.srv.Stats().Reasons[0], "is no socket")
	require.FileExists(t, r.cfg.Unix)
}

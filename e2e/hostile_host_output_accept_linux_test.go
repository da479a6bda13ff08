//go:build accept && linux

package e2e_test

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Fault 5: who reads the standard output and the standard error of the daemon has gone, or does not read. All alerts come, the status says so
// within 5 s, and SIGTERM ends the daemon within its bound.
func TestAcceptHostileHostOutput(t *testing.T) {
	const lines, named, bound = 2000, 5 * time.Second, 20 * time.Second
	for name, gone := range map[string]bool{"closed": true, "full and unread": false} {
		t.Run(name, func(t *testing.T) {
			s := newInstance(t)
			s.replace("[general]", "[general]\nlog_level = \"trace\"") // much to log
			r, w := fullPipe(t)
			if gone {
				require.NoError(t, r.Close())
			}
			s.startWithOutput(w)
			began := time.Now()
			s.append(usersLines(lines))
			s.eventually(func() bool { return s.reasonOfLog() != "" })
			told := time.Since(began)
			s.eventually(func() bool { users, _ := s.firstAlertsByUser(); return len(users) == lines })
			reason := s.reasonOfLog()
			began = time.Now()
			code := s.stop(syscall.SIGTERM)
			stopped := time.Since(began)
			t.Logf("output %s: %d of %d lines are alerts (bar all); named in the status after %.1f s (bar %.0f s): %s; SIGTERM ended it after %.1f s (bar %.0f s) with code %d (bar 0)",
				name, lines, lines, told.Seconds(), named.Seconds(), reason, stopped.Seconds(), bound.Seconds(), code)
			require.Less(t, told, named)
			require.Less(t, stopped, bound)
			require.Zero(t, code)
		})
	}
}

// usersLines returns n lines of which each is an alert of its own.
func usersLines(n int) []byte {
	var lines bytes.Buffer
	for i := range n {
		lines.WriteString(rootShell(fmt.Sprintf("user%06d", i)))
	}
	return lines.Bytes()
}

// fullPipe returns a pipe that takes nothing more.
func fullPipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	require.NoError(t, err)
	t.Cleanup(func() { _ = r.Close(); _ = w.Close() })
	require.NoError(t, w.SetWriteDeadline(time.Now().Add(time.Second)))
	for err == nil {
		_, err = w.Write(make([]byte, 1024))
	}
	return r, w
}

// startWithOutput starts the daemon with w as its standard output and error, and waits until it is ready.
func (s *instance) startWithOutput(w *os.File) {
	s.t.Helper()
	s.daemon = exec.Command(filepath.Join(s.bin, "ironpost-daemon"), "-c", s.path("ironpost.toml"))
	s.daemon.Stdout, s.daemon.Stderr = w, w
	require.NoError(s.t, s.daemon.Start())
	daemon := s.daemon
	s.t.Cleanup(func() { _ = daemon.Process.Kill(); _ = daemon.Wait() })
	s.eventually(func() bool {
		response, err := http.Get("http://" + s.metrics + "/readyz")
		return err == nil && response.Body.Close() == nil && response.StatusCode == http.StatusOK
	})
}

// reasonOfLog returns what the status says about the log.
func (s *instance) reasonOfLog() string {
	s.t.Helper()
	return strings.Join(s.module("log").Reasons, "; ")
}

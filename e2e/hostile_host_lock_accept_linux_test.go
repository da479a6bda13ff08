//go:build accept && linux

package e2e_test

import (
	"bufio"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// asNobody returns a command that runs a bash script as the user nobody, outside every folder that is not open to all.
func asNobody(t *testing.T, script string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "setpriv", append([]string{"--reuid=65534", "--regid=65534", "--clear-groups", "bash", "-c", script, "bash"}, args...)...)
	cmd.Dir = "/"
	return cmd
}

// openFolders lets every user list and enter the instance's folders, as in a host whose administrator made them so.
func (s *instance) openFolders() {
	s.t.Helper()
	require.NoError(s.t, os.Chmod(filepath.Dir(s.dir), 0o755)) // that of t.TempDir
	require.NoError(s.t, filepath.WalkDir(s.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		return os.Chmod(path, 0o755)
	}))
}

// Fault 1: nobody waits for the lock of every file that it can open, so that it has them all when the daemon dies. The daemon starts again.
func TestAcceptHostileHostLock(t *testing.T) {
	const rounds = 3
	s := newInstance(t)
	s.start()
	s.openFolders()
	for round := range rounds {
		held := s.holdLocksAsNobody()
		require.Contains(t, held, s.path("pid"), "the attack reaches nothing")
		s.kill()
		began := time.Now()
		s.start()
		t.Logf("round %d of %d: nobody waits for the locks of %d files (%s); ready %.1f s after kill -9 (bar %.0f s)",
			round+1, rounds, len(held), strings.Join(held, ", "), time.Since(began).Seconds(), waitLimit.Seconds())
	}
	s.append([]byte(rootShell("eve")))
	s.eventually(func() bool { return len(s.alerts()) == 1 })
}

// holdLocksAsNobody starts processes of nobody that each wait in flock(2) for a file, until the test ends, and returns the files.
func (s *instance) holdLocksAsNobody() (files []string) {
	s.t.Helper()
	attack := asNobody(s.t, `while IFS= read -r -d '' f; do
		exec {n}<"$f" || continue
		(flock "$n"; exec sleep 1000) &
		echo "$f"
	done < <(find "$1" -type f -readable -print0)
	echo; wait`, s.dir)
	out, err := attack.StdoutPipe()
	require.NoError(s.t, err)
	attack.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	require.NoError(s.t, attack.Start())
	s.t.Cleanup(func() { _ = syscall.Kill(-attack.Process.Pid, syscall.SIGKILL); _ = attack.Wait() })
	lines := bufio.NewScanner(out)
	for lines.Scan() && lines.Text() != "" {
		files = append(files, lines.Text())
	}
	return files
}

package e2e_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/internal/testenv"
)

// A daemon that waits for space on its disk has no bus yet: the operator's status says what it waits for.
func TestStatusOfADaemonThatWaitsForSpace(t *testing.T) {
	t.Parallel()
	s := newInstance(t)
	disk := testenv.SmallDisk(t, "16m")
	require.NoError(t, os.Symlink(disk, s.path("data")))
	testenv.FillDisk(t, disk, 0)
	s.daemon = exec.Command(filepath.Join(s.bin, "ironpost-daemon"), "-c", s.path("ironpost.toml"))
	s.daemon.Stderr = s.log
	require.NoError(t, s.daemon.Start())
	t.Cleanup(func() { _ = s.daemon.Process.Kill(); _ = s.daemon.Wait() })
	s.eventually(func() bool {
		status := s.operatorCommand("status")
		out, _ := status.CombinedOutput()
		return status.ProcessState.ExitCode() == 5 && strings.Contains(string(out), "is full, waiting for space to start")
	})
}

package logpipeline_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/internal/testenv"
	"github.com/ironpost/ironpost/services/logpipeline"
)

// Where auditd runs, its file and the journal have the same records: those of the journal are left out while auditd writes, and judged where it
// does not, or where the file cannot be read.
func TestAuditEntriesAreJudgedOnce(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		since   time.Duration // of the last line of the file
		leftOut bool
	}{"auditd writes": {0, true}, "auditd has ended": {-time.Minute, false}, "no file": {-time.Hour, false}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			r := newJournalRig(t, dir)
			file := filepath.Join(t.TempDir(), "var/log/audit/audit.log")
			r.cfg.WatchPaths = []string{file}
			require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o700))
			made := filepath.Join(t.TempDir(), "system.journal")
			if name != "no file" {
				appendTo(t, file, "")
			}
			s := r.start()
			at := time.Now().UnixMicro()
			testenv.JournalFile(t, made, entry("192.0.2.9", "_TRANSPORT=audit", fmt.Sprintf("_SOURCE_REALTIME_TIMESTAMP=%d", at)))
			if name != "no file" {
				appendTo(t, file, fmt.Sprintf("type=CWD msg=audit(%d.%03d:7): cwd=\"/\"\n", at/1e6, at/1e3%1e3))
				require.NoError(t, os.Chtimes(file, time.Time{}, time.Now().Add(c.since)))
				r.waitInput(file, 1)
			}
			require.NoError(t, os.Mkdir(filepath.Join(dir, machine(t)), 0o755))
			require.NoError(t, os.Chmod(made, 0o640))
			require.NoError(t, os.Rename(made, filepath.Join(dir, machine(t), "system.journal")))
			if c.leftOut {
				require.Eventually(t, func() bool { return r.inputs()["journal"].LeftOut["in_audit_log"] == 1 }, patience, tick)
				require.Zero(t, r.inputs()["journal"].Lines)
			} else {
				require.Equal(t, "192.0.2.9", r.wait(1)[0].Source.IP)
				require.Empty(t, r.inputs()["journal"].LeftOut)
			}
			s.stop()
		})
	}
}

// Where the kernel's log is read from its device, the lines that a syslog daemon writes of it are left out, but for those of other machines.
func TestKernelLinesAreJudgedOnce(t *testing.T) {
	t.Parallel()
	device, err := os.Open("/dev/kmsg")
	testenv.Require(t, "kmsg", err)
	require.NoError(t, device.Close())
	host, err := os.Hostname()
	require.NoError(t, err)
	r := newRig(t)
	r.cfg.Sources = []string{logpipeline.SourceFile, logpipeline.SourceKernel}
	file := filepath.Join(t.TempDir(), "var/log/kern.log")
	require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o700))
	appendTo(t, file, "")
	r.cfg.WatchPaths = []string{file}
	s := r.start()
	line := func(host, program string) {
		appendTo(t, file, time.Now().Format(time.RFC3339Nano)+" "+host+" "+program+": something\n")
	}
	require.Eventually(t, func() bool {
		line(host, "kernel")
		return r.inputs()[file].LeftOut["in_kernel_log"] > 0
	}, patience, tick)
	judged := r.inputs()[file].Lines
	line("other", "kernel")
	line(host, "app")
	require.Equal(t, judged+2, r.waitInput(file, judged+2).Lines)
	s.stop()
}

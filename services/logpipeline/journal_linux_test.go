package logpipeline_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/testenv"
	"github.com/ironpost/ironpost/services/logpipeline"
)

// newJournalRig returns a rig whose source is what auto finds: the journal below a folder, and the watched file.
func newJournalRig(t *testing.T, dir string) *rig {
	t.Helper()
	r := newRig(t)
	r.cfg.Sources, r.cfg.JournalPaths = []string{logpipeline.SourceAuto}, []string{dir}
	r.cfg.SyslogBind, r.cfg.SyslogTCPBind = testenv.FreeAddr(t), testenv.FreeAddr(t)
	return r
}

func machine(t *testing.T) string {
	t.Helper()
	id, err := os.ReadFile("/etc/machine-id")
	require.NoError(t, err)
	return strings.TrimSpace(string(id))
}

// entry returns a failed login as sshd writes it, in the export format, with further fields.
func entry(ip string, fields ...string) string {
	now := time.Now().UnixMicro()
	return fmt.Sprintf("__REALTIME_TIMESTAMP=%d\n__MONOTONIC_TIMESTAMP=%d\n_BOOT_ID=71e75c87bcdc47f89993a7028bf802ff\nSYSLOG_IDENTIFIER=sshd\n_HOSTNAME=web\n_PID=7\n%s\nMESSAGE=Failed password for root from %s port 22 ssh2\n\n", now, now, strings.Join(fields, "\n"), ip)
}

// What the real journald takes is read once over a restart of the pipeline, and names the program that wrote it, which is not sshd.
func TestJournalIsReadOnceOverARestart(t *testing.T) {
	t.Parallel()
	j := testenv.NewJournald(t)
	r := newJournalRig(t, j.Persistent)
	s := r.start()
	send := func(ip string) {
		j.Run(t, "Failed password for root from "+ip+" port 22 ssh2\n", "systemd-cat", "-t", "sshd")
	}
	send("192.0.2.1")
	first := r.wait(1)[0]
	require.Equal(t, event.TrustUnproven, first.Trust)
	require.Equal(t, event.TransportJournald, first.Origin.Transport)
	require.Equal(t, uint32(0), *first.Origin.UID)
	require.Equal(t, filepath.Join(j.Persistent, j.Machine, "system"), first.Origin.Source)
	s.stop()
	send("192.0.2.2")
	j.Run(t, "", "journalctl", "--rotate")
	send("192.0.2.3")
	s = r.start()
	requireOnce(t, r.wait(3))
	require.Zero(t, s.count("journal_vacuumed")+s.count("journal_bad"))
	require.NotZero(t, s.count("journal_entries"))
}

// Only what journald of this machine says of a writer proves it.
func TestTrustOfTheJournal(t *testing.T) {
	t.Parallel()
	sshd := []string{"_EXE=/usr/sbin/sshd", "_UID=0", "_SYSTEMD_UNIT=ssh.service", "_TRANSPORT=syslog"}
	with := func(more ...string) []string { return append(append([]string{}, sshd...), more...) }
	cases := map[string]struct {
		folder string
		fields []string
		want   event.Trust
	}{
		"sshd":            {machine(t), sshd, event.TrustHost},
		"session":         {machine(t), []string{"_EXE=/usr/lib/openssh/sshd-session", "_UID=0"}, event.TrustHost},
		"namespace":       {machine(t) + ".web", sshd, event.TrustHost},
		"user's sshd":     {machine(t), []string{"_EXE=/usr/sbin/sshd", "_UID=1000"}, event.TrustUnproven},
		"logger":          {machine(t), []string{"_EXE=/usr/bin/logger", "_UID=0", "_COMM=sshd"}, event.TrustUnproven},
		"home":            {machine(t), []string{"_EXE=/home/eve/sshd", "_UID=0"}, event.TrustUnproven},
		"container":       {machine(t), []string{"_EXE=/usr/sbin/sshd", "_UID=0", "_SYSTEMD_CGROUP=/system.slice/docker-0123.scope"}, event.TrustUnproven},
		"printed by sshd": {machine(t), []string{"_EXE=/usr/sbin/sshd", "_UID=0", "_TRANSPORT=stdout"}, event.TrustHost},
		"remote":          {"remote", sshd, event.TrustUnproven},
		"another machine": {machine(t), with("_MACHINE_ID=71e75c87bcdc47f89993a7028bf802ff"), event.TrustUnproven},
		"audit":           {machine(t), []string{"_TRANSPORT=audit"}, event.TrustHost},
		"kernel":          {machine(t), []string{"_TRANSPORT=kernel", "SYSLOG_FACILITY=0"}, event.TrustHost},
		"by /dev/kmsg":    {machine(t), []string{"_TRANSPORT=kernel", "SYSLOG_FACILITY=4"}, event.TrustUnproven},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			r := newJournalRig(t, dir)
			r.start()
			made := filepath.Join(t.TempDir(), "system.journal")
			testenv.JournalFile(t, made, entry("192.0.2.9", c.fields...))
			require.NoError(t, os.Mkdir(filepath.Join(dir, c.folder), 0o755))
			require.NoError(t, os.Chmod(made, 0o640))
			require.NoError(t, os.Rename(made, filepath.Join(dir, c.folder, "system.journal")))
			a := r.wait(1)[0]
			require.Equal(t, c.want, a.Trust)
			require.Equal(t, "web", a.LogHost)
		})
	}
}

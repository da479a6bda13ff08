package testenv

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	journald      = "/lib/systemd/systemd-journald"
	journalRemote = "/lib/systemd/systemd-journal-remote"
)

// Journald is a systemd-journald in a mount namespace of its own, so that it needs no init and touches no journal of this machine. It keeps
// nothing back and reads neither the kernel's log nor its audit.
type Journald struct {
	// Dirs are the folders of the persistent and of the volatile journal, as seen outside of the namespace.
	Persistent, Volatile string
	// Machine is the id of this machine.
	Machine string
	script  string
	log     string
	env     []string
	daemon  *daemon
}

// NewJournald starts a systemd-journald with additional environment variables. It needs root.
func NewJournald(t testing.TB, env ...string) *Journald {
	t.Helper()
	Require(t, "journald", journaldMissing())
	id, err := os.ReadFile("/etc/machine-id")
	Require(t, "journald", err)
	dir := t.TempDir()
	j := &Journald{
		Persistent: filepath.Join(dir, "var"), Volatile: filepath.Join(dir, "run", "journal"), Machine: strings.TrimSpace(string(id)),
		script: filepath.Join(dir, "start.sh"), log: filepath.Join(dir, "log"), env: env,
	}
	for _, d := range []string{j.Persistent, j.Volatile} {
		require.NoError(t, os.MkdirAll(d, 0o755))
	}
	script := fmt.Sprintf(`set -e
mount -t tmpfs tmpfs /run
mkdir -p /run/log /run/systemd/journal /run/systemd/journald.conf.d /var/log/journal
mount --bind %s /run/log
mount --bind %s /var/log/journal
printf '[Journal]\nStorage=persistent\nRateLimitIntervalSec=0\nRateLimitBurst=0\nForwardToSyslog=no\nReadKMsg=no\nAudit=no\nSystemMaxFileSize=1G\n' >/run/systemd/journald.conf.d/test.conf
touch /run/systemd/journal/flushed
exec %s
`, filepath.Dir(j.Volatile), j.Persistent, journald)
	require.NoError(t, os.WriteFile(j.script, []byte(script), 0o600))
	t.Cleanup(func() { j.Kill(t) })
	j.Start(t)
	return j
}

func journaldMissing() error {
	if err := rootOnLinux(); err != nil {
		return err
	}
	for _, path := range []string{journald, journalRemote} {
		if _, err := os.Stat(path); err != nil {
			return err
		}
	}
	return nil
}

// Start starts it and waits until it writes the persistent journal.
func (j *Journald) Start(t testing.TB) {
	t.Helper()
	cmd := exec.Command("unshare", "--mount", "sh", j.script)
	cmd.Env = append(os.Environ(), j.env...)
	var err error
	j.daemon, err = startProcess(cmd, j.log, &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}, func() error { return nil })
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		_, err := j.try("", "test", "-S", "/run/systemd/journal/stdout", "-a", "-S", "/run/systemd/journal/socket")
		return err == nil
	}, 20*time.Second, 20*time.Millisecond, "systemd-journald does not start: %s", j.log)
}

// Socket returns the socket for entries in the native protocol.
func (j *Journald) Socket() string {
	return "/proc/" + strconv.Itoa(j.daemon.cmd.Process.Pid) + "/root/run/systemd/journal/socket"
}

// Kill ends it with SIGKILL.
func (j *Journald) Kill(t testing.TB) {
	t.Helper()
	if j.daemon == nil {
		return
	}
	_ = j.daemon.cmd.Process.Kill()
	<-j.daemon.done
	j.daemon = nil
}

// Run runs a program in the namespace, with stdin, and returns its output.
func (j *Journald) Run(t testing.TB, stdin string, command ...string) string {
	t.Helper()
	out, err := j.try(stdin, command...)
	require.NoError(t, err, "%v", command)
	return out
}

func (j *Journald) try(stdin string, command ...string) (string, error) {
	args := append([]string{"--mount=/proc/" + strconv.Itoa(j.daemon.cmd.Process.Pid) + "/ns/mnt", "--"}, command...)
	cmd := exec.Command("nsenter", args...)
	cmd.Stdin = strings.NewReader(stdin)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, stderr.String())
	}
	return string(out), nil
}

// JournalFile makes a journal file from entries in the export format, by the real systemd-journal-remote. Unlike journald it takes any field.
func JournalFile(t testing.TB, path, export string, env ...string) {
	t.Helper()
	Require(t, "journald", journaldMissing())
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	cmd := exec.Command(journalRemote, "-o", path, "--split-mode=none", "-")
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdin = strings.NewReader(export)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
}

//go:build accept

package packages_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/internal/testenv"
)

const (
	patience   = 2 * time.Minute
	tick       = 500 * time.Millisecond
	hostEnd    = "198.18.77.1" // of the veth pair (RFC 2544)
	machineEnd = "198.18.77.2"
)

// machine is a root that systemd-nspawn booted, with a network interface host0 and a bpf file system of its own.
type machine struct {
	*root
	name   string
	leader string // process id of its init
}

func (r *root) boot() *machine {
	r.t.Helper()
	m := &machine{root: r, name: "ip" + strconv.Itoa(os.Getpid())}
	bpffs := filepath.Join(r.t.TempDir(), "bpf")
	require.NoError(r.t, os.Mkdir(bpffs, 0o700))
	run(r.t, "mount", "-t", "bpf", "-o", "mode=0700", "bpf", bpffs)
	r.t.Cleanup(func() { _ = exec.Command("umount", bpffs).Run() })
	require.NoError(r.t, os.WriteFile(r.dir+"/etc/hostname", []byte("stage\n"), 0o644))

	console, err := os.Create(filepath.Join(r.t.TempDir(), "console"))
	require.NoError(r.t, err)
	cmd := exec.Command("nice", "-n", "10", "systemd-nspawn", "--quiet", "--directory", r.dir, "--machine", m.name, "--network-veth",
		"--register=no", "--keep-unit", "--boot", "--console=pipe", "--capability=CAP_BPF,CAP_NET_ADMIN,CAP_PERFMON",
		"--system-call-filter=bpf perf_event_open", "--bind="+bpffs+":/sys/fs/bpf")
	cmd.Stdout, cmd.Stderr = console, console
	require.NoError(r.t, cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	r.t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // nspawn shuts the machine down
		select {
		case <-ended:
		case <-time.After(time.Minute):
			_ = cmd.Process.Kill()
			<-ended
		}
	})
	m.eventually("the machine boots", func() bool {
		children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", cmd.Process.Pid))
		m.leader = strings.TrimSpace(string(children))
		if m.leader == "" || strings.Contains(m.leader, " ") {
			return false
		}
		out, _ := m.run("systemctl", "is-system-running")
		return strings.HasPrefix(out, "running") || strings.HasPrefix(out, "degraded") // a unit may not work in a container
	})
	return m
}

// run runs a command in the machine.
func (m *machine) run(args ...string) (string, error) {
	cmd := exec.CommandContext(context.WithoutCancel(m.t.Context()), "nsenter", append([]string{"-t", m.leader, "-m", "-u", "-i", "-n", "-p", "-r", "-w"}, args...)...)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C"}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.String(), err
}

func (m *machine) do(args ...string) string {
	m.t.Helper()
	out, err := m.run(args...)
	require.NoError(m.t, err, "%v: %s", args, out)
	return out
}

func (m *machine) eventually(what string, ok func() bool) {
	m.t.Helper()
	if !assert.Eventually(m.t, ok, patience, tick, what) {
		status, _ := m.run("ironpost", "status")
		require.FailNow(m.t, "never: "+what, status)
	}
}

// property returns one of the service, as systemctl show prints it.
func (m *machine) property(name string) string {
	m.t.Helper()
	return strings.TrimSpace(m.do("systemctl", "show", "--value", "--property", name, "ironpost"))
}

func (m *machine) journal() string {
	m.t.Helper()
	return m.do("journalctl", "--no-pager", "-u", "ironpost")
}

// pings reports whether the machine answers the host, whose address a block names.
func (m *machine) pings() bool {
	return exec.CommandContext(m.t.Context(), "ping", "-c", "3", "-i", "0.2", "-W", "1", machineEnd).Run() == nil
}

// alerts returns the ids of the alerts about the attacks of the tests, as a member of the group reads them.
func (m *machine) alerts() map[string]bool {
	m.t.Helper()
	ids := map[string]bool{}
	for line := range strings.Lines(m.do("su", "alice", "-c", "ironpost alerts --json --since 1d --limit 1000")) {
		var alert struct{ ID, Title string }
		require.NoError(m.t, json.Unmarshal([]byte(line), &alert), line)
		if alert.Title == "Root Shell By Sudo" {
			ids[alert.ID] = true
		}
	}
	return ids
}

// A booted system: the service is ready as its user, members of the group use it, the packet engine blocks, systemd
// restarts it when it hangs, reloads and stops it, and a back-up is restored after the package was purged.
func TestAcceptBoot(t *testing.T) {
	testenv.Require(t, "systemd-nspawn", func() error { _, err := exec.LookPath("systemd-nspawn"); return err }())
	r, deb := newRoot(t), newest(t, "ironpost", "deb")
	r.install(deb)
	r.must("useradd", "--create-home", "--groups", "ironpost", "alice")
	r.must("useradd", "--create-home", "mallory")
	engine := func() {
		r.replace("/etc/ironpost/ironpost.toml", "[ebpf]\nenabled = false", "[ebpf]\nenabled = true\ninterface = \"host0\"")
	}
	engine()
	var log strings.Builder
	const attackers = 50
	for i := range attackers {
		fmt.Fprintf(&log, "user%d : TTY=pts/0 ; PWD=/root ; USER=root ; COMMAND=/bin/bash\n", i)
	}

	m := r.boot()
	m.eventually("active", func() bool {
		out, _ := m.run("systemctl", "is-active", "ironpost")
		return strings.TrimSpace(out) == "active"
	})
	host := "ve-" + m.name
	run(t, "ip", "address", "add", hostEnd+"/24", "dev", host)
	run(t, "ip", "link", "set", host, "up")
	m.do("ip", "address", "add", machineEnd+"/24", "dev", "host0")
	m.do("ip", "link", "set", "host0", "up")

	t.Run("as its user", func(t *testing.T) {
		require.Equal(t, "ironpost", strings.TrimSpace(m.do("ps", "-o", "user=", "-p", m.property("MainPID"))))
		m.eventually("healthy for a member of the group", func() bool { _, err := m.run("su", "alice", "-c", "ironpost status"); return err == nil })
		require.Contains(t, m.do("su", "alice", "-c", "ironpost status --json"), `"mode_native:host0":1`)
		out, err := m.run("su", "mallory", "-c", "ironpost status")
		require.Error(t, err)
		require.Contains(t, out, "members of the group ironpost")
		require.Contains(t, m.property("StatusText"), "healthy")
		require.Contains(t, m.journal(), "INFO  ready")
	})
	t.Run("block", func(t *testing.T) {
		m.eventually("the machine answers", m.pings)
		m.do("su", "alice", "-c", "ironpost blocklist add "+hostEnd)
		m.eventually("the kernel drops", func() bool { return !m.pings() })
	})
	t.Run("watchdog", func(t *testing.T) {
		pid := m.property("MainPID")
		began := time.Now()
		m.do("kill", "-STOP", pid)
		m.eventually("restarted", func() bool { return m.property("NRestarts") == "1" && m.property("ActiveState") == "active" })
		t.Logf("stopped by SIGSTOP, active again after %.0f s (bar: WatchdogSec 30 + RestartSec 5, and the start)", time.Since(began).Seconds())
		require.Contains(t, m.journal(), "Watchdog timeout")
		require.NotEqual(t, pid, m.property("MainPID"))
		require.False(t, m.pings(), "blocked meanwhile and afterwards")
	})
	t.Run("reload", func(t *testing.T) {
		m.do("systemctl", "reload", "ironpost")
		m.eventually("reloaded", func() bool { return strings.Contains(m.journal(), "configuration reloaded") })
		r.replace("/etc/ironpost/ironpost.toml", "auto_isolate = false", "auto_isolate = maybe")
		_, err := m.run("systemctl", "reload", "ironpost")
		require.Error(t, err, "a mistake fails the reload")
		require.Regexp(t, `/etc/ironpost/ironpost.toml:\d+:\d+: `, m.journal())
		require.Equal(t, "active", m.property("ActiveState"))
		r.replace("/etc/ironpost/ironpost.toml", "auto_isolate = maybe", "auto_isolate = false")
	})
	t.Run("back-up", func(t *testing.T) {
		require.NoError(t, os.WriteFile(r.dir+"/root/attacks", []byte(log.String()), 0o600))
		m.do("logger", "-t", "sudo", "-f", "/root/attacks")
		m.eventually("all alerts, of the journal", func() bool { return len(m.alerts()) == attackers })
		before := m.alerts()
		began := time.Now()
		m.do("systemctl", "stop", "ironpost")
		t.Logf("stopped in %.1f s (bar: TimeoutStopSec 30), result %s", time.Since(began).Seconds(), m.property("Result"))
		require.Equal(t, "success", m.property("Result"))
		require.False(t, m.pings(), "the block stays in force while the service is stopped")
		m.do("bash", "-euc", "umask 022; "+testenv.Documented(t, "back-up of the state"))
		m.do("systemctl", "stop", "ironpost")
		m.do("dpkg", "--purge", "ironpost")
		m.eventually("detached by the removal", m.pings)
		m.do("dpkg", "--install", "/root/"+filepath.Base(deb))
		m.do("bash", "-euc", testenv.Documented(t, "restore of the state"))
		after := m.alerts()
		t.Logf("restored %d of %d alerts (bar: all, and no other)", len(after), len(before))
		require.Equal(t, before, after)
		m.eventually("the block is in force again", func() bool { return !m.pings() })
	})
}

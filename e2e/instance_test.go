package e2e_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/testenv"
)

// waitLimit is how long a test waits for an event on a busy machine.
const waitLimit = 90 * time.Second

// build compiles the commands once per test binary, as the packages have them: with cgo they would take 3 MB more.
var build = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "ironpost-e2e-")
	if err != nil {
		return "", err
	}
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", dir+"/", "../cmd/ironpost", "../cmd/ironpost-daemon", "../cmd/ironpost-log-pipeline")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return dir, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if dir, err := build(); err == nil {
		_ = os.RemoveAll(dir)
	}
	os.Exit(code)
}

// instance is one daemon with a folder of its own.
type instance struct {
	t        *testing.T
	bin      string
	dir      string
	observer string
	metrics  string
	syslog   string
	log      *testenv.Buffer
	wrap     []string // runs the daemon, for example in a namespace
	daemon   *exec.Cmd
}

func newInstance(t *testing.T) *instance {
	t.Helper()
	bin, err := build()
	require.NoError(t, err)
	s := &instance{t: t, bin: bin, dir: t.TempDir(), observer: testenv.FreeAddr(t), metrics: testenv.FreeAddr(t), syslog: testenv.FreeAddr(t), log: &testenv.Buffer{}}
	s.write("ironpost.toml", fmt.Sprintf(`
[general]
host = "stage"
data_dir = %[1]q
pid_file = %[2]q
[bus]
socket = %[3]q
observer_listen = %[4]q
[metrics]
listen = %[5]q
[log_pipeline]
sources = ["syslog", "file"]
watch_paths = [%[6]q]
syslog_bind = %[7]q
syslog_tcp_bind = %[7]q
`, s.path("data"), s.path("pid"), s.path("bus.sock"), s.observer, s.metrics, s.path("auth.log"), s.syslog))
	s.write("auth.log", "")
	return s
}

func (s *instance) path(name string) string { return filepath.Join(s.dir, name) }

func (s *instance) write(name, text string) {
	s.t.Helper()
	require.NoError(s.t, os.MkdirAll(filepath.Dir(s.path(name)), 0o700))
	require.NoError(s.t, os.WriteFile(s.path(name), []byte(text), 0o600))
}

// replace replaces a part of the configuration.
func (s *instance) replace(old, replacement string) {
	s.t.Helper()
	text, err := os.ReadFile(s.path("ironpost.toml"))
	require.NoError(s.t, err)
	require.Contains(s.t, string(text), old)
	s.write("ironpost.toml", strings.Replace(string(text), old, replacement, 1))
}

// start starts the daemon and waits until it logs that it is ready.
func (s *instance) start() {
	s.t.Helper()
	before := s.log.Len()
	args := append(slices.Clone(s.wrap), filepath.Join(s.bin, "ironpost-daemon"), "-c", s.path("ironpost.toml"))
	s.daemon = exec.Command(args[0], args[1:]...)
	s.daemon.Stderr = s.log
	require.NoError(s.t, s.daemon.Start())
	daemon := s.daemon
	s.t.Cleanup(func() { _ = daemon.Process.Kill(); _ = daemon.Wait() })
	s.eventually(func() bool { return strings.Contains(s.log.From(before), `"ready"`) })
}

// stop ends the daemon with sig and returns its exit code.
func (s *instance) stop(sig syscall.Signal) int {
	s.t.Helper()
	require.NoError(s.t, s.daemon.Process.Signal(sig))
	_ = s.daemon.Wait()
	return s.daemon.ProcessState.ExitCode()
}

// kill ends the daemon with SIGKILL, like a crash.
func (s *instance) kill() {
	require.NoError(s.t, s.daemon.Process.Kill())
	_ = s.daemon.Wait()
}

func (s *instance) eventually(ok func() bool) {
	s.t.Helper()
	require.Eventually(s.t, ok, waitLimit, 20*time.Millisecond, "daemon log:\n%s", s.log)
}

func (s *instance) append(lines []byte) {
	s.t.Helper()
	f, err := os.OpenFile(s.path("auth.log"), os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(s.t, err)
	_, err = f.Write(lines)
	require.NoError(s.t, err)
	require.NoError(s.t, f.Close())
}

// rootShell returns a line about user that causes an alert.
func rootShell(user string) string {
	stamp := time.Now().Format(time.Stamp)
	return fmt.Sprintf("%s web-1 sudo:  %s : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/bin/bash\n", stamp, user)
}

// operatorCommand returns the operator's command.
func (s *instance) operatorCommand(args ...string) *exec.Cmd {
	return exec.CommandContext(s.t.Context(), filepath.Join(s.bin, "ironpost"), append([]string{"-c", s.path("ironpost.toml")}, args...)...)
}

// ironpost runs the operator's command and returns its output.
func (s *instance) ironpost(args ...string) string {
	s.t.Helper()
	cmd := s.operatorCommand(args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(s.t, err, "%s%s", out, &stderr)
	return string(out)
}

// alerts returns the stored alerts, oldest first.
func (s *instance) alerts() []event.Alert {
	s.t.Helper()
	var all []event.Alert
	for dec := json.NewDecoder(strings.NewReader(s.ironpost("alerts", "--json", "--limit", "100000"))); dec.More(); {
		var a event.Alert
		require.NoError(s.t, dec.Decode(&a))
		all = append(all, a)
	}
	return all
}

// actions returns the stored actions by id, and fails if one is stored twice.
func (s *instance) actions() map[string]event.Action {
	s.t.Helper()
	all := map[string]event.Action{}
	for dec := json.NewDecoder(strings.NewReader(s.ironpost("actions", "--json", "--limit", "0"))); dec.More(); {
		var a event.Action
		require.NoError(s.t, dec.Decode(&a))
		require.NotContains(s.t, all, a.ID)
		all[a.ID] = a
	}
	return all
}

// counter returns the counter called name of a module.
func (s *instance) counter(module, name string) uint64 {
	s.t.Helper()
	return s.module(module).Counters[name]
}

// module returns the health of a module, empty if it reports none.
func (s *instance) module(name string) event.ModuleHealth {
	s.t.Helper()
	for _, m := range s.modules() {
		if m.Name == name {
			return m
		}
	}
	return event.ModuleHealth{}
}

// modules returns the health of all modules.
func (s *instance) modules() []event.ModuleHealth {
	s.t.Helper()
	cmd := exec.CommandContext(s.t.Context(), filepath.Join(s.bin, "ironpost"), "-c", s.path("ironpost.toml"), "status", "--json")
	out, _ := cmd.Output() // the exit code depends on the health
	var status struct {
		Modules []json.RawMessage `json:"modules"`
	}
	require.NoError(s.t, json.Unmarshal(out, &status), "%s", out)
	var all []event.ModuleHealth
	for _, text := range status.Modules {
		var m event.ModuleHealth
		if !bytes.Contains(text, []byte(`"status":"off"`)) { // a module that is not enabled
			require.NoError(s.t, json.Unmarshal(text, &m), "%s", text)
			all = append(all, m)
		}
	}
	return all
}

// nats starts the stock command of the NATS project and returns its output.
func (s *instance) nats(args ...string) *testenv.Buffer {
	s.t.Helper()
	path, err := exec.LookPath("../bin/nats")
	testenv.Require(s.t, "nats", err)
	out := &testenv.Buffer{}
	cmd := exec.Command(path, append([]string{"--server", s.observer}, args...)...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.Env = append(os.Environ(), "HOME="+s.t.TempDir())
	require.NoError(s.t, cmd.Start())
	s.t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return out
}

package suite_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/cmd/internal/suite"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/testenv"
)

const patience = 30 * time.Second

// instance is a daemon in this process with a folder of its own.
type instance struct {
	t       *testing.T
	dir     string
	file    string
	metrics string
	signals chan os.Signal
	stderr  testenv.Buffer
	exit    chan int
}

// install writes a configuration with every path below a temporary folder and every
// port free, followed by more.
func install(t *testing.T, more string) *instance {
	t.Helper()
	dir, err := os.MkdirTemp("", "suite") //nolint:usetesting // t.TempDir is too long for a socket's name
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	i := &instance{
		t: t, dir: dir, file: filepath.Join(dir, "ironpost.toml"), metrics: testenv.FreeAddr(t),
		signals: make(chan os.Signal, 8), exit: make(chan int, 1),
	}
	i.configure(more)
	return i
}

func (i *instance) configure(more string) {
	i.t.Helper()
	i.write(fmt.Sprintf(`[general]
data_dir = %q
pid_file = %q
host = "suite"
[bus]
observer = false
socket = %q
[metrics]
listen = %q
`, i.dir+"/data", i.dir+"/run/ironpost.pid", i.dir+"/bus.sock", i.metrics) + more)
}

// replace changes a part of the configuration.
func (i *instance) replace(old, by string) {
	i.t.Helper()
	config := i.read()
	require.Contains(i.t, config, old)
	i.write(strings.Replace(config, old, by, 1))
}

func (i *instance) read() string {
	i.t.Helper()
	config, err := os.ReadFile(i.file)
	require.NoError(i.t, err)
	return string(config)
}

func (i *instance) write(content string) {
	i.t.Helper()
	require.NoError(i.t, os.WriteFile(i.file, []byte(content), 0o600))
}

const allOff = `[log_pipeline]
enabled = false
[collector]
enabled = false
`

// logsOn follows app.log of the instance's folder only.
func (i *instance) logsOn() string {
	return fmt.Sprintf("[log_pipeline]\nsources = [\"file\"]\nwatch_paths = [%q]\n", i.dir+"/app.log")
}

func freePort(t *testing.T) string { return testenv.FreeAddr(t) }

func (i *instance) process(args ...string) suite.Process {
	return suite.Process{
		Args: append([]string{"-c", i.file}, args...), Getenv: func(string) string { return "" },
		Stdout: io.Discard, Stderr: &i.stderr, Signals: i.signals, Program: suite.Daemon(),
	}
}

// start runs the daemon until it is ready.
func (i *instance) start() {
	i.t.Helper()
	i.run(i.process())
}

func (i *instance) run(p suite.Process) {
	i.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	go func() { i.exit <- p.Run(ctx) }()
	i.t.Cleanup(func() {
		cancel()
		if i.t.Failed() {
			i.t.Log(i.stderr.String())
		}
	})
	i.await("ready")
}

// await waits for a message in the log and returns the fields of its last entry.
func (i *instance) await(message string) map[string]any {
	i.t.Helper()
	var found map[string]any
	require.Eventually(i.t, func() bool {
		for _, e := range i.entries() {
			if e["msg"] == message {
				found = e
			}
		}
		return found != nil
	}, patience, 5*time.Millisecond, "no %q in the log", message)
	return found
}

func (i *instance) entries() []map[string]any {
	var out []map[string]any
	for line := range strings.Lines(i.stderr.String()) {
		var e map[string]any
		if json.Unmarshal([]byte(line), &e) == nil {
			out = append(out, e)
		}
	}
	return out
}

// stop asks the daemon to stop and returns its exit code.
func (i *instance) stop() int {
	i.t.Helper()
	i.signals <- syscall.SIGTERM
	return i.wait()
}

func (i *instance) wait() int {
	i.t.Helper()
	select {
	case code := <-i.exit:
		return code
	case <-time.After(patience):
		require.FailNow(i.t, "the daemon did not end", i.stderr.String())
		return -1
	}
}

func (i *instance) get(path string) (int, string) {
	i.t.Helper()
	resp, err := http.Get("http://" + i.metrics + path)
	require.NoError(i.t, err)
	b, err := io.ReadAll(resp.Body)
	require.NoError(i.t, err)
	require.NoError(i.t, resp.Body.Close())
	return resp.StatusCode, string(b)
}

func (i *instance) health() event.DaemonHealth {
	i.t.Helper()
	_, body := i.get("/healthz")
	var h event.DaemonHealth
	require.NoError(i.t, json.Unmarshal([]byte(body), &h))
	return h
}

func TestWithAllModulesOffTheDaemonIsHealthyAndStops(t *testing.T) {
	t.Parallel()
	i := install(t, allOff)
	i.start()
	require.FileExists(t, i.dir+"/run/ironpost.pid")
	code, _ := i.get("/readyz")
	require.Equal(t, http.StatusOK, code)
	h := i.health()
	require.Equal(t, event.Healthy, h.Status)
	for _, m := range h.Modules {
		require.Equal(t, m.Name == "bus", m.Enabled, m.Name)
	}
	require.Zero(t, i.stop(), i.stderr.String())
	require.NoFileExists(t, i.dir+"/run/ironpost.pid")
	require.NoFileExists(t, i.dir+"/bus.sock")
}

func TestModulesStartAndStopInTableOrder(t *testing.T) {
	t.Parallel()
	i := install(t, "")
	i.configure(i.logsOn())
	i.start()
	require.Zero(t, i.stop(), i.stderr.String())
	var started, stopped []string
	for _, e := range i.entries() {
		switch e["msg"] {
		case "module started":
			started = append(started, e["module"].(string))
		case "module stopped":
			stopped = append(stopped, e["module"].(string))
		}
	}
	require.Equal(t, []string{"log-pipeline", "action-collector"}, started)
	require.Equal(t, []string{"log-pipeline", "action-collector"}, stopped)
	last := i.entries()[len(i.entries())-1]
	require.Equal(t, "final statistics", last["msg"])
}

func TestSecondInstanceIsRefused(t *testing.T) {
	t.Parallel()
	first := install(t, allOff)
	first.start()
	pid := fmt.Sprint(os.Getpid())

	second := install(t, "")
	second.file = first.file
	require.Equal(t, 1, second.process().Run(t.Context()))
	require.Contains(t, second.stderr.String(), "process "+pid)

	other := install(t, "")
	config, err := os.ReadFile(first.file)
	require.NoError(t, err)
	other.write(strings.Replace(string(config), "run/ironpost.pid", "other.pid", 1))
	require.Equal(t, 1, other.process().Run(t.Context()))
	require.Contains(t, other.stderr.String(), "process "+pid, "the same data folder under another PID file")
	require.Zero(t, first.stop())
}

func TestWorldWritableDataFolderIsAWarning(t *testing.T) {
	t.Parallel()
	i := install(t, allOff)
	i.replace("[general]\n", "[general]\nstrict_modes = false\n")
	require.NoError(t, os.Mkdir(i.dir+"/data", 0o700))
	require.NoError(t, os.Chmod(i.dir+"/data", 0o777))
	i.start()
	require.Equal(t, i.dir+"/data", i.await("every user may write to the data folder")["path"])
	require.Zero(t, i.stop())
}

func TestUnwritableDataFolderEndsTheStart(t *testing.T) {
	t.Parallel()
	i := install(t, allOff)
	require.NoError(t, os.WriteFile(i.dir+"/data", nil, 0o600))
	require.Equal(t, 1, i.process().Run(t.Context()))
	require.Contains(t, i.stderr.String(), "general.data_dir "+i.dir+"/data cannot be written")
	require.NoFileExists(t, i.dir+"/run/ironpost.pid")
}

func TestFailedBusStartEndsTheStartAndCleansUp(t *testing.T) {
	t.Parallel()
	i := install(t, allOff)
	require.NoError(t, os.MkdirAll(i.dir+"/bus.sock/full", 0o700))
	require.Equal(t, 1, i.process().Run(t.Context()))
	require.Contains(t, i.stderr.String(), "bus.sock")
	require.NoFileExists(t, i.dir+"/run/ironpost.pid")

	require.NoError(t, os.RemoveAll(i.dir+"/bus.sock"))
	i.start()
	require.Zero(t, i.stop())
}

func TestScannerWithoutDatabaseSaysSo(t *testing.T) {
	t.Parallel()
	i := install(t, "")
	i.configure(allOff + fmt.Sprintf("[sbom]\nenabled = true\nscan_dirs = [%q]\nvuln_db_url = \"\"\n", i.dir))
	i.start()
	h := i.health()
	require.Equal(t, event.Degraded, h.Status)
	k := slices.IndexFunc(h.Modules, func(m event.ModuleHealth) bool { return m.Name == bus.SBOMScanner })
	require.Contains(t, h.Modules[k].Reasons[0], "not assessed: no advisories")
	require.Zero(t, i.stop())
}

func TestSIGHUPReloadsAllOrNothing(t *testing.T) {
	t.Parallel()
	i := install(t, "")
	i.configure(i.logsOn())
	i.start()

	i.write("[general]\nlog_level = \"loud\"\n[log_pipeline]\nbatch_size = 0\n")
	i.signals <- syscall.SIGHUP
	i.await("configuration not reloaded, the last good one stays in force")
	require.Contains(t, i.stderr.String(), i.file+":2:13: general.log_level")
	require.Contains(t, i.stderr.String(), i.file+":4:14: log_pipeline.batch_size")

	i.configure(i.logsOn() + "batch_size = 7\n[health]\ninterval_secs = 3\n[collector]\nenabled = false\n")
	i.signals <- syscall.SIGHUP
	i.await("configuration reloaded")
	restart := i.await("configuration changed, used after a restart")
	require.Equal(t, "collector.enabled", restart["key"])
	var keys []string
	for _, e := range i.entries() {
		if e["msg"] == "configuration changed" {
			keys = append(keys, fmt.Sprintf("%v: %v -> %v", e["key"], e["old"], e["new"]))
		}
	}
	require.Equal(t, []string{"health.interval_secs: 30 -> 3", "log_pipeline.batch_size: 100 -> 7"}, keys)

	_, body := i.get("/metrics")
	require.Contains(t, body, `ironpost_daemon_reloads_total{result="done"} 1`)
	require.Contains(t, body, `ironpost_daemon_reloads_total{result="refused"} 1`)
	require.Zero(t, i.stop())
}

// A key of one section that another's module reads, too, is taken by both.
func TestReloadReachesModulesThatReadOtherSections(t *testing.T) {
	t.Parallel()
	i := install(t, "")
	logs := "[log_pipeline]\nsources = [\"docker\"]\n"
	i.configure(logs + "[container]\ndocker_socket = \"/nosuch/one.sock\"\n")
	i.start()
	require.Contains(t, i.await("Docker cannot be reached, logs of containers are not read")["error"], "/nosuch/one.sock")

	i.configure(logs + "[container]\ndocker_socket = \"/nosuch/two.sock\"\n")
	i.signals <- syscall.SIGHUP
	i.await("configuration reloaded")
	require.Eventually(t, func() bool {
		return strings.Contains(fmt.Sprint(i.await("Docker cannot be reached, logs of containers are not read")["error"]), "/nosuch/two.sock")
	}, patience, 5*time.Millisecond)
	require.Zero(t, i.stop())
}

// A module that rereads its files on every reload must not take other changes with it
// that wait for a restart.
func TestMovedDataDirDefersAllChangesToTheRestart(t *testing.T) {
	t.Parallel()
	i := install(t, "")
	i.configure("[container]\nenabled = true\ndocker_socket = \"/nosuch/one.sock\"\n")
	i.start()
	i.replace(i.dir+"/data", i.dir+"/moved")
	i.replace("one.sock", "two.sock")
	for range 2 { // the second reload finds no change to the file
		i.signals <- syscall.SIGHUP
		i.await("configuration reloaded")
	}
	require.Zero(t, i.stop())
	var deferred []any
	for _, e := range i.entries() {
		require.NotEqual(t, "module restarted with its new configuration", e["msg"])
		require.NotEqual(t, "configuration changed", e["msg"])
		require.NotContains(t, fmt.Sprint(e["error"]), "/nosuch/two.sock")
		if e["msg"] == "configuration changed, used after a restart" {
			deferred = append(deferred, e["key"])
		}
	}
	require.Contains(t, deferred, "container.docker_socket")
}

func TestStatusIsAnsweredOnTheBus(t *testing.T) {
	t.Parallel()
	i := install(t, "")
	i.configure(i.logsOn())
	i.start()
	conn, err := bus.DialSocket(t.Context(), i.dir+"/bus.sock")
	require.NoError(t, err)
	var whole event.DaemonHealth
	require.NoError(t, conn.Request(t.Context(), bus.VerbSubject(bus.Daemon, "suite", "status"), nil, &whole))
	require.Equal(t, event.Healthy, whole.Status, "%+v", whole)
	for _, name := range []string{bus.LogPipeline, bus.ActionCollector} {
		var m event.ModuleHealth
		require.NoError(t, conn.Request(t.Context(), bus.VerbSubject(name, "suite", "status"), nil, &m))
		require.Equal(t, name, m.Name)
		require.True(t, m.Enabled)
	}
	require.NoError(t, conn.Close(t.Context()))
	require.Zero(t, i.stop())
}

func TestLogLineBecomesAStoredAlertThatSurvivesARestart(t *testing.T) {
	t.Parallel()
	i := install(t, "")
	i.configure(i.logsOn())
	log := i.dir + "/app.log"
	require.NoError(t, os.WriteFile(log, nil, 0o600))
	i.start()
	require.Eventually(t, func() bool {
		_, body := i.get("/metrics")
		return strings.Contains(body, "ironpost_log_pipeline_files 1")
	}, patience, 5*time.Millisecond, "the file is followed")
	f, err := os.OpenFile(log, os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(t, err)
	for n := range 20 {
		_, err := fmt.Fprintf(f, "Nov 23 10:00:%02d web sshd[1]: Failed password for root from 203.0.113.9 port %d ssh2\n", n, 4000+n)
		require.NoError(t, err)
	}
	require.NoError(t, f.Close())
	i.await("alert raised")
	require.Zero(t, i.stop())

	again := &instance{t: t, dir: i.dir, file: i.file, metrics: i.metrics, signals: make(chan os.Signal, 8), exit: make(chan int, 1)}
	again.start()
	_, body := again.get("/metrics")
	require.NotContains(t, body, `ironpost_bus_stream_messages{stream="IRONPOST_ALERTS"} 0`)
	require.Zero(t, again.stop())
}

func TestSignalDuringStartStopsTheDaemon(t *testing.T) {
	t.Parallel()
	i := install(t, allOff)
	i.signals <- syscall.SIGTERM
	code := i.process().Run(t.Context())
	require.Zero(t, code, i.stderr.String())
	require.NoFileExists(t, i.dir+"/run/ironpost.pid")
}

func TestTakenObserverPortIsToldAndOpenedOnceFree(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	i := install(t, "")
	i.configure(allOff)
	i.replace("observer = false", fmt.Sprintf("observer_listen = %q", l.Addr()))
	i.start()
	require.Equal(t, l.Addr().String(), i.await("bus observer port not available, trying again")["address"])
	i.await("ready")
	told := func() bool { return strings.Contains(fmt.Sprint(i.health()), l.Addr().String()) }
	require.Eventually(t, told, patience, 10*time.Millisecond)
	require.NoError(t, l.Close())
	require.Eventually(t, func() bool { return !told() && i.health().Status == event.Healthy }, patience, 10*time.Millisecond)
	require.Zero(t, i.stop())
}

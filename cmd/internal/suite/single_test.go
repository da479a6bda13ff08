package suite_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nkeys" //nolint:depguard // the test makes the keys of modules
	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/cmd/internal/suite"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/testenv"
)

// hub makes i listen for other processes, which read the same file: the key of module is in the
// folder of credentials, its public half in the daemon's folder of keys.
// It returns the keys of [bus] with which others join.
func (i *instance) hub(module string) (join string) {
	i.t.Helper()
	ca, address := testenv.NewAuthority(i.t), testenv.FreeAddr(i.t)
	cert, key := ca.Server()
	join = fmt.Sprintf("url = %q\ncredentials_file = %q\ntls_ca = %q\ntls_cert = %q\ntls_key = %q\n", "tls://"+address, i.dir, ca.Path, cert, key)
	i.replace("[bus]\n", fmt.Sprintf("[bus]\nlisten = %q\n", address)+join)
	i.allow(module)
	return join
}

// allow makes a key for module and lets it connect after the next start or reload.
func (i *instance) allow(module string) {
	i.t.Helper()
	pair, err := nkeys.CreateUser()
	require.NoError(i.t, err)
	seed, err := pair.Seed()
	require.NoError(i.t, err)
	public, err := pair.PublicKey()
	require.NoError(i.t, err)
	require.NoError(i.t, os.WriteFile(filepath.Join(i.dir, module+".seed"), seed, 0o600))
	require.NoError(i.t, os.MkdirAll(i.dir+"/data/keys", 0o700))
	require.NoError(i.t, os.WriteFile(filepath.Join(i.dir, "data/keys", module+".suite.nk"), []byte(public), 0o600))
}

// single returns the program of one module beside i: it has i's file and folder.
func (i *instance) single(m suite.Module) *instance {
	s := &instance{t: i.t, dir: i.dir, file: i.file, signals: make(chan os.Signal, 8), exit: make(chan int, 1)}
	p := s.process()
	p.Program = suite.Single(m)
	s.run(p)
	return s
}

// A module that is off in the daemon runs in a process of its own, with the same file: what it
// finds is stored by the daemon's bus, whose status shows it.
func TestModuleInAProcessOfItsOwn(t *testing.T) {
	t.Parallel()
	i := install(t, "")
	i.configure(i.logsOn() + "enabled = false\n")
	i.hub(bus.LogPipeline)
	require.NoError(t, os.WriteFile(i.dir+"/app.log", nil, 0o600))
	i.start()
	logs := i.single(suite.LogPipeline())
	logs.alarm("mallory")

	operator, err := bus.DialSocket(t.Context(), i.dir+"/bus.sock")
	require.NoError(t, err)
	found, err := operator.Discover(t.Context(), 5*time.Second)
	require.NoError(t, err)
	require.True(t, slices.ContainsFunc(found, func(s bus.ServiceStatus) bool { return s.Module == bus.LogPipeline && s.Host == "suite" }), "%+v", found)
	var health event.ModuleHealth
	require.NoError(t, operator.Request(t.Context(), bus.VerbSubject(bus.LogPipeline, "suite", "status"), nil, &health))
	require.Equal(t, event.Healthy, health.Status, "%+v", health)
	require.Equal(t, uint64(1), stored(t, operator, bus.Alerts))
	require.NoError(t, operator.Close(t.Context()))

	require.FileExists(t, i.dir+"/run/log-pipeline.pid")
	inherited, err := os.ReadFile(i.dir + "/data/machine-id")
	require.NoError(t, err)
	own, err := os.ReadFile(i.dir + "/data/log-pipeline/machine-id")
	require.NoError(t, err)
	require.Equal(t, string(inherited), string(own))
	require.Equal(t, event.Healthy, i.health().Status)
	require.Zero(t, logs.stop(), logs.stderr.String())
	require.NoFileExists(t, i.dir+"/run/log-pipeline.pid")
	require.Zero(t, i.stop(), i.stderr.String())
}

func stored(t *testing.T, conn *bus.Conn, stream bus.StreamName) uint64 {
	t.Helper()
	states, err := conn.StreamStates(t.Context(), nil)
	require.NoError(t, err)
	for _, s := range states {
		if s.Name == stream {
			return s.Messages
		}
	}
	return 0
}

// It waits for the daemon, and a daemon that reads its keys again makes the durables of a module
// that got one.
func TestModuleWaitsForTheDaemonAndItsKey(t *testing.T) {
	t.Parallel()
	i := install(t, allOff)
	i.hub(bus.LogPipeline)
	collector := &instance{t: t, dir: i.dir, file: i.file, signals: make(chan os.Signal, 8), exit: make(chan int, 1)}
	p := collector.process()
	p.Program = suite.Single(suite.ActionCollector())
	go func() { collector.exit <- p.Run(t.Context()) }()
	collector.await("bus not reached, trying again")
	i.start()
	i.allow(bus.ActionCollector)
	i.signals <- syscall.SIGHUP
	collector.await("ready")
	operator, err := bus.DialSocket(t.Context(), i.dir+"/bus.sock")
	require.NoError(t, err)
	var health event.ModuleHealth
	require.Eventually(t, func() bool {
		err := operator.Request(t.Context(), bus.VerbSubject(bus.ActionCollector, "suite", "status"), nil, &health)
		return err == nil && health.Status == event.Healthy
	}, patience, 20*time.Millisecond, "%+v", health)
	require.NoError(t, operator.Close(t.Context()))
	require.Zero(t, collector.stop(), collector.stderr.String())
	require.Zero(t, i.stop(), i.stderr.String())
}

// A daemon with a key for each module joins a hub's bus, and makes and maintains no streams.
func TestDaemonJoinsTheBusOfAnother(t *testing.T) {
	t.Parallel()
	i := install(t, allOff)
	join := i.hub(bus.LogPipeline)
	i.start()
	edge := install(t, "")
	edge.configure(edge.logsOn() + "[collector]\nenabled = false\n")
	edge.replace("[bus]\n", "[bus]\nmode = \"external\"\n"+join)
	require.NoError(t, os.WriteFile(edge.dir+"/app.log", nil, 0o600))
	edge.start()
	edge.alarm("mallory")
	require.Equal(t, event.Healthy, edge.health().Status)
	operator, err := bus.DialSocket(t.Context(), i.dir+"/bus.sock")
	require.NoError(t, err)
	require.Equal(t, uint64(1), stored(t, operator, bus.Alerts))
	require.NoError(t, operator.Close(t.Context()))
	require.Zero(t, edge.stop(), edge.stderr.String())
	require.Zero(t, i.stop(), i.stderr.String())
}

// Without a bus to join the program does not start.
func TestModuleWithoutABusToJoin(t *testing.T) {
	t.Parallel()
	i := install(t, allOff)
	p := i.process()
	p.Program = suite.Single(suite.ActionCollector())
	require.Equal(t, 3, p.Run(t.Context()))
	require.Contains(t, i.stderr.String(), `ironpost-action-collector: bus.mode: "external" needs url`)
	require.Equal(t, 1, strings.Count(i.stderr.String(), "\n"), i.stderr.String())
}

// A reload that is refused, for a rule or a configuration that is wrong, keeps no revoked key: keys are read first. What of them cannot be
// read is a reason of the bus until it can.
func TestKeysAreReadWhateverElseIsRefused(t *testing.T) {
	t.Parallel()
	i := install(t, allOff)
	i.hub(bus.LogPipeline)
	i.start()
	busHas := func(reason string) func() bool {
		return func() bool {
			_, health := i.get("/healthz")
			return strings.Contains(health, reason)
		}
	}
	const notRead, failed = "the file of a key is not read and permits nothing: ", "a revoked key may still be valid: bus authority: "
	require.False(t, busHas(notRead)())
	bad := i.dir + "/data/keys/daemon.web-9.nk"
	require.NoError(t, os.WriteFile(bad, []byte("UBUIYOBEKYEEJB53F5CXKXEB2YDZZ6SRPLGXMY4UQ5MRMM3U6PDBSJKJ\n"), 0o600))
	valid := i.read()
	i.write(valid + "nonsense = 1\n")
	i.signals <- syscall.SIGHUP
	i.await("configuration not reloaded, the last good one stays in force")
	require.Eventually(t, busHas(notRead+bad+": this daemon is the bus"), patience, patience/1000)

	i.write(valid)
	require.NoError(t, os.Remove(bad))
	_, authority, _ := strings.Cut(valid, "tls_ca = \"")
	authority, _, _ = strings.Cut(authority, "\"")
	content, err := os.ReadFile(authority)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(authority, nil, 0o600))
	i.signals <- syscall.SIGHUP
	require.Eventually(t, busHas(failed), patience, patience/1000)
	require.Eventually(t, func() bool { return !busHas(notRead)() }, patience, patience/1000)
	require.NoError(t, os.WriteFile(authority, content, 0o600))
	i.signals <- syscall.SIGHUP
	require.Eventually(t, func() bool { return !busHas(failed)() }, patience, patience/1000)
	require.Zero(t, i.stop())
}

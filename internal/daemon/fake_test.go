package daemon_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sirupsen/logrus"
	logtest "github.com/sirupsen/logrus/hooks/test"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/daemon"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// journal records events in order.
type journal struct {
	mu    sync.Mutex
	lines []string
}

func (j *journal) add(format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, fmt.Sprintf(format, args...))
}

func (j *journal) all() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.lines)
}

func (j *journal) count(line string) int {
	n := 0
	for _, l := range j.all() {
		if l == line {
			n++
		}
	}
	return n
}

// fake is a module whose Run and Health a test sets.
type fake struct {
	name   string
	j      *journal
	run    func(ctx context.Context) error
	health func() event.ModuleHealth
}

func (f *fake) Run(ctx context.Context) error {
	f.j.add("run %s", f.name)
	defer f.j.add("end %s", f.name)
	if f.run != nil {
		return f.run(ctx)
	}
	<-ctx.Done()
	return nil
}

func (f *fake) Health() event.ModuleHealth {
	if f.health != nil {
		return f.health()
	}
	return event.ModuleHealth{Status: event.Healthy, Counters: map[string]uint64{"seen": 7}}
}

// reloadable is a fake that takes a new configuration while it runs.
type reloadable struct {
	fake
	prepare func(cfg any) (func(), error)
}

func (r *reloadable) PrepareReload(_ context.Context, cfg any) (func(), error) { return r.prepare(cfg) }

// rig is a supervisor under test with its journal, log and signals.
type rig struct {
	t       *testing.T
	j       *journal
	log     *logtest.Hook
	signals chan os.Signal
	opts    daemon.Options
	s       *daemon.Supervisor
	result  chan error
}

func newRig(t *testing.T, specs ...daemon.Spec) *rig {
	t.Helper()
	log, hook := logtest.NewNullLogger()
	log.SetOutput(io.Discard)
	log.SetLevel(logrus.DebugLevel)
	r := &rig{t: t, j: &journal{}, log: hook, signals: make(chan os.Signal, 4), result: make(chan error, 1)}
	r.opts = daemon.Options{
		Host: "h", Version: "v", StopTimeout: 20 * time.Second, HealthInterval: 30 * time.Second,
		Signals: r.signals, Log: log,
	}
	r.add(specs...)
	return r
}

func (r *rig) add(specs ...daemon.Spec) {
	r.opts.Specs = append(r.opts.Specs, specs...)
}

// module adds an enabled module whose every instance runs run.
func (r *rig) module(name string, run func(ctx context.Context) error) {
	r.add(daemon.Spec{Name: name, Enabled: true, New: func(context.Context) (daemon.Module, error) {
		r.j.add("new %s", name)
		return &fake{name: name, j: r.j, run: run}, nil
	}})
}

func (r *rig) start() {
	r.t.Helper()
	var err error
	r.s, err = daemon.New(r.opts)
	require.NoError(r.t, err)
	go func() { r.result <- r.s.Run(context.Background()) }()
}

// settle starts the daemon and waits until it has nothing more to do; only for use in a
// bubble.
func (r *rig) settle() {
	r.t.Helper()
	r.start()
	synctest.Wait()
}

// stop ends the daemon, which must end clean.
func (r *rig) stop() {
	r.t.Helper()
	r.signals <- syscall.SIGTERM
	require.NoError(r.t, <-r.result)
}

// messages returns the log's messages, with the module in front where there is one.
func (r *rig) messages() []string {
	var out []string
	for _, e := range r.log.AllEntries() {
		m := e.Message
		if name, ok := e.Data["module"]; ok {
			m = fmt.Sprintf("%v: %s", name, m)
		}
		out = append(out, m)
	}
	return out
}

// entry returns the last log entry with the message.
func (r *rig) entry(message string) *logrus.Entry {
	r.t.Helper()
	all := r.log.AllEntries()
	for _, e := range slices.Backward(all) {
		if e.Message == message {
			return e
		}
	}
	require.FailNow(r.t, "no such log entry", "%s in\n%s", message, strings.Join(r.messages(), "\n"))
	return nil
}

// logged counts the log entries with the message and level.
func (r *rig) logged(message string, level logrus.Level) (n int) {
	for _, e := range r.log.AllEntries() {
		if e.Message == message && e.Level == level {
			n++
		}
	}
	return n
}

// health returns the sum as it is now; only for use in a bubble, where time is free.
func (r *rig) health() event.DaemonHealth {
	time.Sleep(300 * time.Millisecond)
	return r.s.Health(context.Background())
}

// of returns the health of one module.
func (r *rig) of(name string) event.ModuleHealth {
	r.t.Helper()
	for _, m := range r.health().Modules {
		if m.Name == name {
			return m
		}
	}
	require.FailNow(r.t, "no such module", name)
	return event.ModuleHealth{}
}

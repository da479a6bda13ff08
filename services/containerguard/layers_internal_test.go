package containerguard

import (
	"context"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/bus/bustest"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/docker"
	"github.com/ironpost/ironpost/internal/task"
	"github.com/ironpost/ironpost/services/containerguard/policy"
	"github.com/ironpost/ironpost/services/containerguard/quarantine"
)

// panicHook panics when its message is logged.
type panicHook string

func (panicHook) Levels() []logrus.Level { return logrus.AllLevels }

func (h panicHook) Fire(e *logrus.Entry) error {
	if e.Message == string(h) {
		panic("hook: " + e.Message)
	}
	return nil
}

// newGuard returns a guard on a real bus, without Docker, whose log panics on message.
func newGuard(t *testing.T, message string) *Service {
	t.Helper()
	b := bustest.New(t)
	log := logrus.New()
	log.SetOutput(io.Discard)
	log.AddHook(panicHook(message))
	cfg := DefaultConfig()
	cfg.DockerSocket, cfg.PolicyPath = filepath.Join(t.TempDir(), "no.sock"), t.TempDir()
	s, err := New(cfg, Deps{Bus: b.Conn(Name), Host: b.Host(), DataDir: t.TempDir(), Log: log})
	require.NoError(t, err)
	return s
}

// requirePanicEndsRun runs the guard, calls provoke when it has started, and requires that
// Run returns the panic.
func requirePanicEndsRun(t *testing.T, s *Service, provoke func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	<-s.Started()
	provoke()
	select {
	case err := <-done:
		var panicked *task.PanicError
		require.ErrorAs(t, err, &panicked)
		cancel()
	case <-time.After(20 * time.Second):
		cancel()
		<-done //nolint:errcheck // the test has failed
		require.Fail(t, "the guard goes on without the layer that panicked")
	}
}

func TestPanicInQuarantineEndsRun(t *testing.T) {
	t.Parallel()
	s := newGuard(t, "quarantine step failed, trying again")
	client, err := docker.Connect(s.config().DockerSocket)
	require.NoError(t, err)
	defer client.Close()
	// An order that waits for Docker: every attempt at it fails and is logged.
	m, err := quarantine.Open(quarantine.Options{Docker: client, DataDir: s.deps.DataDir, Host: "h", Report: func(context.Context, event.Action) {}})
	require.NoError(t, err)
	require.NoError(t, m.Apply(t.Context(), quarantine.Order{
		ActionID: "one", Kind: quarantine.Pause, Container: docker.Container{ID: strings.Repeat("a", 64)}, TraceID: strings.Repeat("0", 32),
	}))
	require.NoError(t, m.Close())

	requirePanicEndsRun(t, s, func() {})
}

func TestPanicInReporterEndsRun(t *testing.T) {
	t.Parallel()
	s := newGuard(t, "")
	requirePanicEndsRun(t, s, func() {
		closed := make(chan struct{})
		close(closed)
		s.run.Load().reporter.queue <- report{barrier: closed} // is closed once more
	})
}

func TestAlertThatPanicsIsDeadLetteredAfterSomeDeliveries(t *testing.T) {
	t.Parallel()
	s := newGuard(t, "")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	defer func() {
		cancel()
		require.NoError(t, <-done)
	}()
	<-s.Started()
	s.policies.Store(&policy.Set{Policies: []*policy.Policy{nil}}) // evaluating any alert panics
	now := time.Now().UTC()
	data, err := event.Encode(&event.Alert{
		ID: "a", Schema: event.Schema, TraceID: strings.Repeat("0", 31) + "1", Time: now, FirstSeen: now, LastSeen: now, Count: 1,
		Module: bus.LogPipeline, Host: "h", Severity: event.High, Title: "t", Rule: event.Rule{ID: "r", Title: "t", Level: event.High}, DedupKey: "k",
	})
	require.NoError(t, err)
	d := bus.Delivery{Subject: bus.AlertSubject(bus.LogPipeline, "h"), Data: data, Attempt: maxPanics - 1}
	var panicked *task.PanicError
	err = s.handle(ctx, d)
	require.ErrorAs(t, err, &panicked)
	require.Same(t, panicked, err, "is redelivered")
	d.Attempt = maxPanics
	err = s.handle(ctx, d)
	require.ErrorAs(t, err, &panicked)
	require.NotSame(t, panicked, err, "is dead-lettered: bus.Reject")
	s.policies.Store(&policy.Set{})
	require.Equal(t, event.Unhealthy, s.Health().Status)
	require.Contains(t, strings.Join(s.Health().Reasons, "\n"), "panic while answering an alert at ")
}

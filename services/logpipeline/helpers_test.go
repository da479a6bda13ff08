package logpipeline_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/bus/bustest"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/services/logpipeline"
)

const (
	patience     = 20 * time.Second
	longPatience = 4 * time.Minute // for thousands of synced alerts while other tests run
	tick         = 10 * time.Millisecond

	ruleFailed = "6f1f0a52-6f5e-4c0a-9d5e-0a2f6c2f7a01"
	ruleMany   = "6f1f0a52-6f5e-4c0a-9d5e-0a2f6c2f7a03"
	ruleCanary = "6f1f0a52-6f5e-4c0a-9d5e-0a2f6c2f7a04"
)

// rig is a bus, a data folder and one watched file, which outlive the service.
type rig struct {
	t         testing.TB
	bus       *bustest.Bus
	conn      *bus.Conn
	admin     *bus.Conn
	dir       string
	watched   string
	cfg       logpipeline.Config
	metrics   *prometheus.Registry
	docker    string        // socket of the Docker API
	auditWait time.Duration // of audit events
	log       *logrus.Logger
}

func newRig(t testing.TB, options ...bustest.Option) *rig {
	t.Helper()
	b := bustest.New(t, options...)
	dir := t.TempDir()
	r := &rig{
		t: t, bus: b, conn: b.Conn(bus.LogPipeline), admin: b.Admin(),
		dir: filepath.Join(dir, "data"), watched: filepath.Join(dir, "auth.log"),
		cfg: logpipeline.DefaultConfig(), metrics: prometheus.NewPedanticRegistry(),
	}
	r.cfg.Sources = []string{logpipeline.SourceFile}
	r.cfg.WatchPaths = []string{r.watched}
	r.cfg.RulesPath, r.cfg.ShippedRules = absolute(t, "testdata/rules"), false
	r.cfg.CheckpointIntervalSecs = 1
	require.Empty(t, r.cfg.Validate())
	r.write("")
	return r
}

func absolute(t testing.TB, path string) string {
	t.Helper()
	out, err := filepath.Abs(path)
	require.NoError(t, err)
	return out
}

// write appends lines to the watched file.
func (r *rig) write(lines string) {
	r.t.Helper()
	appendTo(r.t, r.watched, lines)
}

func appendTo(t testing.TB, path, lines string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	require.NoError(t, err)
	_, err = f.WriteString(lines)
	require.NoError(t, err)
	require.NoError(t, f.Close())
}

// running is a service whose Run was called.
type running struct {
	*logpipeline.Service
	t      testing.TB
	cancel context.CancelFunc
	done   chan error
}

func (r *rig) build() *logpipeline.Service {
	r.t.Helper()
	log := r.log
	if log == nil {
		log = logrus.New()
		log.SetOutput(io.Discard)
		if testing.Verbose() {
			log.SetOutput(r.t.Output())
		}
	}
	s, err := logpipeline.New(r.cfg, logpipeline.Deps{
		Bus: r.conn, Host: r.bus.Host(), DataDir: r.dir, MachineID: "machine", Log: log, Metrics: r.metrics, DockerSocket: r.docker, AuditWait: r.auditWait,
	})
	require.NoError(r.t, err)
	return s
}

// start runs a new service and waits until the ends of the files are in a checkpoint.
func (r *rig) start() *running {
	r.t.Helper()
	run := r.launch()
	<-run.Started()
	require.Eventually(r.t, func() bool { return run.count("checkpoints") > 0 }, patience, tick)
	return run
}

// launch runs a new service.
func (r *rig) launch() *running {
	r.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	run := &running{Service: r.build(), t: r.t, cancel: cancel, done: make(chan error, 1)}
	go func() { run.done <- run.Run(ctx) }()
	r.t.Cleanup(run.stop)
	return run
}

func (s *running) count(name string) uint64 { return s.Health().Counters[name] }

// stop ends the service and waits for it. Stopping again does nothing.
func (s *running) stop() {
	s.t.Helper()
	s.cancel()
	select {
	case err, open := <-s.done:
		if open {
			require.NoError(s.t, err)
			close(s.done)
		}
	case <-time.After(patience):
		s.t.Fatal("the service does not stop")
	}
}

// alerts returns the alerts in the stream.
func (r *rig) alerts() []event.Alert {
	r.t.Helper()
	var out []event.Alert
	err := r.admin.History(r.t.Context(), bus.Alerts, bus.HistoryOptions{}, func(d bus.Delivery) bool {
		var a event.Alert
		require.NoError(r.t, event.Decode(d.Data, &a))
		out = append(out, a)
		return true
	})
	require.NoError(r.t, err)
	return out
}

// wait returns the alerts as soon as there are at least n.
func (r *rig) wait(n int) []event.Alert {
	r.t.Helper()
	const forEach = 100 * time.Millisecond // each is synced while other tests run
	require.Eventually(r.t, func() bool { return r.stored() >= n }, patience+time.Duration(n)*forEach, tick, "waiting for %d alerts", n)
	return r.alerts()
}

// stored returns how many alerts the stream holds.
func (r *rig) stored() int {
	states, err := r.admin.StreamStates(context.Background(), nil)
	if err != nil {
		return 0 // the caller tries again
	}
	for _, s := range states {
		if s.Name == bus.Alerts {
			return int(s.Messages)
		}
	}
	return 0
}

// waitLines waits until n lines were processed, so that their alerts are stored or being published.
func (s *running) waitLines(n uint64) {
	s.t.Helper()
	require.Eventually(s.t, func() bool { return s.count("lines") >= n }, patience, tick)
}

// stamp returns an RFC 3164 time a little before now.
func stamp(ago time.Duration) string { return time.Now().Add(-ago).Format(time.Stamp) }

// failed returns the line of a failed login two seconds ago.
func failed(user, ip string) string {
	return fmt.Sprintf("%s web1 sshd[77]: Failed password for %s from %s port 4242 ssh2\n", stamp(2*time.Second), user, ip)
}

func attempt(ip string) string {
	return fmt.Sprintf("%s web1 sshd[77]: Failed none for root from %s port 4242 ssh2\n", stamp(2*time.Second), ip)
}

func canary(process string) string {
	return stamp(2*time.Second) + " web1 " + process + "[1]: canary\n"
}

func ofRule(alerts []event.Alert, id string) []event.Alert {
	var out []event.Alert
	for _, a := range alerts {
		if a.Rule.ID == id {
			out = append(out, a)
		}
	}
	return out
}

// shape returns an alert as JSON without the fields that differ between two runs or two sources.
func shape(t *testing.T, a event.Alert) string {
	t.Helper()
	a.ID, a.TraceID, a.Series, a.Origin = "", "", "", nil
	a.Time, a.FirstSeen, a.LastSeen, a.Received = time.Time{}, time.Time{}, time.Time{}, time.Time{}
	raw, err := json.Marshal(a)
	require.NoError(t, err)
	return string(raw)
}

func shapes(t *testing.T, alerts []event.Alert) []string {
	t.Helper()
	out := make([]string, 0, len(alerts))
	for _, a := range alerts {
		out = append(out, shape(t, a))
	}
	return out
}

// requireOnce checks that no id is in the stream twice.
func requireOnce(t *testing.T, alerts []event.Alert) {
	t.Helper()
	seen := map[string]bool{}
	for _, a := range alerts {
		require.False(t, seen[a.ID], "%s is stored twice", a.ID)
		seen[a.ID] = true
	}
}

package containerguard_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/bus/bustest"
	"github.com/ironpost/ironpost/bus/embedded"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/ownership"
	"github.com/ironpost/ironpost/services/containerguard"
)

const (
	patience = 30 * time.Second
	tick     = 10 * time.Millisecond
	host     = "testhost"
)

// rig is a guard on a real bus. Unless a test sets the socket, Docker is away.
type rig struct {
	t         *testing.T
	bus       *bustest.Bus
	cfg       containerguard.Config
	dir       string
	log       *lines
	alerts    *bus.Publisher
	dependsOn []string
	n         int
}

// running is one run of the guard.
type running struct {
	*containerguard.Service
	t    *testing.T
	stop func() error
}

func newRig(t *testing.T) *rig {
	t.Helper()
	return rigAt(t, t.TempDir())
}

// rigAt returns a rig that continues with the files in dir.
func rigAt(t *testing.T, dir string) *rig {
	t.Helper()
	store := bustest.WithConfig(func(c *embedded.Config) { c.StoreDir = filepath.Join(dir, "bus") })
	r := &rig{t: t, bus: bustest.New(t, store), dir: dir, cfg: containerguard.DefaultConfig(), log: &lines{}}
	r.cfg.DockerSocket = filepath.Join(r.dir, "no.sock")
	r.cfg.PolicyPath = filepath.Join(r.dir, "policies")
	r.cfg.AutoIsolate, r.cfg.MaxPerMinute, r.cfg.MaxPerProject, r.cfg.MaxSharePercent = true, 1000, 1000, 100
	require.NoError(t, os.MkdirAll(r.cfg.PolicyPath, 0o700))
	require.NoError(t, os.MkdirAll(r.data(), 0o700))
	var err error
	r.alerts, err = r.bus.Conn(bus.LogPipeline).Publisher(bus.PublisherConfig{Stream: bus.Alerts, Module: bus.LogPipeline, Host: host})
	require.NoError(t, err)
	return r
}

func (r *rig) data() string { return filepath.Join(r.dir, "data") }

// policy writes a policy file: the id and more lines. One sign about a container is enough, unless they say otherwise.
func (r *rig) policy(id string, lines ...string) {
	r.t.Helper()
	text := strings.Join(lines, "\n") + "\n"
	switch {
	case strings.Contains(text, "signs = "):
	case strings.Contains(text, "[policy.require]"):
		text = strings.Replace(text, "[policy.require]", "[policy.require]\nsigns = 1", 1)
	default:
		text = "require.signs = 1\n" + text
	}
	text = "[[policy]]\nid = \"" + id + "\"\n" + text
	if !strings.Contains(text, "match") {
		text += "match.severity = \"high\"\n"
	}
	require.NoError(r.t, os.WriteFile(filepath.Join(r.cfg.PolicyPath, id+".toml"), []byte(text), 0o600))
}

func (r *rig) start() *running {
	r.t.Helper()
	log := logrus.New()
	log.SetOutput(io.MultiWriter(r.log))
	conn := r.bus.Conn(bus.ContainerGuard)
	s, err := containerguard.New(r.cfg, containerguard.Deps{Bus: conn, Host: host, DataDir: r.data(), Version: "v0.0.0", DependsOn: r.dependsOn, Log: log, Trusted: ownership.Self()})
	require.NoError(r.t, err)
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.t.Context()))
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	var once sync.Once
	run := &running{Service: s, t: r.t}
	run.stop = func() (err error) {
		once.Do(func() {
			cancel()
			err = <-done
		})
		return err
	}
	r.t.Cleanup(func() { require.NoError(r.t, run.stop()) })
	<-s.Started()
	return run
}

func (s *running) count(name string) uint64 { return s.Health().Counters[name] }

// waiting returns how many steps of policies wait for evidence.
func (s *running) waiting() uint64 {
	return s.count("steps_waiting_for_connection") + s.count("steps_waiting_for_evidence")
}

func (s *running) eventually(ok func() bool) {
	s.t.Helper()
	require.Eventually(s.t, ok, patience, tick)
}

// docker waits until the containers are known.
func (s *running) docker() *running {
	s.t.Helper()
	s.eventually(func() bool {
		return !strings.Contains(fmt.Sprint(s.Health().Reasons), "containers are not acted on") && s.count("containers") > 0
	})
	return s
}

// alert returns a new alert, whose trust limits no answer.
func (r *rig) alert(change func(*event.Alert)) *event.Alert {
	r.n++
	now := time.Now().UTC()
	a := &event.Alert{
		ID: fmt.Sprintf("alert-%d", r.n), Schema: event.Schema, TraceID: fmt.Sprintf("%032x", r.n), Time: now, FirstSeen: now, LastSeen: now,
		Count: 1, Module: bus.LogPipeline, Host: host, Severity: event.High, Title: "web attack",
		Rule: event.Rule{ID: "web", Title: "web attack", Level: event.High}, DedupKey: fmt.Sprint("k", r.n),
		Origin: &event.Origin{Transport: event.TransportPackets, Source: "eth0"}, Trust: event.TrustKernel,
	}
	if change != nil {
		change(a)
	}
	return a
}

func (r *rig) publish(alerts ...*event.Alert) {
	r.t.Helper()
	recs := make([]event.Record, len(alerts))
	for i, a := range alerts {
		recs[i] = a
	}
	require.NoError(r.t, r.alerts.Publish(r.t.Context(), recs...))
}

// actions returns everything reported, oldest first.
func (r *rig) actions() []event.Action {
	r.t.Helper()
	var out []event.Action
	err := r.bus.Admin().History(r.t.Context(), bus.Actions, bus.HistoryOptions{Filter: bus.ActionSubject("*", host)}, func(d bus.Delivery) bool {
		var a event.Action
		require.NoError(r.t, event.Decode(d.Data, &a))
		out = append(out, a)
		return true
	})
	require.NoError(r.t, err)
	return out
}

// brief describes an action in a few words.
func brief(a event.Action) string {
	text := a.Kind + " " + string(a.Phase)
	if a.DryRun {
		text += " dry"
	}
	return text
}

func briefs(actions []event.Action) []string {
	var out []string
	for _, a := range actions {
		out = append(out, brief(a))
	}
	return out
}

// await waits for an action about an alert and returns it.
func (r *rig) await(alert *event.Alert, want string) event.Action {
	r.t.Helper()
	var found event.Action
	var all []event.Action
	ok := func() bool {
		all = r.actions()
		for _, a := range all {
			if a.AlertID == alert.ID && brief(a) == want {
				found = a
				return true
			}
		}
		return false
	}
	if !eventually(ok) {
		text, _ := json.MarshalIndent(all, "", " ")
		require.Fail(r.t, "no "+want, "%s\n%s", text, r.log.String())
	}
	return found
}

func eventually(ok func() bool) bool {
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(tick) {
		if ok() {
			return true
		}
	}
	return false
}

// ask sends a request as an operator.
func (r *rig) ask(verb string, req, resp any) error {
	return ask(r.t.Context(), r.bus.Conn(bus.Operator), verb, req, resp)
}

func ask(ctx context.Context, operator *bus.Conn, verb string, req, resp any) error {
	switch verb {
	case containerguard.VerbIsolate, containerguard.VerbRelease, containerguard.VerbApprove, containerguard.VerbNotify:
		return operator.Operate(ctx, bus.ContainerGuard, host, verb, req, resp)
	}
	return operator.Request(ctx, bus.VerbSubject(bus.ContainerGuard, host, verb), req, resp)
}

// lines collects log output.
type lines struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

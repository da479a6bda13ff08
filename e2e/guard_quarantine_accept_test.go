//go:build accept && linux

package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/docker"
	"github.com/ironpost/ironpost/internal/testenv"
	"github.com/ironpost/ironpost/services/containerguard"
	"github.com/ironpost/ironpost/services/containerguard/quarantine"
)

// Long runs of the quarantine, part of `make accept-container-guard`.

const (
	rounds      = 100
	undoings    = 10              // of each way to undo a quarantine
	heldAgainIn = 1 * time.Second // after the start or connect event
)

const noPolicies = "[[policy]]\nid = \"none\"\nactions = [\"isolate\"]\nmatch.severity = \"critical\"\n"

// isolate asks for a container as an operator does, and waits until it is held.
func (f *field) isolate(id string) containerguard.Held {
	f.t.Helper()
	var reply any
	f.ask(containerguard.VerbIsolate, containerguard.IsolateRequest{Container: id, Force: true}, &reply)
	var h containerguard.Held
	f.eventually(func() bool { h = f.held()[id]; return h.State == "held" })
	return h
}

func (f *field) release(id string) {
	f.t.Helper()
	var reply containerguard.ReleaseReply
	f.ask(containerguard.VerbRelease, containerguard.ReleaseRequest{Container: id}, &reply)
	f.eventually(func() bool { _, is := f.held()[id]; return !is })
}

func (f *field) inspect(id string) docker.Container {
	f.t.Helper()
	c, _, err := f.docker.Inspect(f.t.Context(), id)
	require.NoError(f.t, err)
	return c
}

// isolated tells whether a container is as an isolation leaves it.
func isolated(c docker.Container) bool {
	return (c.Paused || !c.Running) && len(c.Networks) == 0 && c.RestartPolicy.Name == "no"
}

// talker is a client with a session to a server over TCP, which it opens again
// when it breaks. The server writes the number of the connection with each line.
type talker struct{ server, client string }

func (f *field) talker(network string) talker {
	f.t.Helper()
	var t talker
	t.server = f.engine.Run(f.t, testenv.ContainerOptions{Network: network, Cmd: []string{"/bin/nc", "-ll", "-p", "9", "-e", "/bin/sh", "-c", "while read l; do echo $$ >>/proc/1/fd/1; done"}})
	address := f.inspect(t.server).Networks[0].IPv4
	script := fmt.Sprintf("while :; do (while :; do echo tick; usleep 20000; done) | nc %s 9; usleep 20000; done", address)
	t.client = f.engine.Run(f.t, testenv.ContainerOptions{
		Name: "talker", Network: network, Restart: "always", Cmd: []string{"/bin/sh", "-c", script}, Publish: map[string]string{"80/tcp": "127.0.0.1:8080"},
		Endpoint: map[string]any{"Aliases": []string{"www"}, "IPAMConfig": map[string]any{"IPv4Address": "10.90.0.90"}},
	})
	return t
}

// connections counts what each connection has said since then.
func (f *field) connections(server string, since time.Time) map[string]int {
	f.t.Helper()
	out := map[string]int{}
	require.NoError(f.t, f.docker.Logs(f.t.Context(), server, docker.LogOptions{Since: since}, func(l docker.LogLine) error {
		out[string(l.Text)]++
		return nil
	}))
	return out
}

// asBefore is what a round must give back: everything but the ids of endpoints.
func asBefore(c docker.Container) docker.Container {
	for i := range c.Networks {
		c.Networks[i].ID = ""
	}
	return c
}

// TestAcceptGuardRounds: isolated and released again and again, a container that
// keeps a TCP session never resumes it, and is otherwise as it was.
func TestAcceptGuardRounds(t *testing.T) {
	f := newField(t, wideCaps, noPolicies)
	f.engine.Network(t, "front", "10.90.0.0/24")
	back := f.engine.Network(t, "back", "")
	session := f.talker("front")
	f.engine.Do(t, "POST", "/networks/"+back+"/connect", map[string]any{"Container": session.client, "EndpointConfig": map[string]any{"Aliases": []string{"db"}}}, nil)
	f.eventually(func() bool { return len(f.connections(session.server, time.Time{})) > 0 })
	before := f.inspect(session.client)
	resumed, different := 0, 0
	old := map[string]bool{}
	for range rounds {
		f.isolate(session.client)
		require.True(t, isolated(f.inspect(session.client)))
		released := time.Now()
		for number := range f.connections(session.server, time.Time{}) {
			old[number] = true
		}
		f.release(session.client)
		f.eventually(func() bool {
			for number := range f.connections(session.server, released) {
				if !old[number] {
					return true
				}
			}
			return false
		})
		for number, lines := range f.connections(session.server, released) {
			if old[number] {
				resumed++
				t.Logf("connection %s said %d lines more", number, lines)
			}
		}
		if after := f.inspect(session.client); !assertEqual(t, asBefore(before), asBefore(after)) {
			different++
		}
	}
	t.Logf("%d rounds: %d sessions resumed (bar 0), %d times not as before (bar 0)", rounds, resumed, different)
	require.Zero(t, resumed)
	require.Zero(t, different)
}

func assertEqual(t *testing.T, want, got docker.Container) bool {
	t.Helper()
	w, err := json.Marshal(want)
	require.NoError(t, err)
	g, err := json.Marshal(got)
	require.NoError(t, err)
	if string(w) != string(g) {
		t.Logf("was %s\n is %s", w, g)
	}
	return string(w) == string(g)
}

// watch keeps the engine's events, across restarts of the engine.
type watch struct {
	mu     sync.Mutex
	events []docker.Event
}

func (f *field) watch() *watch {
	w := &watch{}
	ctx, cancel := context.WithCancel(f.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			_ = f.docker.Events(ctx, time.Time{}, nil, func(e docker.Event) error {
				w.mu.Lock()
				defer w.mu.Unlock()
				w.events = append(w.events, e)
				return nil
			})
		}
	}()
	f.t.Cleanup(func() { cancel(); <-done })
	return w
}

// took returns how long after the newest event that undid the quarantine of a
// container the last event of its re-application came.
func (w *watch) took(id string, undoing string, again ...string) (time.Duration, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	at := -1
	for i, e := range w.events {
		if e.Container == id && e.Action == undoing {
			at = i
		}
	}
	if at < 0 {
		return 0, false
	}
	var last time.Time
	for _, action := range again {
		found := false
		for _, e := range w.events[at:] {
			if e.Container == id && e.Action == action && !found {
				found, last = true, later(last, e.Time)
			}
		}
		if !found {
			return 0, false
		}
	}
	return last.Sub(w.events[at].Time), true
}

// undoing is one way to undo a quarantine: the event it shows as, and those of
// the quarantine being applied again.
type undoing struct {
	name  string
	do    func(f *field, id string) string // returns the container it is about then
	event string
	again []string
}

func waysToUndo(front string) []undoing {
	start := func(f *field, id string) string {
		f.engine.Do(f.t, "POST", "/containers/"+id+"/start", nil, nil)
		return id
	}
	return []undoing{
		{"a person reconnects it", func(f *field, id string) string {
			f.engine.Do(f.t, "POST", "/networks/"+front+"/connect", map[string]string{"Container": id}, nil)
			return id
		}, "connect", []string{"disconnect"}},
		{"a person thaws it", func(f *field, id string) string {
			f.engine.Do(f.t, "POST", "/containers/"+id+"/unpause", nil, nil)
			return id
		}, "unpause", []string{"pause"}},
		{"a person restarts it", func(f *field, id string) string {
			f.engine.Do(f.t, "POST", "/containers/"+id+"/restart?t=0", nil, nil)
			return id
		}, "start", []string{"pause"}},
		{"dockerd gets SIGKILL, then a person starts it", func(f *field, id string) string {
			f.engine.Kill(f.t)
			f.engine.Start(f.t)
			f.eventually(func() bool { return isolated(f.inspect(id)) && f.known() })
			if f.inspect(id).Running { // only with live-restore
				f.engine.Do(f.t, "POST", "/containers/"+id+"/kill", nil, nil)
			}
			return start(f, id)
		}, "start", []string{"pause"}},
		{"dockerd gets SIGTERM, then a person starts it", func(f *field, id string) string {
			f.engine.Stop(f.t)
			f.engine.Start(f.t)
			f.eventually(func() bool { return isolated(f.inspect(id)) && f.known() })
			return start(f, id)
		}, "start", []string{"pause"}},
		{"compose makes it anew", func(f *field, id string) string {
			f.engine.Remove(f.t, id)
			return f.engine.Run(f.t, composed())
		}, "start", []string{"pause", "disconnect"}},
	}
}

// known tells whether the guard hears the engine.
func (f *field) known() bool {
	f.t.Helper()
	var reply containerguard.QuarantineReply
	f.ask(containerguard.VerbQuarantine, nil, &reply)
	return reply.Docker == ""
}

// composed is a container as Docker Compose makes it.
func composed() testenv.ContainerOptions {
	return testenv.ContainerOptions{Name: "shop-web-1", Network: "front", Restart: "always", Labels: map[string]string{
		"com.docker.compose.project": "shop", "com.docker.compose.service": "web", "com.docker.compose.container-number": "1",
	}}
}

// TestAcceptGuardUndone: whatever undoes a quarantine, it is in place again within
// a second of the event.
func TestAcceptGuardUndone(t *testing.T) {
	f := newField(t, wideCaps, noPolicies)
	front := f.engine.Network(t, "front", "")
	w := f.watch()
	for _, u := range waysToUndo(front) {
		t.Run(u.name, func(t *testing.T) {
			id := f.engine.Run(t, composed())
			defer func() { f.release(id); f.engine.Remove(t, id) }()
			f.eventually(func() bool { return f.knows(id) })
			f.isolate(id)
			var took []time.Duration
			for range undoings {
				id = u.do(f, id)
				began := time.Now()
				f.eventually(func() bool { return isolated(f.inspect(id)) })
				seen := time.Since(began)
				if d, shown := w.took(id, u.event, u.again...); shown {
					seen = d
				}
				took = append(took, seen)
				require.True(t, isolated(f.inspect(id)))
			}
			t.Logf("held again: %s (bar %v)", said(took), heldAgainIn)
			require.LessOrEqual(t, percentile(took, 1), heldAgainIn)
		})
	}
}

// knows tells whether the guard's list has the container.
func (f *field) knows(id string) bool {
	f.t.Helper()
	return f.counter("container-guard", "containers") >= 1 && f.inspect(id).Running
}

// TestAcceptGuardKilled: the daemon is killed at every step of a quarantine and of
// a release, and whenever else, and finishes both.
func TestAcceptGuardKilled(t *testing.T) {
	f := newField(t, wideCaps, noPolicies)
	f.engine.Network(t, "front", "10.90.0.0/24")
	at := map[string]int{}
	for i := range 2 * (len(quarantine.HoldSteps()) + len(quarantine.ReleaseSteps())) {
		id := f.engine.Run(t, composed())
		f.eventually(func() bool { return f.knows(id) })
		before := f.inspect(id)
		steps := quarantine.HoldSteps()
		at["hold: "+f.killDuring(id, string(steps[i%len(steps)]), containerguard.VerbIsolate, containerguard.IsolateRequest{Container: id, Force: true})]++
		f.start()
		f.finish(id)
		require.True(t, isolated(f.inspect(id)))
		steps = quarantine.ReleaseSteps()
		at["release: "+f.killDuring(id, string(steps[i%len(steps)]), containerguard.VerbRelease, containerguard.ReleaseRequest{Container: id})]++
		f.start()
		f.reconnect()
		if _, still := f.held()[id]; still {
			f.release(id)
		}
		require.True(t, assertEqual(t, asBefore(before), asBefore(f.inspect(id))))
		f.engine.Remove(t, id)
	}
	t.Logf("killed and finished: %v", at)
}

// finish waits until a container is held, asking for it again if the order died
// before it reached the ledger.
func (f *field) finish(id string) {
	f.t.Helper()
	f.reconnect()
	f.eventually(func() bool { return f.known() })
	if _, held := f.held()[id]; !held {
		f.isolate(id)
	}
	f.eventually(func() bool { return f.held()[id].State == "held" })
}

// killDuring asks for something and kills the daemon once the ledger names a step,
// or, where it never does, a moment later. It returns the step the ledger names then.
func (f *field) killDuring(id, step, verb string, request any) string {
	f.t.Helper()
	ctx, cancel := context.WithCancel(f.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		var reply any
		_ = f.operator.Request(ctx, bus.StatusSubject(bus.ContainerGuard, stageHost, verb), request, &reply) // who answers is killed
	}()
	for deadline := time.Now().Add(rand.N(300 * time.Millisecond)); f.ledgerStep(id) != step && time.Now().Before(deadline); {
		runtime.Gosched()
	}
	f.stop(syscall.SIGKILL)
	cancel()
	<-done
	return f.ledgerStep(id)
}

// reconnect makes the operator's connection to a daemon that was started anew.
func (f *field) reconnect() {
	f.t.Helper()
	_ = f.operator.Close(f.t.Context())
	var err error
	f.operator, err = bus.DialSocket(f.t.Context(), f.path("bus.sock"))
	require.NoError(f.t, err)
}

func (f *field) ledgerStep(id string) string {
	found, _ := filepath.Glob(f.path("data/*/quarantine/" + id + ".json"))
	if len(found) == 0 {
		return ""
	}
	raw, err := os.ReadFile(found[0])
	var e quarantine.Entry
	if err != nil || json.Unmarshal(raw, &e) != nil {
		return ""
	}
	return string(e.Step)
}

// TestAcceptGuardOrderLatency: an order to the quarantine alone, without a bus,
// beside the bare API of the same run.
func TestAcceptGuardOrderLatency(t *testing.T) {
	d := testenv.Dockerd(t)
	client, err := docker.Connect(d.Socket)
	require.NoError(t, err)
	t.Cleanup(client.Close)
	m, err := quarantine.Open(quarantine.Options{Docker: client, DataDir: t.TempDir(), Host: "accept", Report: func(context.Context, event.Action) {}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, m.Close()) })
	var ids []string
	for range accepted {
		ids = append(ids, d.Run(t, testenv.ContainerOptions{}))
	}
	f := &field{stage: &stage{t: t}, engine: d, docker: client}
	var barePause, bareBoth, frozen, held []time.Duration
	for round := range 4 {
		for i, id := range ids { // in turn, so that both have the same neighbours
			pause, both := f.bare(id)
			barePause, bareBoth = append(barePause, pause), append(bareBoth, both)
			began := time.Now()
			require.NoError(t, m.Apply(t.Context(), quarantine.Order{
				ActionID: fmt.Sprintf("a%d-%d", round, i), Kind: quarantine.Isolate, Container: docker.Container{ID: id}, TraceID: strings.Repeat("ab", 16),
			}))
			e, is := m.Get(id)
			require.True(t, is && e.State == quarantine.Held)
			frozen, held = append(frozen, e.FrozenAt.Sub(began)), append(held, e.HeldAt.Sub(began))
		}
		for _, id := range ids {
			require.NoError(t, m.Release(t.Context(), id, "next round"))
		}
	}
	t.Logf("bare pause:              %s", said(barePause))
	t.Logf("order → frozen:          %s (bar: p99 ≤ %v)", said(frozen), percentile(barePause, 0.99)+25*time.Millisecond)
	t.Logf("bare pause + disconnect: %s", said(bareBoth))
	t.Logf("order → isolated:        %s (bar: p99 ≤ %v)", said(held), percentile(bareBoth, 0.99)+50*time.Millisecond)
	require.LessOrEqual(t, percentile(frozen, 0.99), percentile(barePause, 0.99)+25*time.Millisecond)
	require.LessOrEqual(t, percentile(held, 0.99), percentile(bareBoth, 0.99)+50*time.Millisecond)
}

//go:build accept && linux

package e2e_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/internal/docker"
	"github.com/ironpost/ironpost/internal/testenv"
	"github.com/ironpost/ironpost/services/containerguard"
)

// eventWatch collects the events of dockerd, across its restarts.
type eventWatch struct {
	mu     sync.Mutex
	events []docker.Event
}

func (f *guardSetup) watchEvents() *eventWatch {
	w := &eventWatch{}
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

// reapplyTime returns the time from the newest event that undid the quarantine of a
// container to the last event of applying it again; false if one of them is missing.
func (w *eventWatch) reapplyTime(id string, undoing string, again ...string) (time.Duration, bool) {
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
				found, last = true, latest(last, e.Time)
			}
		}
		if !found {
			return 0, false
		}
	}
	return last.Sub(w.events[at].Time), true
}

// wayToUndo is one way to undo a quarantine: its event, and the events of the quarantine
// being applied again.
type wayToUndo struct {
	name  string
	do    func(f *guardSetup, id string) string // returns the container it is about afterwards
	event string
	again []string
}

func waysToUndo(front string) []wayToUndo {
	start := func(f *guardSetup, id string) string {
		f.engine.Do(f.t, "POST", "/containers/"+id+"/start", nil, nil)
		return id
	}
	return []wayToUndo{
		{"a person reconnects it", func(f *guardSetup, id string) string {
			f.engine.Do(f.t, "POST", "/networks/"+front+"/connect", map[string]string{"Container": id}, nil)
			return id
		}, "connect", []string{"disconnect"}},
		{"a person unpauses it", func(f *guardSetup, id string) string {
			f.engine.Do(f.t, "POST", "/containers/"+id+"/unpause", nil, nil)
			return id
		}, "unpause", []string{"pause"}},
		{"a person restarts it", func(f *guardSetup, id string) string {
			f.engine.Do(f.t, "POST", "/containers/"+id+"/restart?t=0", nil, nil)
			return id
		}, "start", []string{"pause"}},
		{"dockerd gets SIGKILL, then a person starts it", func(f *guardSetup, id string) string {
			f.engine.Kill(f.t)
			f.engine.Start(f.t)
			f.eventually(func() bool { return isolated(f.inspect(id)) && f.guardSeesDocker() })
			if f.inspect(id).Running { // only with live-restore
				f.engine.Do(f.t, "POST", "/containers/"+id+"/kill", nil, nil)
			}
			return start(f, id)
		}, "start", []string{"pause"}},
		{"dockerd gets SIGTERM, then a person starts it", func(f *guardSetup, id string) string {
			f.engine.Stop(f.t)
			f.engine.Start(f.t)
			f.eventually(func() bool { return isolated(f.inspect(id)) && f.guardSeesDocker() })
			return start(f, id)
		}, "start", []string{"pause"}},
		{"compose recreates it", func(f *guardSetup, id string) string {
			f.engine.Remove(f.t, id)
			return f.engine.Run(f.t, composeContainer())
		}, "start", []string{"pause", "disconnect"}},
		{"docker run makes it again under its name", func(f *guardSetup, id string) string {
			f.engine.Remove(f.t, id)
			again := composeContainer()
			again.Labels = nil
			return f.engine.Run(f.t, again)
		}, "start", []string{"pause", "disconnect"}},
	}
}

// guardSeesDocker reports whether the guard is connected to Docker.
func (f *guardSetup) guardSeesDocker() bool {
	f.t.Helper()
	var reply containerguard.QuarantineReply
	f.request(containerguard.VerbQuarantine, nil, &reply)
	return reply.Docker == ""
}

// composeContainer is a container as Docker Compose creates it.
func composeContainer() testenv.ContainerOptions {
	return testenv.ContainerOptions{Name: "shop-web-1", Network: "front", Restart: "always", Labels: map[string]string{
		"com.docker.compose.project": "shop", "com.docker.compose.service": "web", "com.docker.compose.container-number": "1",
	}}
}

// Each way to undo a quarantine: it is applied again within a second of the event.
func TestAcceptGuardUndone(t *testing.T) {
	f := newGuardSetup(t, wideCaps, noPolicies)
	front := f.engine.Network(t, "front", "")
	w := f.watchEvents()
	for _, u := range waysToUndo(front) {
		t.Run(u.name, func(t *testing.T) {
			id := f.engine.Run(t, composeContainer())
			defer func() { f.release(id); f.engine.Remove(t, id) }()
			f.eventually(func() bool { return f.guardKnows(id) })
			f.isolate(id)
			var took []time.Duration
			for range undoRounds {
				id = u.do(f, id)
				began := time.Now()
				f.eventually(func() bool { return isolated(f.inspect(id)) })
				seen := time.Since(began)
				if d, shown := w.reapplyTime(id, u.event, u.again...); shown {
					seen = d
				}
				took = append(took, seen)
				require.True(t, isolated(f.inspect(id)))
			}
			t.Logf("isolated again: %s (bar %v)", summary(took), reapplyLimit)
			require.LessOrEqual(t, percentile(took, 1), reapplyLimit)
		})
	}
}

// guardKnows reports whether the guard lists a container and this one runs.
func (f *guardSetup) guardKnows(id string) bool {
	f.t.Helper()
	return f.counter("container-guard", "containers") >= 1 && f.inspect(id).Running
}

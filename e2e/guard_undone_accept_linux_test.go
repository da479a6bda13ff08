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

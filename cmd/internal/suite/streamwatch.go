package suite

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/ironpost/ironpost/bus"
)

const (
	watchEvery = 5 * time.Second
	watchTime  = 4 * time.Second
	absentFor  = 3 // looks without anybody consuming, before that is a reason: a pull may just have ended
)

// streamWatch looks at the streams and remembers what it saw, for the health and
// the metrics. Its methods may be called concurrently.
type streamWatch struct {
	conn     *bus.Conn
	durables []bus.Durable

	mu     sync.Mutex
	states []bus.StreamState
	err    error
	absent map[string]int // looks in a row in which nobody consumed, by durable
}

func newStreamWatch(b *busSide) *streamWatch {
	return &streamWatch{conn: b.admin, durables: b.durables, absent: map[string]int{}}
}

// run looks every few seconds until ctx ends.
func (w *streamWatch) run(ctx context.Context) error {
	ticker := time.NewTicker(watchEvery)
	defer ticker.Stop()
	for {
		w.look(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

func (w *streamWatch) look(ctx context.Context) {
	bound, cancel := context.WithTimeout(ctx, watchTime)
	defer cancel()
	states, err := w.conn.StreamStates(bound, w.durables)
	if ctx.Err() != nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.err = err
	if err != nil {
		return
	}
	w.states = states
	for _, s := range states {
		for _, d := range s.Durables {
			w.absent[d.Name]++
			if d.Waiting > 0 || d.AckPending > 0 {
				w.absent[d.Name] = 0
			}
		}
	}
}

// snapshot returns what was seen last.
func (w *streamWatch) snapshot() []bus.StreamState {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.states
}

// reasons returns what is wrong with the streams, by the module to blame.
func (w *streamWatch) reasons() map[string][]string {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := map[string][]string{}
	if w.err != nil {
		out[busName] = append(out[busName], "streams do not answer: "+w.err.Error())
	}
	for _, s := range w.states {
		for _, d := range s.Durables {
			if reason := w.reason(s, d); reason != "" {
				out[w.owner(d.Name)] = append(out[w.owner(d.Name)], reason)
			}
		}
	}
	return out
}

func (w *streamWatch) reason(s bus.StreamState, d bus.DurableState) string {
	if d.Present && w.absent[d.Name] >= absentFor { // one that is gone, or holds a full stream up, the caretaker reports
		return fmt.Sprintf("nobody consumes %s for it, %d messages wait", s.Name, d.Pending)
	}
	return ""
}

func (w *streamWatch) owner(durable string) string {
	for _, d := range w.durables {
		if d.Name == durable {
			return d.Module
		}
	}
	return busName
}

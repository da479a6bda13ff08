package quarantine

import (
	"context"
	"sync"
	"time"
)

// yieldTime bounds how long what is frozen waits for others to be frozen.
const yieldTime = 2 * time.Second

// rush has freezes go first. The engine works on one network at a time, and slowly:
// when many containers are to be isolated at once, all are frozen before the first
// is taken off its networks.
type rush struct {
	mu      sync.Mutex
	pending int
	calm    chan struct{} // closed when none is pending
}

// enter announces a freeze; over ends that, and may be called more than once.
func (r *rush) enter() (over func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.pending == 0 {
		r.calm = make(chan struct{})
	}
	r.pending++
	return sync.OnceFunc(func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.pending--; r.pending == 0 {
			close(r.calm)
		}
	})
}

// wait returns when no freeze is pending, or after yieldTime.
func (r *rush) wait(ctx context.Context) {
	r.mu.Lock()
	calm, none := r.calm, r.pending == 0
	r.mu.Unlock()
	if none {
		return
	}
	timer := time.NewTimer(yieldTime)
	defer timer.Stop()
	select {
	case <-calm:
	case <-timer.C:
	case <-ctx.Done():
	}
}

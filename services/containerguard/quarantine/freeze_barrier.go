package quarantine

import (
	"context"
	"sync"
	"time"
)

// maxFreezeWait bounds how long a frozen container waits for others to be frozen.
const maxFreezeWait = 2 * time.Second

// freezeBarrier lets freezes go before all other steps. dockerd works on one network at a
// time, slowly: when many containers are isolated at once, all are frozen before the
// first is disconnected.
type freezeBarrier struct {
	mu      sync.Mutex
	pending int
	none    chan struct{} // closed when pending is 0
}

// announce says that a freeze is coming; done, which may be called more than once, that
// it is over.
func (b *freezeBarrier) announce() (done func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.pending == 0 {
		b.none = make(chan struct{})
	}
	b.pending++
	return sync.OnceFunc(func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.pending--; b.pending == 0 {
			close(b.none)
		}
	})
}

// wait returns when no freeze is pending, or after maxFreezeWait.
func (b *freezeBarrier) wait(ctx context.Context) {
	b.mu.Lock()
	none, pending := b.none, b.pending
	b.mu.Unlock()
	if pending == 0 {
		return
	}
	timer := time.NewTimer(maxFreezeWait)
	defer timer.Stop()
	select {
	case <-none:
	case <-timer.C:
	case <-ctx.Done():
	}
}

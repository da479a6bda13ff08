package logpipeline

import (
	"context"
	"sync"
	"time"
)

// bell wakes the pipeline, which waits for lines of files, when another source has
// something for it.
type bell struct {
	mu    sync.Mutex
	rung  bool
	ended context.CancelFunc // ends the wait that is on
}

// ring ends the wait, or the next one. Any goroutine may call it.
func (b *bell) ring() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rung = true
	if b.ended != nil {
		b.ended()
	}
}

// wait returns a context that ends after d or when the bell rings; done must be
// called when the wait is over.
func (b *bell) wait(ctx context.Context, d time.Duration) (_ context.Context, done context.CancelFunc) {
	ctx, cancel := context.WithTimeout(ctx, d)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended = cancel
	if b.rung {
		cancel()
	}
	return ctx, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.ended, b.rung = nil, false
		cancel()
	}
}

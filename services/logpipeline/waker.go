package logpipeline

import (
	"context"
	"sync"
	"time"
)

// waker interrupts the wait for lines of files when another source has input. Its methods may be called
// concurrently, wait by one goroutine at a time.
type waker struct {
	mu     sync.Mutex
	woken  bool
	cancel context.CancelFunc // of the wait in progress
}

// wake ends the wait in progress, or the next one at once.
func (w *waker) wake() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.woken = true
	if w.cancel != nil {
		w.cancel()
	}
}

// wait returns a context that ends after d or with the next wake; done must be called when the wait is over.
func (w *waker) wait(ctx context.Context, d time.Duration) (_ context.Context, done context.CancelFunc) {
	ctx, cancel := context.WithTimeout(ctx, d)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cancel = cancel
	if w.woken {
		cancel()
	}
	return ctx, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.cancel, w.woken = nil, false
		cancel()
	}
}

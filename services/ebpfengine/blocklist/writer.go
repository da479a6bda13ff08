package blocklist

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/ironpost/ironpost/bpf"
)

const (
	// batchSize is how many entries are written at once: a change of the bucket waits for one batch of a feed at most.
	batchSize = 4096
	// compareInterval is how often the kernel's list is compared with the desired state, more or less a fifth, so that many
	// machines do not do it at once. No difference is expected.
	compareInterval = 5 * time.Minute
	// retryDelay is when something that could not be read or written is tried again.
	retryDelay = 5 * time.Second
	// allocateInterval bounds how often room is allocated anew while the bucket alone exceeds it, which sorts all entries.
	allocateInterval = time.Second
	// expiryDelay is how long an expired entry may stay in the kernel, which ignores it: its removal is not urgent.
	expiryDelay = 2 * time.Second
	// clockStep is how far the wall clock may be set, or the machine sleep, before all expiries are compared: the kernel's
	// clock sees neither.
	clockStep = time.Second
)

// writer is the one task that writes the kernel's blocklist.
type writer struct {
	*Reconciler
	state state

	began          time.Time // with both clocks
	step           time.Duration
	nextComparison time.Time
	allocated      time.Time
	nextExpiry     time.Time // zero if no entry expires
	removeExpired  time.Time // when the entries that expire at nextExpiry are removed
}

func newWriter(r *Reconciler) *writer {
	return &writer{Reconciler: r, began: time.Now(), state: loading}
}

func (w *writer) run(ctx context.Context) error {
	for ctx.Err() == nil {
		now := time.Now()
		w.compareIfDue(now)
		b := w.nextBatch(now)
		w.writeScopes()
		if !b.empty() {
			w.apply(b)
			continue
		}
		w.wait(ctx)
	}
	return nil
}

// compareIfDue compares the kernel with the desired state: at the start, to adopt the entries of an earlier process; when the
// bucket or the files have been read for the first time; when the clock was set; after a failure; and every few minutes.
func (w *writer) compareIfDue(now time.Time) {
	step := now.Round(0).Sub(w.began.Round(0)) - now.Sub(w.began)
	stepped := (step - w.step).Abs() > clockStep
	w.mu.Lock()
	asked := w.compareNow
	w.compareNow = false
	w.mu.Unlock()
	if !asked && !stepped && now.Before(w.nextComparison) {
		return
	}
	w.step = step
	w.nextComparison = now.Add(compareInterval - compareInterval/5 + jitter(2*compareInterval/5))
	entries, err := w.deps.Kernel.Blocked()
	if err != nil {
		w.recordWrite(0, err)
		return
	}
	slices.SortFunc(entries, func(a, b bpf.Entry) int { return compare(a.Prefix, b.Prefix) })
	w.mu.Lock()
	defer w.mu.Unlock()
	w.plan.allocate()
	w.plan.scopes.changed = true // and are compared as they are written
	n := w.plan.compareWith(entries)
	w.kernel.uncompared = false
	if n == 0 {
		w.kernel.err = nil // a write that failed is not needed any more
		return
	}
	w.kernel.repaired += uint64(n)
	w.deps.Log.WithFields(logrus.Fields{"differences": n, "entries": len(entries), "clock_step": stepped}).Info("kernel blocklist out of sync, repairing")
}

// nextBatch returns what to write next; empty if there is nothing.
func (w *writer) nextBatch(now time.Time) batch {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.nextExpiry.IsZero() && now.After(w.removeExpired) {
		w.plan.expire(now)
	}
	if next := w.plan.nextExpiry(); !next.Equal(w.nextExpiry) {
		w.nextExpiry, w.removeExpired = next, next.Add(jitter(expiryDelay))
	}
	if overBucket, _ := w.plan.overflow(); overBucket == 0 || now.Sub(w.allocated) >= allocateInterval {
		w.plan.allocate()
		w.allocated = now
	}
	return w.plan.next(batchSize)
}

// wait returns when there may be something to do.
func (w *writer) wait(ctx context.Context) {
	w.mu.Lock()
	w.logState()
	until := w.nextComparison
	if !w.nextExpiry.IsZero() && w.removeExpired.Before(until) {
		until = w.removeExpired
	}
	if w.plan.changed {
		until = w.allocated.Add(allocateInterval)
	}
	w.mu.Unlock()
	timer := time.NewTimer(min(time.Until(until), pollInterval)) // the clock may be set meanwhile
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-w.wake:
	case <-timer.C:
	}
}

// logState logs a change of state since the last call. w.mu is held.
func (w *writer) logState() {
	if now := w.Reconciler.state(); now != w.state {
		w.deps.Log.WithFields(logrus.Fields{"before": string(w.state), "now": string(now)}).Debug("kernel blocklist changed state")
		w.state = now
	}
}

// apply writes b: additions first, so that a prefix that is split or joined never lapses. Before a block, SSH sessions are
// looked up: an operator who blocks 0.0.0.0/0 has just logged in.
func (w *writer) apply(b batch) {
	if len(b.block) > 0 {
		w.protector.refreshSessions()
	}
	err := w.deps.Kernel.Block(b.block)
	if errors.Is(err, bpf.ErrFull) {
		err = w.makeRoom(b)
	}
	if unblockErr := w.deps.Kernel.Unblock(b.unblock); err == nil {
		err = unblockErr
	}
	w.recordWrite(len(b.block)+len(b.unblock), err)
}

// makeRoom writes b to a full kernel: removals first, b's own and queued ones, as long as there are any.
func (w *writer) makeRoom(b batch) error {
	for {
		w.mu.Lock()
		room := w.plan.removals(batchSize)
		w.mu.Unlock()
		room.unblock = append(room.unblock, b.unblock...)
		b = batch{block: append(b.block, room.block...)}
		if err := w.deps.Kernel.Unblock(room.unblock); err != nil {
			return err
		}
		err := w.deps.Kernel.Block(b.block)
		if len(room.unblock) == 0 || !errors.Is(err, bpf.ErrFull) {
			return err
		}
	}
}

// recordWrite records the result of writing n entries. Entries that could not be written are no longer queued; the comparison
// after retryDelay finds them. Until then the error stays, whatever else is written.
func (w *writer) recordWrite(n int, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err == nil {
		w.kernel.written += uint64(n)
		if !w.kernel.uncompared {
			w.kernel.err = nil
		}
		return
	}
	w.kernel.failed++
	if w.kernel.err == nil || w.kernel.err.Error() != err.Error() {
		w.deps.Log.WithError(err).WithField("entries", n).Warn("cannot write the kernel blocklist, retrying")
	}
	w.kernel.err, w.kernel.uncompared = err, true
	if retry := time.Now().Add(retryDelay); retry.Before(w.nextComparison) {
		w.nextComparison = retry
	}
}

// jitter returns a random duration below d.
func jitter(d time.Duration) time.Duration {
	return rand.N(d) //nolint:gosec // spreads load, guards nothing
}

package blocklist

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/ironpost/ironpost/bpf"
	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/internal/task"
)

const (
	// chunk is how many entries are written at once: a change of the bucket waits for one chunk of a feed at most.
	chunk = 4096
	// auditEvery is how often the kernel's list is compared with the wish, more or less a fifth, so that a fleet does
	// not do it at once. Nothing should ever differ.
	auditEvery = 5 * time.Minute
	// retryAfter is when what could not be written is tried again.
	retryAfter = 5 * time.Second
	// settleEvery bounds how often it is decided anew who stays, while there is no room for all.
	settleEvery = time.Second
	// sweepWithin is how long after its end an entry may stay in the kernel, which no longer heeds it: when many end
	// at once, the sweep is not one with the changes that follow.
	sweepWithin = 2 * time.Second
	// clockStep is how far the clock may be set, or the machine sleep, before all expiries are written anew: the kernel
	// counts time without either.
	clockStep = time.Second
)

// Kernel is the kernel's lists; see bpf.Filter.
type Kernel interface {
	Block(entries []bpf.Entry) error
	Unblock(prefixes []netip.Prefix) error
	Blocked() ([]bpf.Entry, error)
	Allow(prefixes []netip.Prefix) error
}

// Config is what Keeper reads of the section [ebpf].
type Config struct {
	MaxEntries int      // of the kernel's list
	Files      []string // feeds, the most important first
}

// Deps are what a Keeper works with. Peers returns the machines that the bus talks to; nil: the servers of Bus.
type Deps struct {
	Kernel Kernel
	Bus    *bus.Conn
	Peers  func() []netip.Addr
	Log    logrus.FieldLogger
}

// Reconciler makes the kernel's lists equal to the wish. New starts nothing; Run may be called once; all other methods may
// be called concurrently and at any time.
type Reconciler struct {
	cfg  Config
	deps Deps

	network chan struct{} // addresses or routes have changed
	wake    chan struct{} // one waiting is enough: who is woken looks at everything

	mu        sync.Mutex
	plan      *plan
	heard     bool                // the bucket or the files, for the first time
	invalid   map[string]struct{} // keys of the bucket whose values are no blocks
	rejected  uint64              // such values, ever
	bucketErr error
	files     report
	kernelErr error // of the last attempt; nil again once one succeeds
	written   uint64
	failed    uint64
	audits    uint64
	repaired  uint64

	lines  lines
	listed listed
}

// New returns a Keeper; it does nothing until Run.
func New(cfg Config, deps Deps) *Reconciler {
	cfg.MaxEntries = cmp.Or(cfg.MaxEntries, 10_000)
	if deps.Peers == nil {
		deps.Peers = deps.Bus.Peers
	}
	return &Reconciler{
		cfg: cfg, deps: deps, plan: newPlan(cfg.MaxEntries), network: make(chan struct{}, 1), wake: make(chan struct{}, 1), invalid: map[string]struct{}{},
	}
}

// Run keeps the lists until ctx ends, then returns nil; what is in the kernel stays there. What it cannot do, it retries and
// tells in Reasons. The error is a bus connection that was closed for good, or a panic.
func (k *Reconciler) Run(ctx context.Context) error {
	k.refreshNetwork()
	k.refreshSessions()
	g := task.New(ctx)
	g.Go("blocklist bucket", k.watchBucket)
	g.Go("blocklist files", k.followFiles)
	g.Go("lifelines", k.keepLifelines)
	g.Go("lifeline changes", k.watchNetwork)
	g.Go("blocklist writer", k.write)
	return g.Wait()
}

// wakeUp has the writer look at the plan.
func (k *Reconciler) wakeUp() {
	select {
	case k.wake <- struct{}{}:
	default: // it will look anyway
	}
}

// Reasons says in words what is not as it should be; empty when all is well.
func (k *Reconciler) Reasons() []string {
	return slices.Concat(k.listReasons(), k.lineReasons())
}

func (k *Reconciler) listReasons() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	all := slices.Clone(k.files.problems)
	if k.bucketErr != nil {
		all = append(all, fmt.Sprintf("blocklist of the bus: %v", k.bucketErr))
	}
	if k.kernelErr != nil {
		all = append(all, fmt.Sprintf("kernel blocklist: %v", k.kernelErr))
	}
	if ofBus, ofFeeds := k.plan.overflow(); ofBus+ofFeeds > 0 || k.plan.refused > 0 {
		all = append(all, fmt.Sprintf("%d blocklist entries of the bus and %d of files are not enforced: blocklist_max_entries is %d", ofBus+int(k.plan.refused), ofFeeds, k.cfg.MaxEntries))
	}
	return all
}

// Counters returns what is in force and what was not used, by name.
func (k *Reconciler) Counters() map[string]uint64 {
	lifelines := len(k.ProtectedAddresses())
	k.mu.Lock()
	defer k.mu.Unlock()
	ofBus, ofFeeds := k.plan.overflow()
	return map[string]uint64{
		"blocklist_bus_entries":    uint64(len(k.plan.wanted) - ofBus),
		"blocklist_feed_entries":   uint64(len(k.plan.feeds.list) - ofFeeds),
		"blocklist_overflow":       uint64(ofBus+ofFeeds) + k.plan.refused,
		"blocklist_invalid_values": k.rejected,
		"blocklist_bad_lines":      uint64(k.files.bad),
		"blocklist_written":        k.written,
		"blocklist_write_errors":   k.failed,
		"blocklist_repaired":       k.repaired,
		"lifelines":                uint64(lifelines),
	}
}

func (k *Reconciler) followFiles(ctx context.Context) error {
	return newFiles(k.cfg.Files, k.deps.Log).follow(ctx, func(r report) {
		k.mu.Lock()
		defer k.mu.Unlock()
		if r.changed {
			k.heard = k.plan.setFeeds(r.list, r.complete) || k.heard
			k.wakeUp()
		}
		r.list = nil
		k.files = r
	})
}

// write is the only one who writes the blocklist.
func (k *Reconciler) write(ctx context.Context) error {
	w := &writer{Reconciler: k, began: time.Now()}
	for ctx.Err() == nil {
		now := time.Now()
		w.auditIfDue(now)
		if b := w.due(now); !b.empty() {
			w.apply(b)
			continue
		}
		w.rest(ctx)
	}
	return nil
}

// writer is the state of write.
type writer struct {
	*Reconciler
	began     time.Time // with both clocks
	step      time.Duration
	nextAudit time.Time
	settled   time.Time
	end       time.Time // when the next entry ends; zero if none does
	sweep     time.Time // when it is removed
}

// due returns the next chunk to write.
func (w *writer) due(now time.Time) batch {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.end.IsZero() && now.After(w.sweep) {
		w.plan.expire(now)
	}
	if end := w.plan.nextEnd(); !end.Equal(w.end) {
		w.end, w.sweep = end, end.Add(jitter(sweepWithin))
	}
	if overBus, _ := w.plan.overflow(); overBus == 0 || now.Sub(w.settled) >= settleEvery {
		w.plan.settle()
		w.settled = now
	}
	return w.plan.next(chunk)
}

// rest waits until there may be something to do.
func (w *writer) rest(ctx context.Context) {
	w.mu.Lock()
	until := w.nextAudit
	if !w.end.IsZero() && w.sweep.Before(until) {
		until = w.sweep
	}
	if w.plan.changed {
		until = w.settled.Add(settleEvery)
	}
	w.mu.Unlock()
	timer := time.NewTimer(min(time.Until(until), pollEvery)) // the clock may be set meanwhile
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-w.wake:
	case <-timer.C:
	}
}

// apply writes b: what comes first, so that nothing that is only rearranged lapses; what goes first where the kernel is
// full.
func (w *writer) apply(b batch) {
	if len(b.block) > 0 {
		w.refreshSessions()
	}
	err := w.deps.Kernel.Block(b.block)
	if errors.Is(err, bpf.ErrFull) {
		err = w.applyFull(b)
	}
	if unblockErr := w.deps.Kernel.Unblock(b.unblock); err == nil {
		err = unblockErr
	}
	w.note(len(b.block)+len(b.unblock), err)
}

// applyFull makes room and tries again, as long as there is something to remove.
func (w *writer) applyFull(b batch) error {
	for {
		w.mu.Lock()
		room := w.plan.room(chunk)
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

// note remembers how writing went. What failed shows as a difference in the next audit.
func (w *writer) note(n int, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err == nil {
		w.written += uint64(n)
		w.kernelErr = nil
		return
	}
	w.failed++
	if w.kernelErr == nil || w.kernelErr.Error() != err.Error() {
		w.deps.Log.WithError(err).WithField("entries", n).Warn("kernel blocklist not written")
	}
	w.kernelErr = err
	if retry := time.Now().Add(retryAfter); retry.Before(w.nextAudit) {
		w.nextAudit = retry
	}
}

// auditIfDue compares the kernel with the wish: at the start, to adopt what a process before left; when the bucket or the
// files have been heard for the first time; when the clock was set; and now and then.
func (w *writer) auditIfDue(now time.Time) {
	step := now.Round(0).Sub(w.began.Round(0)) - now.Sub(w.began)
	stepped := (step - w.step).Abs() > clockStep
	heard := w.takeHeard()
	if !heard && !stepped && now.Before(w.nextAudit) {
		return
	}
	w.step = step
	w.nextAudit = now.Add(auditEvery - auditEvery/5 + jitter(2*auditEvery/5))
	entries, err := w.deps.Kernel.Blocked()
	if err != nil {
		w.note(0, err)
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.plan.settle()
	w.audits++
	if n := w.plan.audit(entries); n > 0 {
		w.repaired += uint64(n)
		w.deps.Log.WithFields(logrus.Fields{"differences": n, "entries": len(entries), "clock_step": stepped}).Info("kernel blocklist differs from the wish")
	}
}

func (w *writer) takeHeard() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	heard := w.heard
	w.heard = false
	return heard
}

// jitter returns something from 0 to d.
func jitter(d time.Duration) time.Duration {
	return rand.N(d) //nolint:gosec // spreads load, guards nothing
}

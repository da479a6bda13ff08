package blocklist

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"

	"github.com/sirupsen/logrus"

	"github.com/ironpost/ironpost/bpf"
	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/internal/ownership"
	"github.com/ironpost/ironpost/internal/task"
	"github.com/ironpost/ironpost/services/ebpfengine/attach"
)

// Kernel is the kernel's blocklist and allow list; bpf.Filter implements it.
type Kernel interface {
	Block(entries []bpf.Entry) error
	Unblock(prefixes []netip.Prefix) error
	Blocked() ([]bpf.Entry, error)
	Allow(prefixes []netip.Prefix) error
	SetScopes(scopes []bpf.Scope) error
	Scopes() ([]bpf.Scope, error)
}

// Config is the part of the section [ebpf] that a Reconciler needs.
type Config struct {
	MaxEntries int      // of the kernel's blocklist; 0 means 10,000
	Files      []string // feeds, the most important first
	StateDir   string   // where the contents of feeds are kept for a restart; empty: nowhere
	Allow      []string // prefixes, and files of them, that are never blocked
}

// Deps are what a Reconciler works with. Host is the name of this host on the bus: entries for others are ignored. Peers returns the machines that the bus talks to; nil: the servers of Bus.
type Deps struct {
	Kernel Kernel
	Bus    *bus.Conn
	Host   string
	Peers  func() []netip.Addr
	Log    logrus.FieldLogger
	// Trusted are the users who alone may be able to change feeds; nil: everyone.
	Trusted ownership.Users
}

// Reconciler keeps the kernel's blocklist and allow list equal to their desired state. New starts nothing; Run may be called
// once; all other methods may be called concurrently and at any time.
type Reconciler struct {
	cfg       Config
	deps      Deps
	protector *protector
	listing   listing

	accepts chan acceptRequest // for the goroutine of the files

	wake chan struct{} // for the writer; it has room for one token, because a woken writer checks everything

	mu         sync.Mutex // guards what follows; never held over a system call
	plan       *plan
	compareNow bool // the bucket or the files have been read for the first time
	bucket     bucketStatus
	files      filesReport
	kernel     kernelStatus
}

// bucketStatus is what went wrong with the bucket.
type bucketStatus struct {
	err      error               // why it cannot be opened
	invalid  map[string]struct{} // keys whose values are not blocks, at most maxInvalid
	rejected uint64              // such values since the start
}

// kernelStatus is what the writer did to the kernel.
type kernelStatus struct {
	err        error // why the last attempt failed
	uncompared bool  // no comparison has read the kernel since err: entries may be missing though nothing is queued
	written    uint64
	failed     uint64
	repaired   uint64 // differences found by comparisons
}

// New returns a Reconciler that does nothing until Run.
func New(cfg Config, deps Deps) *Reconciler {
	cfg.MaxEntries = cmp.Or(cfg.MaxEntries, 10_000)
	if deps.Peers == nil {
		deps.Peers = deps.Bus.Peers
	}
	r := &Reconciler{
		accepts: make(chan acceptRequest),
		cfg:     cfg, deps: deps, plan: newPlan(cfg.MaxEntries), wake: make(chan struct{}, 1),
		protector: newProtector(deps, cfg.Allow), bucket: bucketStatus{invalid: map[string]struct{}{}},
	}
	if len(cfg.Files) == 0 {
		r.plan.setFeeds(nil, true) // an earlier configuration may have had files
	}
	return r
}

// Run reconciles until ctx ends, then returns nil; the kernel's lists stay as they are. Failures are retried and shown in
// Reasons. The error is a bus connection that was closed for good, or a panic.
func (r *Reconciler) Run(ctx context.Context) error {
	r.protector.refreshNetwork()
	r.protector.refreshSessions()
	g := task.New(ctx)
	g.Go("blocklist bucket", r.watchBucket)
	g.Go("blocklist files", r.followFiles)
	g.Go("protected addresses", r.protector.run)
	g.Go("network changes", func(ctx context.Context) error {
		if err := attach.Watch(ctx, r.protector.changed); err != nil {
			r.deps.Log.WithError(err).Info("network changes are not reported, protected addresses are polled")
		}
		return nil
	})
	g.Go("blocklist writer", func(ctx context.Context) error { return newWriter(r).run(ctx) })
	return g.Wait()
}

// wakeWriter makes the writer check the plan.
func (r *Reconciler) wakeWriter() {
	select {
	case r.wake <- struct{}{}:
	default: // it is about to check anyway
	}
}

func (r *Reconciler) followFiles(ctx context.Context) error {
	return newFeedFiles(r.cfg.Files, feedStore{r.cfg.StateDir}, r.accepts, r.deps.Trusted, r.deps.Log).follow(ctx, func(report filesReport) {
		r.mu.Lock()
		defer r.mu.Unlock()
		if report.changed {
			r.compareNow = r.plan.setFeeds(report.list, report.complete) || r.compareNow
			r.wakeWriter()
		}
		report.list = nil
		r.files = report
	})
}

// Reasons returns a sentence for each thing that is wrong; none when the lists are as desired.
func (r *Reconciler) Reasons() []string {
	r.mu.Lock()
	all := slices.Clone(r.files.problems)
	if r.bucket.err != nil {
		all = append(all, fmt.Sprintf("bucket of the blocklist unavailable: %v", r.bucket.err))
	}
	if r.kernel.err != nil {
		all = append(all, fmt.Sprintf("kernel blocklist: %v", r.kernel.err))
	}
	ofBucket, ofFeeds := r.plan.overflow()
	ofBucket += len(r.plan.refused)
	if n := r.plan.scopes.overflow; n > 0 {
		all = append(all, fmt.Sprintf("%d blocks of ports or with a rate are not enforced: there is room for %d", n, bpf.MaxScopes))
	}
	r.mu.Unlock()
	if ofBucket+ofFeeds > 0 {
		all = append(all, fmt.Sprintf("%d blocklist entries of the bus and %d of files are not enforced: blocklist_max_entries is %d", ofBucket, ofFeeds, r.cfg.MaxEntries))
	}
	return append(all, r.protector.problems()...)
}

// Remarks returns a sentence for each thing that was understood otherwise than it is written.
func (r *Reconciler) Remarks() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.files.remarks)
}

// Counters returns what is in force and what could not be used, by name.
func (r *Reconciler) Counters() map[string]uint64 {
	protected, allowed := len(r.protector.addresses()), len(r.protector.allowedPrefixes())
	r.mu.Lock()
	defer r.mu.Unlock()
	ofBucket, ofFeeds := r.plan.overflow()
	return map[string]uint64{
		"blocklist_bus_entries":    uint64(len(r.plan.blocks) - ofBucket + len(r.plan.scopes.inForce)),
		"blocklist_feed_entries":   uint64(len(r.plan.feeds.list) - ofFeeds),
		"blocklist_overflow":       uint64(ofBucket + ofFeeds + len(r.plan.refused) + r.plan.scopes.overflow),
		"blocklist_invalid_values": r.bucket.rejected,
		"blocklist_bad_lines":      uint64(r.files.bad),
		"blocklist_written":        r.kernel.written,
		"blocklist_write_errors":   r.kernel.failed,
		"blocklist_repaired":       r.kernel.repaired,
		"protected_addresses":      uint64(protected),
		"allowed_prefixes":         uint64(allowed),
	}
}

// Allows reports whether a prefix of ebpf.allow has addr.
func (r *Reconciler) Allows(addr netip.Addr) bool {
	_, allowed := r.protector.allows(addr)
	return allowed
}

// ProtectedAddresses returns the kernel's allow list as it was last written, sorted by prefix.
func (r *Reconciler) ProtectedAddresses() []ProtectedAddress { return r.protector.addresses() }

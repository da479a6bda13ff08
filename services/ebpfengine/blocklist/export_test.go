package blocklist

import (
	"context"
	"io"
	"net/netip"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/ironpost/ironpost/bpf"
	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/internal/ownership"
)

// Collapse collapses the prefixes of one file.
func Collapse(prefixes []netip.Prefix) []netip.Prefix {
	list := make([]feedPrefix, len(prefixes))
	for i, p := range prefixes {
		list[i] = feedPrefix{Prefix: p}
	}
	return prefixesOf(collapse(list))
}

func prefixesOf(list []feedPrefix) []netip.Prefix {
	var out []netip.Prefix
	for _, p := range list {
		out = append(out, p.Prefix)
	}
	return out
}

// FilesReport is the result of one check of the files.
type FilesReport struct {
	Changed, Complete bool
	Prefixes          []netip.Prefix
	Problems          []string
	Bad               int
}

// FollowFiles calls each after every check of the files until ctx ends.
func FollowFiles(ctx context.Context, paths []string, log logrus.FieldLogger, each func(FilesReport)) error {
	return newFeedFiles(paths, feedStore{}, nil, ownership.Self(), log).follow(ctx, func(r filesReport) {
		each(FilesReport{Changed: r.changed, Complete: r.complete, Prefixes: prefixesOf(r.list), Problems: r.problems, Bad: r.bad})
	})
}

// FollowFilesIn returns what FollowFiles runs, with a store in the folder state, and how a feed is accepted meanwhile.
func FollowFilesIn(state string, paths []string, log logrus.FieldLogger, each func(FilesReport)) (
	accept func(string) (AcceptedFeed, error), run func(context.Context) error,
) {
	r := &Reconciler{accepts: make(chan acceptRequest)}
	run = func(ctx context.Context) error {
		return newFeedFiles(paths, feedStore{state}, r.accepts, nil, log).follow(ctx, func(r filesReport) {
			each(FilesReport{Changed: r.changed, Complete: r.complete, Prefixes: prefixesOf(r.list), Problems: r.problems, Bad: r.bad})
		})
	}
	return func(path string) (AcceptedFeed, error) { return r.AcceptFeed(context.Background(), path) }, run
}

// SizesAfter and Largest are the accepted sizes of a feed.
func SizesAfter(sizes feedSizes, prefixes int, now time.Time) feedSizes {
	return sizes.add(prefixes, now)
}

// Largest returns the largest size of a day.
func Largest(sizes feedSizes, now time.Time) int { return sizes.largest(now) }

// Plan is the desired state with a kernel to write into.
type Plan struct{ p *plan }

// NewPlan returns the plan of a list of capacity.
func NewPlan(capacity int) *Plan { return &Plan{p: newPlan(capacity)} }

// Put, Drop, Replace and Expire change the desired state.
func (p *Plan) Put(b bus.Block)            { p.p.put(b) }
func (p *Plan) Drop(prefix netip.Prefix)   { p.p.drop(prefix) }
func (p *Plan) Replace(blocks []bus.Block) { p.p.replace(blocks) }
func (p *Plan) Expire(now time.Time)       { p.p.expire(now) }

// SetMaxBlocks sets the bound of the entries of the bucket.
func (p *Plan) SetMaxBlocks(n int) { p.p.maxBlocks = n }

// Refused returns the number of entries of the bucket that are beyond the bound.
func (p *Plan) Refused() int { return len(p.p.refused) }

// Desired, Expiries and Pending return parts of the plan.
func (p *Plan) Desired(prefix netip.Prefix) (bpf.Entry, bool) { return p.p.desired(prefix) }
func (p *Plan) Expiries() int                                 { return len(p.p.expiries) }
func (p *Plan) Pending() int                                  { return p.p.pending() }

// SetFeeds takes the prefixes of files, in their order.
func (p *Plan) SetFeeds(complete bool, all ...[]netip.Prefix) {
	var list []feedPrefix
	for i, one := range all {
		for _, prefix := range one {
			list = append(list, feedPrefix{Prefix: prefix, file: uint16(i)})
		}
	}
	p.p.setFeeds(collapse(list), complete)
}

// Compare compares with the entries of kernel.
func (p *Plan) Compare(kernel Kernel) (int, error) {
	r := p.reconciler(kernel)
	w := newWriter(r)
	w.compareIfDue(time.Now())
	return int(r.kernel.repaired), r.kernel.err
}

// Write writes the whole queue, n entries at a time, as the writer does.
func (p *Plan) Write(kernel Kernel, n int) (writes int, err error) {
	w := newWriter(p.reconciler(kernel))
	p.p.allocate()
	for b := p.p.next(n); !b.empty(); b = p.p.next(n) {
		writes++
		w.apply(b)
		if w.kernel.err != nil {
			return writes, w.kernel.err
		}
	}
	return writes, nil
}

// reconciler returns one of this plan that does not look for SSH sessions.
func (p *Plan) reconciler(kernel Kernel) *Reconciler {
	deps := Deps{Kernel: kernel, Log: discard()}
	r := &Reconciler{plan: p.p, deps: deps, protector: newProtector(deps, nil)}
	r.protector.sessions.next = time.Now().Add(time.Hour)
	return r
}

// The states of the reconciliation.
const (
	Loading    = string(loading)
	OutOfSync  = string(outOfSync)
	InSync     = string(inSync)
	KernelFull = string(kernelFull)
	Failing    = string(failing)
)

// State returns the state of the reconciliation.
func (r *Reconciler) State() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return string(r.state())
}

// FitAllowList makes a list of protected addresses fit for the kernel.
func FitAllowList(list []ProtectedAddress) ([]ProtectedAddress, int) { return fitAllowList(list) }

// AlwaysProtected are the protected addresses of every machine.
func AlwaysProtected() []ProtectedAddress { return alwaysProtected() }

// NetworkAddresses looks for protected addresses of the network with files below root.
func NetworkAddresses(root string, peers []netip.Addr) ([]ProtectedAddress, []error) {
	return networkAddresses(root, peers)
}

// Servers parses text as every file of the system that names servers.
func Servers(text string) []netip.Addr { return append(parseResolvConf(text), parseLease(text)...) }

// Lookup is the result of lookups so far.
type Lookup struct{ l lookup }

// Record takes over the result of a lookup and returns what is to be allowed.
func (l *Lookup) Record(began time.Time, found []ProtectedAddress, problems ...error) []ProtectedAddress {
	l.l.record(discard(), began, found, problems)
	kept, _ := fitAllowList(l.l.found)
	return kept
}

func discard() logrus.FieldLogger {
	log := logrus.New()
	log.SetOutput(io.Discard)
	return log
}

// ReadFeedWithin is ReadFeed with other bounds.
func ReadFeedWithin(r io.Reader, maxBytes int64, maxPrefixes int) (Feed, error) {
	return readFeed(r, maxBytes, maxPrefixes)
}

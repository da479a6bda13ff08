package blocklist

import (
	"context"
	"io"
	"net/netip"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/ironpost/ironpost/bpf"
	"github.com/ironpost/ironpost/bus"
)

// Collapse collapses prefixes of one file.
func Collapse(prefixes []netip.Prefix) []netip.Prefix {
	return plain(collapse(rankedOf(prefixes)))
}

func rankedOf(prefixes []netip.Prefix) []ranked {
	list := make([]ranked, len(prefixes))
	for i, p := range prefixes {
		list[i] = ranked{Prefix: p}
	}
	return list
}

func plain(list []ranked) []netip.Prefix {
	var out []netip.Prefix
	for _, p := range list {
		out = append(out, p.Prefix)
	}
	return out
}

// FilesReport is what a look at the files found.
type FilesReport struct {
	Changed, Complete bool
	Prefixes          []netip.Prefix
	Problems          []string
	Bad               int
}

// FollowFiles calls each after every look at the files until ctx ends.
func FollowFiles(ctx context.Context, paths []string, log logrus.FieldLogger, each func(FilesReport)) error {
	return newFiles(paths, log).follow(ctx, func(r report) {
		each(FilesReport{Changed: r.changed, Complete: r.complete, Prefixes: plain(r.list), Problems: r.problems, Bad: r.bad})
	})
}

// Plan is the planner with a kernel to write into.
type Plan struct{ p *plan }

// NewPlan returns a planner for a list of capacity.
func NewPlan(capacity int) *Plan { return &Plan{p: newPlan(capacity)} }

// Put, Drop, Replace, SetFeeds and Expire change the wish.
func (p *Plan) Put(b bus.Block)                            { p.p.put(b) }
func (p *Plan) Drop(prefix netip.Prefix)                   { p.p.drop(prefix) }
func (p *Plan) Replace(blocks []bus.Block)                 { p.p.replace(blocks) }
func (p *Plan) Expire(now time.Time)                       { p.p.expire(now) }
func (p *Plan) Overflow() (int, int)                       { return p.p.overflow() }
func (p *Plan) Want(prefix netip.Prefix) (bpf.Entry, bool) { return p.p.want(prefix) }

// SetFeeds takes the prefixes of files, in their order.
func (p *Plan) SetFeeds(complete bool, all ...[]netip.Prefix) {
	var list []ranked
	for i, one := range all {
		for _, prefix := range one {
			list = append(list, ranked{Prefix: prefix, file: uint16(i)})
		}
	}
	p.p.setFeeds(collapse(list), complete)
}

// Audit compares with what kernel holds.
func (p *Plan) Audit(kernel Kernel) (int, error) {
	entries, err := kernel.Blocked()
	if err != nil {
		return 0, err
	}
	p.p.settle()
	return p.p.audit(entries), nil
}

// Write writes all there is to do, n at a time, as the writer does.
func (p *Plan) Write(kernel Kernel, n int) (writes int, err error) {
	k := &Reconciler{plan: p.p, deps: Deps{Kernel: kernel, Log: logrus.New()}}
	k.lines.ssh.next = time.Now().Add(time.Hour)
	w := &writer{Reconciler: k}
	p.p.settle()
	for b := p.p.next(n); !b.empty(); b = p.p.next(n) {
		writes++
		w.apply(b)
		if k.kernelErr != nil {
			return writes, k.kernelErr
		}
	}
	return writes, nil
}

// Tidy makes a list of lifelines fit for the kernel.
func Tidy(list []ProtectedAddress) ([]ProtectedAddress, int) { return tidy(list) }

// Constant are the lifelines of every machine.
func Constant() []ProtectedAddress { return constant() }

// Ends counts the ends that are remembered.
func (p *Plan) Ends() int { return len(p.p.ends) }

// LifelinesBelow looks for lifelines of the network with files below root.
func LifelinesBelow(root string, peers []netip.Addr) ([]ProtectedAddress, []error) {
	return networkLifelines(root, peers)
}

// Servers reads text as every file of the system that names servers.
func Servers(text string) []netip.Addr { return append(nameservers(text), leaseServers(text)...) }

// Look is what was found so far.
type Look struct{ l look }

// Take takes in what a look at began found, and returns what is to be allowed.
func (l *Look) Take(began time.Time, found []ProtectedAddress, problems ...error) []ProtectedAddress {
	l.l.take(discard(), began, found, problems)
	kept, _ := tidy(l.l.found)
	return kept
}

func discard() logrus.FieldLogger {
	log := logrus.New()
	log.SetOutput(io.Discard)
	return log
}

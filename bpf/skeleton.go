package bpf

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"github.com/cilium/ebpf"

	"github.com/ironpost/ironpost/bpf/traffic"
)

type lists struct{}

type engine struct{}

// OpenFilter makes the lists, or adopts what is pinned in opts.Pins: entries, expiries and hits are kept, and a pinned
// map of another size is replaced by one of the right size with the same entries. It fails where the kernel, the rights or
// the bpf file system are missing, and says which.
func OpenFilter(opts FilterOptions) (*Filter, error) { return nil, errors.ErrUnsupported }

// Block adds entries, or replaces those with the same prefix while their hits go on. It returns ErrFull, having added
// what fits, where there is no room. A prefix that is not valid is an error.
func (f *Filter) Block(entries []Entry) error { return errors.ErrUnsupported }

// Unblock removes entries; prefixes that are not there are ignored.
func (f *Filter) Unblock(prefixes []netip.Prefix) error { return errors.ErrUnsupported }

// Blocked returns all entries with their hits, expired ones included, in no order.
func (f *Filter) Blocked() ([]Entry, error) { return nil, errors.ErrUnsupported }

// Allow replaces the allow list (at most 4,096 prefixes). What was and stays allowed is so at every moment.
func (f *Filter) Allow(prefixes []netip.Prefix) error { return errors.ErrUnsupported }

// Allowed returns the allow list in no order.
func (f *Filter) Allowed() ([]netip.Prefix, error) { return nil, errors.ErrUnsupported }

// Close lets go of the maps; pinned ones and those in use by an attached program live on.
func (f *Filter) Close() error { return errors.ErrUnsupported }

// Load verifies and loads the XDP program and makes the maps of its counters. It fails where the kernel or the rights are
// missing, and says which.
func Load(opts Options) (*Engine, error) { return nil, errors.ErrUnsupported }

// XDP returns the program to attach to the interface. It is closed with the Engine; an attached one lives on.
func (e *Engine) XDP() *ebpf.Program { return nil }

// Egress loads (once) and returns the program to attach to the interface's TCX egress. The error is ErrNoEgress where the
// kernel has none.
func (e *Engine) Egress() (*ebpf.Program, error) { return nil, ErrNoEgress }

// SeesEgress says that Egress is attached, from now on; Collect writes it into the windows.
func (e *Engine) SeesEgress(attached bool) {}

// Collect ends the current interval at now and returns what was counted in it since the last Collect (or Load). What the
// kernel counts from now on belongs to the next window.
func (e *Engine) Collect(now time.Time) (traffic.Window, error) {
	return traffic.Window{}, errors.ErrUnsupported
}

// Samples calls fn with the samples of the ring buffer, every 10 ms if there are any, at most 512 at a time, until ctx ends
// (then it returns nil) or the Engine is closed. fn may keep nothing of its argument.
func (e *Engine) Samples(ctx context.Context, fn func([]traffic.Sample)) error {
	return errors.ErrUnsupported
}

// Drain returns the samples that wait in the ring buffer, at once. It is for replay; not together with Samples.
func (e *Engine) Drain() ([]traffic.Sample, error) { return nil, errors.ErrUnsupported }

// Run gives the program one frame, at least 14 bytes, from the Ethernet header on. at counts in replay only.
func (e *Engine) Run(frame []byte, at time.Time) (Verdict, error) {
	return Aborted, errors.ErrUnsupported
}

// RunStats returns how often the XDP program ran and how long that took; the kernel counts while kernel.bpf_stats_enabled is set.
func (e *Engine) RunStats() (runs uint64, runtime time.Duration, err error) {
	return 0, 0, errors.ErrUnsupported
}

// Close lets go of programs and maps; attached programs live on with theirs.
func (e *Engine) Close() error { return errors.ErrUnsupported }

package blocklist

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/ironpost/ironpost/internal/task"
)

const (
	// refreshInterval is how often protected addresses are looked up without a reported change.
	refreshInterval = 5 * time.Second
	// sessionsMaxAge is how old the SSH sessions may be when something is blocked.
	sessionsMaxAge = time.Second
	// busyFactor bounds the time spent on lookups to a twentieth: a machine with a million connections or routes is not
	// looked at often.
	busyFactor = 20
	// keepComplete is how long the result of a complete lookup stays protected while later ones are incomplete: the kernel cuts
	// a list of routes short that changes meanwhile.
	keepComplete = 5 * time.Minute
)

// protector keeps the kernel's allow list equal to the protected addresses of this machine.
type protector struct {
	kernel  Kernel
	peers   func() []netip.Addr
	log     logrus.FieldLogger
	changed chan struct{} // an address or a route may have changed

	refreshing    sync.Mutex // guards what follows; held through lookups and the write, so that there is one at a time
	allow         *allowList
	allowed       []ProtectedAddress
	allowProblems []error
	network       lookup
	sessions      lookup
	others        otherProcesses
	written       bool // the kernel has inForce

	mu        sync.Mutex // guards what follows; never held over a system call
	inForce   []ProtectedAddress
	permitted []ProtectedAddress // those of ebpf.allow
	reasons   []string           // why it is not complete
	writeErr  error
}

func newProtector(deps Deps, allow []string) *protector {
	p := &protector{allow: newAllowList(allow), kernel: deps.Kernel, peers: deps.Peers, log: deps.Log, changed: make(chan struct{}, 1)}
	p.allowed, p.allowProblems = p.allow.refresh()
	p.permitted = p.allowed // a finding before the first write is muted too
	return p
}

// lookup is the latest result of looking for some of the protected addresses.
type lookup struct {
	found    []ProtectedAddress
	problems []error
	began    time.Time
	next     time.Time // the earliest time of the next one

	complete   []ProtectedAddress // the latest result without a problem
	completeAt time.Time
}

// record takes over a result and logs new problems. An incomplete result is joined with the latest complete one for a while.
func (l *lookup) record(log logrus.FieldLogger, began time.Time, found []ProtectedAddress, problems []error) {
	for _, err := range problems {
		if !slices.ContainsFunc(l.problems, func(old error) bool { return old.Error() == err.Error() }) {
			log.WithError(err).Warn("cannot find all protected addresses")
		}
	}
	if len(problems) == 0 {
		l.complete, l.completeAt = found, began
	} else if began.Sub(l.completeAt) < keepComplete {
		found = slices.Concat(found, l.complete)
	}
	l.found, l.problems, l.began = found, problems, began
	l.next = began.Add(busyFactor * time.Since(began))
}

// run refreshes the protected addresses at reported changes and every refreshInterval until ctx ends.
func (p *protector) run(ctx context.Context) error {
	tick := time.NewTicker(refreshInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-p.changed:
		case <-tick.C:
			p.refreshSessions()
		}
		next := p.refreshNetwork()
		task.Pause(ctx, min(time.Until(next), refreshInterval)) // changes may come in thousands
	}
}

// refreshNetwork looks up everything but SSH sessions and returns when it may do so again.
func (p *protector) refreshNetwork() (next time.Time) {
	p.refreshing.Lock()
	defer p.refreshing.Unlock()
	if began := time.Now(); !began.Before(p.network.next) {
		p.allowed, p.allowProblems = p.allow.refresh()
		found, problems := networkAddresses("/", p.peers())
		p.network.record(p.log, began, found, problems)
		p.write()
	}
	return p.network.next
}

// refreshSessions looks up SSH sessions unless that was just done.
func (p *protector) refreshSessions() {
	p.refreshing.Lock()
	defer p.refreshing.Unlock()
	began := time.Now()
	if began.Sub(p.sessions.began) < sessionsMaxAge || began.Before(p.sessions.next) {
		return
	}
	found, err := sshPeers("/", &p.others)
	p.sessions.record(p.log, began, found, nonNil(err))
	p.write()
}

// write makes the kernel's allow list equal to the protected addresses. p.refreshing is held.
func (p *protector) write() {
	all, omitted := fitAllowList(slices.Concat(p.network.found, p.sessions.found, p.allowed))
	var reasons []string
	for _, err := range slices.Concat(p.network.problems, p.sessions.problems, nonNil(omittedError(omitted))) {
		reasons = append(reasons, fmt.Sprintf("protected addresses: %v", err))
	}
	for _, err := range p.allowProblems {
		reasons = append(reasons, fmt.Sprintf("allowed prefixes: %v", err))
	}
	var err error
	if !p.written || !slices.Equal(all, p.addresses()) {
		prefixes := make([]netip.Prefix, len(all))
		for i, l := range all {
			prefixes[i] = l.Prefix
		}
		err = p.kernel.Allow(prefixes)
		p.written = err == nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		reasons = append(reasons, fmt.Sprintf("kernel allow list: %v", err))
		if p.writeErr == nil || p.writeErr.Error() != err.Error() {
			p.log.WithError(err).WithField("entries", len(all)).Warn("cannot write the kernel allow list, retrying")
		}
	}
	p.inForce, p.permitted, p.reasons, p.writeErr = all, p.allowed, reasons, err
}

// addresses returns the protected addresses as last written, sorted by prefix. Any goroutine may call it.
func (p *protector) addresses() []ProtectedAddress {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.inForce)
}

// allows returns the first prefix of ebpf.allow that has addr. Any goroutine may call it.
func (p *protector) allows(addr netip.Addr) (ProtectedAddress, bool) {
	addr = addr.Unmap()
	p.mu.Lock()
	defer p.mu.Unlock()
	i := slices.IndexFunc(p.permitted, func(a ProtectedAddress) bool { return a.Prefix.Contains(addr) })
	if i < 0 {
		return ProtectedAddress{}, false
	}
	return p.permitted[i], true
}

// allowedPrefixes returns the prefixes of ebpf.allow. Any goroutine may call it.
func (p *protector) allowedPrefixes() []ProtectedAddress {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.permitted)
}

// problems returns why the allow list is not complete. Any goroutine may call it.
func (p *protector) problems() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.reasons)
}

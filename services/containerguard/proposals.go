package containerguard

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/connection"
	"github.com/ironpost/ironpost/internal/task"
	"github.com/ironpost/ironpost/services/containerguard/safety"
)

const (
	maxProposals         = 1024             // alerts; beyond it the weakest gives way
	maxSourceProposals   = maxProposals / 4 // of one evidence source
	maxProposalTime      = 5 * time.Minute  // how long one waits for better evidence
	confirmationInterval = 250 * time.Millisecond
	proposalPause        = 5 * time.Second // after the answer to one failed
)

// proposal is an alert of which steps were only proposed, because its evidence was too weak, or refused by a cap on blocks.
type proposal struct {
	alert  *event.Alert // without what no policy matches
	source string       // evidenceSource of the alert
	steps  map[string]bool
	until  time.Time
	after  time.Time              // it is tried again then
	late   bool                   // the connection that proves it came after the alert
	query  *connection.Query      // a connection that proves the address to be blocked; nil: none can
	capped *safety.BlockCandidate // the block that a cap refused; nil: none did
}

// proposals are what is done when better evidence comes: a connection of the address, or a revision of the alert.
// They are in memory only. The methods may be called concurrently.
type proposals struct {
	mu      sync.Mutex
	byAlert map[string]*proposal // by alertKey
	dropped uint64               // those that gave way
}

func newProposals() *proposals { return &proposals{byAlert: map[string]*proposal{}} }

// alertKey is the same for an alert, its updates, and later alerts of the same matter and trust: a weaker one takes the
// place of none.
func alertKey(a *event.Alert, trust event.Trust) string {
	return a.Module + "|" + string(trust) + "|" + a.DedupKey
}

// put keeps p, in place of an earlier one of the same alert, unless it has no steps: an alert about the same that is
// stale must not end what waits. Beyond the limits the one gives way that has the weakest evidence, and of these the one
// that ends first.
func (ps *proposals) put(p *proposal, now time.Time) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	ps.add(p, now)
}

// replace keeps next in place of p, unless p is gone: what answered the matter meanwhile is not undone.
func (ps *proposals) replace(p, next *proposal, now time.Time) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	if key := alertKey(p.alert, p.alert.Trust); ps.byAlert[key] == p {
		delete(ps.byAlert, key)
		ps.add(next, now)
	}
}

// end forgets all proposals about the matter of a.
func (ps *proposals) end(a *event.Alert) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	for _, trust := range event.Trusts() {
		delete(ps.byAlert, alertKey(a, trust))
	}
}

// add is put; mu is held.
func (ps *proposals) add(p *proposal, now time.Time) {
	if len(p.steps) == 0 || !p.until.After(now) {
		return
	}
	ps.byAlert[alertKey(p.alert, p.alert.Trust)] = p
	sameSource := func(other *proposal) bool { return other.source == p.source }
	all := func(*proposal) bool { return true }
	for _, bound := range []struct {
		of  func(*proposal) bool
		max int
	}{{sameSource, maxSourceProposals}, {all, maxProposals}} {
		ps.keep(bound.of, bound.max, now)
	}
}

// keep drops proposals until at most limit of those that of selects are left. mu is held.
func (ps *proposals) keep(of func(*proposal) bool, limit int, now time.Time) {
	n := 0
	weakest := ""
	for key, p := range ps.byAlert {
		if !p.until.After(now) {
			delete(ps.byAlert, key)
			continue
		}
		if !of(p) {
			continue
		}
		n++
		if w := ps.byAlert[weakest]; w == nil || p.weakerThan(w) {
			weakest = key
		}
	}
	if n > limit {
		delete(ps.byAlert, weakest)
		ps.dropped++
	}
}

func (p *proposal) weakerThan(other *proposal) bool {
	if a, b := p.alert.Trust.Rank(), other.alert.Trust.Rank(); a != b {
		return a < b
	}
	return p.until.Before(other.until)
}

// connectsLate reports whether the connection that proves a came after it, when a waits as p does.
func (p *proposal) connectsLate(a *event.Alert) bool {
	return a == p.alert && (p.late || p.query != nil)
}

// strongerThan reports whether an update, whose trust is limited, adds nothing to p.
func (p *proposal) strongerThan(update *event.Alert) bool {
	return update.Trust.Rank() < p.alert.Trust.Rank()
}

// succeeds reports whether p may take the place of before, of which nothing was done: no stale update ends it.
func (p *proposal) succeeds(before *proposal) bool {
	return len(p.steps) > 0 && !p.until.Before(before.until)
}

// of returns the strongest proposal of a, nil if there is none.
func (ps *proposals) of(a *event.Alert, now time.Time) *proposal {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	for _, trust := range event.Trusts() {
		if p := ps.byAlert[alertKey(a, trust)]; p != nil && p.until.After(now) {
			return p
		}
	}
	return nil
}

// remove forgets p, unless another took its place.
func (ps *proposals) remove(p *proposal) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	if key := alertKey(p.alert, p.alert.Trust); ps.byAlert[key] == p {
		delete(ps.byAlert, key)
	}
}

// pause keeps p from being tried until a time.
func (ps *proposals) pause(p *proposal, until time.Time) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	p.after = until
}

// queries returns the proposals that wait for a connection, the strongest first, and what to ask for each.
func (ps *proposals) queries(now time.Time) (waiting []*proposal, queries []connection.Query) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	for _, p := range ps.byAlert {
		if p.query != nil && p.until.After(now) && !now.Before(p.after) {
			waiting = append(waiting, p)
		}
	}
	slices.SortFunc(waiting, func(a, b *proposal) int { return b.alert.Trust.Rank() - a.alert.Trust.Rank() })
	for _, p := range waiting {
		queries = append(queries, *p.query)
	}
	return waiting, queries
}

// capped returns the proposals with a block that a cap refused, the strongest first.
func (ps *proposals) capped(now time.Time) (waiting []*proposal) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	for _, p := range ps.byAlert {
		if p.capped != nil && p.until.After(now) && !now.Before(p.after) {
			waiting = append(waiting, p)
		}
	}
	slices.SortFunc(waiting, func(a, b *proposal) int { return b.capped.Strength - a.capped.Strength })
	return waiting
}

func (ps *proposals) counts() (n int, dropped uint64) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	return len(ps.byAlert), ps.dropped
}

// proposal returns what the trust of a did not bear, and the blocks that a cap refused.
func (e *evaluator) proposal(a *event.Alert, decisions []decision, capped map[string]safety.BlockCandidate) *proposal {
	kept := *a
	kept.Evidence, kept.Matched = nil, nil
	p := &proposal{alert: &kept, late: e.late, source: evidenceSource(a), steps: map[string]bool{}, until: e.now.Add(maxProposalTime)}
	if stale := safety.Deadline(a, e.maxAge); stale.Before(p.until) {
		p.until = stale
	}
	for _, d := range decisions {
		for _, s := range d.steps {
			if c, refused := capped[cooldownKey(d, s)]; refused {
				p.steps[cooldownKey(d, s)], p.capped = true, &c
			}
			if !s.proposed {
				continue
			}
			p.steps[cooldownKey(d, s)] = true
			if s.query != nil {
				p.query = s.query
			}
		}
	}
	return p
}

// provenBy returns the decisions about better evidence, with those steps only that p waits for and that are now done.
func (p *proposal) provenBy(decisions []decision) (out []decision) {
	for _, d := range decisions {
		d.steps = slices.DeleteFunc(slices.Clone(d.steps), func(s step) bool {
			return s.proposed || s.outcome != outcomeAct || !p.steps[cooldownKey(d, s)]
		})
		if !d.waits {
			out = append(out, d)
		}
	}
	return out
}

// evidenceSource names where the evidence of a came from, without what the writer of a line may choose: the sender of
// a datagram can be forged, a port changes, and so does an IPv6 address within its /64. What a plug-in says of the origin is its claim: all of it is one source.
func evidenceSource(a *event.Alert) string {
	o := a.Origin
	if o == nil || !bus.IsModule(a.Module) {
		return a.Module
	}
	peer := ""
	if o.Transport != event.TransportSyslogUDP {
		if host, _, err := net.SplitHostPort(o.Peer); err == nil {
			peer = host
		}
		if addr, err := netip.ParseAddr(peer); err == nil && addr.Unmap().Is6() {
			network, _ := addr.Unmap().WithZone("").Prefix(widenedBits)
			peer = network.String()
		}
	}
	return strings.Join([]string{a.Module, o.Transport, peer, o.Unit, o.Source, o.Container}, "|")
}

// confirmProposals blocks the addresses of proposals once the kernel sees them connect, until ctx ends. Asking the kernel takes a tenth of the
// time at most.
func (s *Service) confirmProposals(ctx context.Context) error {
	for pause := time.Duration(0); ctx.Err() == nil; {
		task.Pause(ctx, max(confirmationInterval, pause))
		pause = 9 * s.confirm(ctx, time.Now())
	}
	return nil
}

// confirm answers the proposals whose connection was seen. It returns how long the kernel was asked.
func (s *Service) confirm(ctx context.Context, now time.Time) (asked time.Duration) {
	waiting, queries := s.run.Load().proposals.queries(now)
	if len(waiting) == 0 {
		return 0
	}
	seen, _ := s.connections.Seen(queries) // what is not known is asked again; health has the error
	asked = time.Since(now)
	for i, p := range waiting {
		if seen[i] {
			s.answerWaiting(ctx, p)
		}
	}
	return asked
}

// answerWaiting answers a proposal whose time has come. After an error it waits on.
func (s *Service) answerWaiting(ctx context.Context, p *proposal) {
	err := task.Call(ctx, "answer to a connection", func(ctx context.Context) error { return s.answerProposal(ctx, p.alert, p) })
	if panicked := (*task.PanicError)(nil); errors.As(err, &panicked) {
		s.run.Load().proposals.remove(p)
	}
	if err != nil && ctx.Err() == nil {
		s.run.Load().proposals.pause(p, time.Now().Add(proposalPause))
		s.log.WithError(err).Warn("the address of a proposal is not blocked yet")
	}
}

// answerUpdate answers an update of an alert of which steps were only proposed, if its evidence is no weaker. What has still no proof waits on, with
// the times of the update.
func (s *Service) answerUpdate(ctx context.Context, a *event.Alert, _ []byte) error {
	p := s.run.Load().proposals.of(a, time.Now())
	if p == nil {
		return nil // the first alert of its window was answered
	}
	if err := s.limitTrust(ctx, a); err != nil {
		return err
	}
	if p.strongerThan(a) {
		return nil
	}
	return s.answerProposal(ctx, a, p)
}

// answerProposal carries out the steps of p that the evidence of a bears by now. After an error they are tried again.
func (s *Service) answerProposal(ctx context.Context, a *event.Alert, p *proposal) error {
	run := s.run.Load()
	e := s.newEvaluator(run, time.Now())
	e.late = p.connectsLate(a)
	e.proven = p.query
	r := s.newResponse(run, a, e.now)
	decisions := e.evaluate(ctx, a)
	for _, d := range p.provenBy(decisions) {
		r.execute(ctx, d)
	}
	if r.answered {
		s.counters.confirmed.Add(1)
		s.saveState(run)
		if err := run.reporter.flush(ctx); err != nil {
			return err
		}
		if err := r.err(); err != nil {
			return err
		}
	}
	run.nextProposal(p, e.proposal(a, decisions, r.capped), r.answered, e.now)
	return nil
}

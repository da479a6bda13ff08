package containerguard

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/task"
	"github.com/ironpost/ironpost/services/containerguard/notify"
	"github.com/ironpost/ironpost/services/containerguard/policy"
	"github.com/ironpost/ironpost/services/containerguard/quarantine"
	"github.com/ironpost/ironpost/services/containerguard/safety"
)

// intendedTimeout bounds how long a block waits until its intended action is stored.
// After that the block is made anyway: an attacker who fills the stream of actions
// must not keep addresses from being blocked.
const intendedTimeout = 500 * time.Millisecond

// response carries out the decisions about one alert.
type response struct {
	guard    *Service
	run      *runState
	alert    *event.Alert
	started  time.Time
	running  int  // containers, for the cap on the share of them
	answered bool // a decision had steps

	mu       sync.Mutex // steps run side by side
	errs     []error
	outcomes []notify.Outcome                 // of the decision being executed, for its notification
	capped   map[string]safety.BlockCandidate // blocks of addresses that a cap refused, by cooldownKey
}

func (r *response) err() error { return errors.Join(r.errs...) }

// execute carries out one decision: first the steps on containers and the address, side
// by side, as none must wait for another target, then the notification with their outcomes.
func (r *response) execute(ctx context.Context, d decision) {
	if len(d.steps) == 0 {
		return
	}
	r.answered = true
	steps := r.corroborate(d)
	r.outcomes = nil
	stepsByTarget := map[string][]step{} // steps of one target follow each other
	for _, s := range steps {
		if s.kind != policy.Notify {
			stepsByTarget[s.target] = append(stepsByTarget[s.target], s)
		}
	}
	g := task.New(ctx)
	for _, steps := range stepsByTarget {
		g.Go("steps on a target", func(ctx context.Context) error {
			for _, s := range steps {
				r.executeStep(ctx, d, s)
			}
			return nil
		})
	}
	r.addError(g.Wait())
	if d.waits {
		return
	}
	for _, s := range steps {
		if s.kind == policy.Notify {
			r.notify(ctx, d, s)
		}
	}
}

func (r *response) executeStep(ctx context.Context, d decision, s step) {
	switch {
	case d.waits && (s.kind.OnContainer() || !d.applies): // the pending alert does it when Docker is back
	case s.outcome == outcomeSkip:
		r.skip(ctx, d, s, s.reason)
	case s.kind == policy.BlockSource:
		r.blockSource(ctx, d, s)
	default:
		r.orderContainer(ctx, d, s)
	}
}

// corroborate returns the steps of d. If its policy requires more independent alerts
// about a target than have come, the target's steps are skipped.
func (r *response) corroborate(d decision) []step {
	need := d.policy.Require
	if need.Alerts < 2 {
		return d.steps
	}
	source, by := r.alert.Rule.ID, "rule"
	if need.Modules {
		source, by = r.alert.Module, "module"
	}
	counted := map[string]int{} // an alert counts once per subject, however many steps there are
	out := make([]step, len(d.steps))
	for i, s := range d.steps {
		out[i] = s
		if s.outcome == outcomeSkip || s.proposed { // an unproven sender corroborates nothing
			continue
		}
		subject := r.corroborationSubject(s)
		if _, done := counted[subject]; !done {
			counted[subject] = r.run.corroboration.Add(d.policy.ID+"|"+subject, source, need.Within, r.started)
		}
		if n := counted[subject]; n < need.Alerts {
			out[i].outcome = outcomeSkip
			out[i].reason = fmt.Sprintf("%d of %d independent alerts within %s, by %s", n, need.Alerts, need.Within, by)
		}
	}
	return out
}

// corroborationSubject returns the subject that independent alerts must share: the target
// of a step, and for a notification the source, container or host of the alert.
func (r *response) corroborationSubject(s step) string {
	switch {
	case s.kind != policy.Notify:
		return s.target
	case r.alert.Source != nil:
		return "address:" + r.alert.Source.IP
	case r.alert.Container != nil:
		return "container:" + r.alert.Container.ID
	}
	return "host:" + r.alert.Host
}

// orderContainer gives the quarantine an order about a container, unless it is isolated
// already, in its cooldown, or beyond a cap.
func (r *response) orderContainer(ctx context.Context, d decision, s step) {
	candidate := safety.Candidate{Container: s.container.ID, Project: s.container.Project, Running: r.running}
	if s.outcome == outcomeDryRun {
		r.dryRun(ctx, d, s, r.run.guardState.Check(candidate, r.started))
		return
	}
	id := r.id(d, s, "order")
	if e, known := r.run.quarantine.Get(s.container.ID); known && satisfies(e, s.kind) && e.Order.ActionID != id {
		r.skip(ctx, d, s, fmt.Sprintf("already isolated since %s by %s", e.Since.UTC().Format(time.RFC3339), e.Order.Policy))
		return
	}
	if until := r.startCooldown(d, s); !until.IsZero() {
		r.skip(ctx, d, s, "cooldown until "+until.Format(time.RFC3339))
		return
	}
	if refused := r.run.guardState.Admit(candidate, r.started); refused != "" {
		r.run.guardState.CancelCooldown(cooldownKey(d, s), r.alert.ID)
		r.skip(ctx, d, s, refused)
		return
	}
	r.guard.counters.orders.Add(1)
	err := r.run.quarantine.Apply(ctx, r.order(d, s, id)) // reports the intended action itself
	if err != nil {
		r.guard.health.Set(topicLedger, err.Error())
		r.report(ctx, d, s, event.Failed, func(a *event.Action) { a.Error = err.Error() })
		r.addError(err)
		return
	}
	r.guard.health.Clear(topicLedger)
	r.addOutcome(s, string(r.orderPhase(s)), s.reason)
}

func (r *response) order(d decision, s step, id string) quarantine.Order {
	o := quarantine.Order{
		ActionID: id, Kind: quarantine.Kind(s.kind), Container: s.container, Policy: d.policy.ID,
		AlertID: r.alert.ID, TraceID: r.alert.TraceID, Reason: actionReason(r.alert, s), Ordered: r.started,
		Deadline: safety.Deadline(r.alert, r.guard.config().maxAge()),
	}
	if d.policy.TTL > 0 {
		o.Expires = r.started.Add(d.policy.TTL)
	}
	return o
}

// satisfies reports whether the ledger entry already asks for all that kind does.
func satisfies(e quarantine.Entry, kind policy.Kind) bool {
	want, _ := quarantine.Kind(kind).Restrictions()
	return e.State != quarantine.Releasing && (!want.Freeze || e.Want.Freeze) && (!want.Disconnect || e.Want.Disconnect) && (!want.Kill || e.Want.Kill)
}

// orderPhase returns how far an order has come, by the ledger.
func (r *response) orderPhase(s step) event.Phase {
	e, known := r.run.quarantine.Get(s.container.ID)
	switch {
	case !known:
		return event.Skipped
	case e.State == quarantine.Held:
		return event.Done
	case e.State == quarantine.Partial:
		return event.Failed
	}
	return event.Intended
}

// blockSource blocks the source address, and its network if many of its addresses are blocked.
func (r *response) blockSource(ctx context.Context, d decision, s step) {
	if s.outcome == outcomeDryRun {
		r.dryRun(ctx, d, s, "")
		return
	}
	if until := r.startCooldown(d, s); !until.IsZero() {
		r.skip(ctx, d, s, "cooldown until "+until.Format(time.RFC3339))
		return
	}
	ttl := d.policy.BlockTTL
	if s.maxTTL > 0 {
		ttl = min(ttl, s.maxTTL)
	}
	if r.block(ctx, d, s, netip.PrefixFrom(s.address, s.address.BitLen()), ttl) && s.maxTTL == 0 {
		r.widen(ctx, d, s)
	}
}

// block writes prefix to the blocklist, unless a cap forbids it, after the intended action was stored, and then reports how
// it went. It reports whether it is blocked.
func (r *response) block(ctx context.Context, d decision, s step, prefix netip.Prefix, ttl time.Duration) bool {
	expires := r.started.Add(ttl).UTC()
	b := bus.Block{
		Prefix: prefix, Scope: bus.Scope{Rate: d.policy.BlockRate}, Hosts: r.guard.blockHosts(r.alert, s), Expires: expires, Created: r.started.UTC(),
		Source: Name, Policy: d.policy.ID, AlertID: r.alert.ID, Trust: r.alert.Trust, Reason: event.Printable(d.policy.ID+": "+r.alert.Title, maxReason),
	}
	c := safety.BlockCandidate{Key: b.Key(), Source: evidenceSource(r.alert), Strength: blockStrength(r.alert, d.policy), Expires: expires}
	if refused := r.admitBlock(ctx, c); refused != "" {
		for _, key := range []string{cooldownKey(d, s), s.target} { // the target is that of a network
			r.run.guardState.CancelCooldown(key, r.alert.ID)
		}
		if s.address.IsValid() {
			r.addCapped(cooldownKey(d, s), c)
		}
		r.skip(ctx, d, s, refused)
		return false
	}
	intended := r.action(d, s, event.Intended)
	intended.ExpiresAt = &expires
	queued := r.run.reporter.store(ctx, intended, intendedTimeout)
	began := time.Now()
	entry, err := r.extendBlock(ctx, b)
	took := time.Since(began).Milliseconds()
	if !queued {
		r.run.reporter.add(ctx, intended)
	}
	if err != nil {
		r.guard.counters.blockFailures.Add(1)
		r.guard.health.Set(topicBlocks, "addresses cannot be blocked: "+err.Error())
		r.report(ctx, d, s, event.Failed, func(a *event.Action) { a.Error = err.Error() })
		r.addOutcome(s, string(event.Failed), err.Error())
		r.addError(err)
		return false
	}
	r.guard.counters.blocks.Add(1)
	r.guard.health.Clear(topicBlocks)
	r.addOutcome(s, string(event.Done), "")
	r.report(ctx, d, s, event.Done, func(a *event.Action) {
		a.DurationMS, a.ExpiresAt = took, &entry.Expires
		_, target, _ := strings.Cut(s.target, ":")
		a.Undo = "ironpost blocklist del " + target
	})
	return true
}

// extendBlock writes b, or extends the entry that the blocklist has. It never shortens one.
func (r *response) extendBlock(ctx context.Context, b bus.Block) (bus.Block, error) {
	list, err := r.guard.deps.Bus.Blocklist(ctx)
	if err != nil {
		return bus.Block{}, err
	}
	return list.Extend(ctx, b)
}

// startCooldown begins the cooldown of a step. It returns the end of the cooldown that
// another alert began, or zero if the step may be done.
func (r *response) startCooldown(d decision, s step) time.Time {
	return r.cooldown(cooldownKey(d, s), d.policy.Cooldown)
}

// cooldown begins a cooldown of key as startCooldown does. A stronger alert is not held by that of a weaker one.
func (r *response) cooldown(key string, span time.Duration) time.Time {
	return r.run.guardState.StartCooldown(key, r.alert.ID, r.alert.Trust.Rank(), span, r.started)
}

func cooldownKey(d decision, s step) string {
	return d.policy.ID + "|" + string(s.kind) + "|" + s.target
}

// addOutcome notes how a step went, for the notification.
func (r *response) addOutcome(s step, phase, reason string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	target := s.target
	if s.container.Name != "" {
		target = s.container.Name
	}
	r.outcomes = append(r.outcomes, notify.Outcome{Kind: string(s.kind), Target: target, Phase: phase, Reason: reason})
}

// addCapped notes a block that is to be tried again.
func (r *response) addCapped(key string, c safety.BlockCandidate) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.capped == nil {
		r.capped = map[string]safety.BlockCandidate{}
	}
	r.capped[key] = c
}

// addError keeps an error for which the alert must be delivered again.
func (r *response) addError(err error) {
	if err == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.errs = append(r.errs, err)
}

package containerguard

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
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

// response carries out what was judged about one alert.
type response struct {
	s        *Service
	p        *runState
	alert    *event.Alert
	began    time.Time
	running  int
	answered bool // some policy had something to say

	mu       sync.Mutex
	errs     []error
	outcomes []notify.Outcome
}

func (t *response) err() error { return errors.Join(t.errs...) }

// carry carries out one verdict: containers and the address side by side, for none
// should wait for another, then the notification, which says what came of them.
func (t *response) carry(ctx context.Context, v decision) {
	if len(v.steps) == 0 {
		return
	}
	t.answered = true
	steps := t.corroborated(v)
	t.outcomes = nil
	g := task.New(ctx)
	for _, lane := range stepsByTarget(steps) {
		g.Go("lane", func(ctx context.Context) error {
			for _, s := range lane {
				t.step(ctx, v, s)
			}
			return nil
		})
	}
	t.fail(g.Wait())
	if v.waits {
		return
	}
	for _, s := range steps {
		if s.kind == policy.Notify {
			t.notify(ctx, v, s)
		}
	}
}

// stepsByTarget groups steps by target, in order; those of one target follow each other.
func stepsByTarget(steps []step) map[string][]step {
	out := map[string][]step{}
	for _, s := range steps {
		if s.kind != policy.Notify {
			out[s.target] = append(out[s.target], s)
		}
	}
	return out
}

// step does one step, or says why not.
func (t *response) step(ctx context.Context, v decision, s step) {
	if v.waits && (s.kind.OnContainer() || !v.applies) {
		return // when Docker is back
	}
	switch {
	case s.outcome == outcomeSkip:
		t.skip(ctx, v, s, s.reason)
	case s.kind == policy.BlockSource:
		t.block(ctx, v, s)
	default:
		t.hold(ctx, v, s)
	}
}

// hold gives an order about a container.
func (t *response) hold(ctx context.Context, v decision, s step) {
	ask := safety.Candidate{Container: s.container.ID, Project: s.container.Project, Running: t.running}
	if s.outcome == outcomeDryRun {
		t.dryRun(ctx, v, s, t.p.memory.Would(ask, t.began))
		return
	}
	id := t.id(v, s, "order")
	if e, is := t.p.quarantine.Get(s.container.ID); is && satisfies(e, s.kind) && e.Order.ActionID != id {
		t.skip(ctx, v, s, fmt.Sprintf("already held since %s by %s", e.Since.UTC().Format(time.RFC3339), e.Order.Policy))
		return
	}
	if until := t.enter(v, s); !until.IsZero() {
		t.skip(ctx, v, s, "cooldown until "+until.Format(time.RFC3339))
		return
	}
	if refused := t.p.memory.Take(ask, t.began); refused != "" {
		t.p.memory.Leave(t.cooldownKey(v, s), t.alert.ID)
		t.skip(ctx, v, s, refused)
		return
	}
	t.s.counters.orders.Add(1)
	if err := t.p.quarantine.Apply(ctx, t.order(v, s, id)); err != nil {
		t.s.health.say(aboutLedger, err.Error())
		t.report(ctx, v, s, event.Failed, func(a *event.Action) { a.Error = err.Error() })
		t.fail(err)
		return
	}
	t.s.health.say(aboutLedger, "")
	t.note(s, t.cameOf(s), s.reason)
}

// satisfies reports whether e already holds what kind asks for.
func satisfies(e quarantine.Entry, kind policy.Kind) bool {
	want, _ := quarantine.Kind(kind).Restrictions()
	return e.State != quarantine.Releasing && (!want.Freeze || e.Want.Freeze) && (!want.Disconnect || e.Want.Disconnect) && (!want.Kill || e.Want.Kill)
}

// cameOf is how far the ledger says an order came.
func (t *response) cameOf(s step) string {
	e, is := t.p.quarantine.Get(s.container.ID)
	switch {
	case !is:
		return string(event.Skipped)
	case e.State == quarantine.Held:
		return string(event.Done)
	case e.State == quarantine.Partial:
		return string(event.Failed)
	}
	return string(event.Intended)
}

func (t *response) order(v decision, s step, id string) quarantine.Order {
	o := quarantine.Order{
		ActionID: id, Kind: quarantine.Kind(s.kind), Container: s.container, Policy: v.policy.ID,
		AlertID: t.alert.ID, TraceID: t.alert.TraceID, Reason: actionReason(t.alert, s), Ordered: t.began,
		Deadline: safety.Deadline(t.alert, t.s.config().maxAge()),
	}
	if v.policy.TTL > 0 {
		o.Expires = t.began.Add(v.policy.TTL)
	}
	return o
}

// block wishes the address to be dropped.
func (t *response) block(ctx context.Context, v decision, s step) {
	if s.outcome == outcomeDryRun {
		t.dryRun(ctx, v, s, "")
		return
	}
	if until := t.enter(v, s); !until.IsZero() {
		t.skip(ctx, v, s, "cooldown until "+until.Format(time.RFC3339))
		return
	}
	expires := t.began.Add(v.policy.BlockTTL).UTC()
	began := time.Now()
	entry, err := t.extend(ctx, bus.Block{
		Prefix: netip.PrefixFrom(s.address, s.address.BitLen()), Expires: expires, Created: t.began.UTC(),
		Source: Name, Reason: printable(v.policy.ID + ": " + t.alert.Title),
	})
	took := time.Since(began).Milliseconds()
	t.report(ctx, v, s, event.Intended, func(a *event.Action) { a.ExpiresAt = &expires })
	if err != nil {
		t.s.counters.blockFailures.Add(1)
		t.s.health.say(aboutBlocks, "addresses cannot be blocked: "+err.Error())
		t.report(ctx, v, s, event.Failed, func(a *event.Action) { a.Error = err.Error() })
		t.note(s, string(event.Failed), err.Error())
		t.fail(err)
		return
	}
	t.s.counters.blocks.Add(1)
	t.s.health.say(aboutBlocks, "")
	t.note(s, string(event.Done), "")
	t.report(ctx, v, s, event.Done, func(a *event.Action) {
		a.DurationMS, a.ExpiresAt = took, &entry.Expires
		a.Undo = "ironpost blocklist del " + s.address.String()
	})
}

func (t *response) extend(ctx context.Context, b bus.Block) (bus.Block, error) {
	list, err := t.s.deps.Bus.Blocklist(ctx)
	if err != nil {
		return bus.Block{}, err
	}
	return list.Extend(ctx, b)
}

// enter begins the cooldown of a step; the time is not zero if another alert did.
func (t *response) enter(v decision, s step) time.Time {
	return t.p.memory.Enter(t.cooldownKey(v, s), t.alert.ID, v.policy.Cooldown, t.began)
}

func (t *response) cooldownKey(v decision, s step) string {
	return v.policy.ID + "|" + string(s.kind) + "|" + s.target
}

// dryRun says what would have been done, or what would have stood against it.
func (t *response) dryRun(ctx context.Context, v decision, s step, refused string) {
	t.s.counters.dryRuns.Add(1)
	text := "would " + string(s.kind)
	if refused != "" {
		text = "would not " + string(s.kind) + ": " + refused
	}
	t.quietly(ctx, v, s, "dry run", func(a *event.Action) {
		a.DryRun, a.Reason = true, text+"; "+actionReason(t.alert, s)
	})
	t.note(s, string(event.Skipped), "dry run: "+text)
}

// skip says why nothing is done.
func (t *response) skip(ctx context.Context, v decision, s step, reason string) {
	t.s.counters.skipped.Add(1)
	t.quietly(ctx, v, s, reason, func(a *event.Action) { a.Reason = reason })
	t.note(s, string(event.Skipped), reason)
}

// quietly reports that nothing was done, but the same of the same target only once a
// minute: ten thousand alerts about one container are one matter.
func (t *response) quietly(ctx context.Context, v decision, s step, reason string, change func(*event.Action)) {
	if !t.s.repeatFilter.first(v.policy.ID, string(s.kind), s.target, t.subject(s), reason, t.began) {
		t.s.counters.unreported.Add(1)
		return
	}
	t.report(ctx, v, s, event.Skipped, change)
}

// subject tells alerts apart whose container is not known.
func (t *response) subject(s step) string {
	if s.target == unknownContainer {
		return t.alert.DedupKey
	}
	return ""
}

// report queues one phase of a step.
func (t *response) report(ctx context.Context, v decision, s step, phase event.Phase, change func(*event.Action)) {
	a := t.action(v, s, phase)
	if change != nil {
		change(&a)
	}
	t.p.reporter.add(ctx, a)
}

// action is what is reported of one phase of a step.
func (t *response) action(v decision, s step, phase event.Phase) event.Action {
	a := event.Action{
		ID: t.id(v, s, string(phase)), Schema: event.Schema, TraceID: t.alert.TraceID, Time: time.Now().UTC(),
		Module: Name, Host: t.s.deps.Host, AlertID: t.alert.ID, Policy: v.policy.ID, Kind: string(s.kind),
		Target: s.target, Phase: phase, Reason: actionReason(t.alert, s),
	}
	if s.container.ID != "" {
		a.Container = &event.Container{ID: s.container.ID, Name: s.container.Name, Image: s.container.Image}
	}
	return a
}

// id follows from the alert, so an alert that comes again has the same.
func (t *response) id(v decision, s step, phase string) string {
	return idOf("guard", t.s.deps.Host, t.alert.ID, v.policy.ID, string(s.kind), s.target, phase)
}

func (t *response) note(s step, phase, reason string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	target := s.target
	if s.container.Name != "" {
		target = s.container.Name
	}
	t.outcomes = append(t.outcomes, notify.Outcome{Kind: string(s.kind), Target: target, Phase: phase, Reason: reason})
}

func (t *response) fail(err error) {
	if err == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.errs = append(t.errs, err)
}

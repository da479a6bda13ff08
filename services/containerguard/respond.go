package containerguard

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
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
	judge
	guard    *Service
	run      *runState
	answered bool        // a decision had steps
	acted    atomic.Bool // one of them was done
	deadline time.Time   // of orders: they are skipped if not begun by then

	mu       sync.Mutex // steps run side by side
	errs     []error
	outcomes []notify.Outcome   // of the decision being executed, for its notification
	refused  map[string]verdict // for want of room, by cooldownKey
}

// newResponse returns a response to a at now.
func (s *Service) newResponse(run *runState, a *event.Alert, now time.Time) *response {
	return &response{guard: s, run: run, refused: map[string]verdict{}, deadline: safety.Deadline(a, s.config().maxAge()), judge: judge{
		memory: &run.memory, alert: a, now: now, host: s.deps.Host, running: run.runningContainers(),
		isolated: run.quarantine.Get, webhook: s.notifier.Configured(),
	}}
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
			r.executeStep(ctx, d, s)
		}
	}
}

func (r *response) executeStep(ctx context.Context, d decision, s step) {
	v := r.decide(d, s)
	if v.outcome == outcomeAct {
		r.acted.Store(true)
	}
	switch {
	case v.outcome == outcomeWait:
	case v.outcome == outcomeSkip:
		r.skipRefused(ctx, d, s, v)
	case v.outcome == outcomeDryRun:
		r.dryRun(ctx, d, s, v.reason)
	case s.kind == policy.Notify:
		r.notify(ctx, d, s)
	case s.kind == policy.BlockSource:
		if r.block(ctx, d, s, v) && s.maxTTL == 0 {
			r.widen(ctx, d, s)
		}
	default:
		r.orderContainer(ctx, d, s, v.order)
	}
}

// orderContainer gives the quarantine an order about a container.
func (r *response) orderContainer(ctx context.Context, d decision, s step, o quarantine.Order) {
	o.Deadline = r.deadline
	r.guard.counters.orders.Add(1)
	err := r.run.quarantine.Apply(ctx, o) // reports the intended action itself
	if err != nil {
		r.guard.health.Set(topicLedger, err.Error())
		r.report(ctx, d, s, event.Failed, func(a *event.Action) { a.Error = err.Error() })
		r.addError(err)
		return
	}
	r.guard.health.Clear(topicLedger)
	r.addOutcome(s, string(r.orderPhase(s)), s.reason)
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

// block writes a block to the blocklist after the intended action was stored, and then reports how
// it went. It reports whether the address is blocked.
func (r *response) block(ctx context.Context, d decision, s step, v verdict) bool {
	intended := r.action(d, s, event.Intended)
	intended.ExpiresAt = &v.block.Expires
	queued := r.run.reporter.store(ctx, intended, intendedTimeout)
	began := time.Now()
	entry, err := r.extendBlock(ctx, v.block)
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
	r.giveWay(ctx, v.yields)
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

// addRefused notes a step that waits for room.
func (r *response) addRefused(key string, v verdict) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refused[key] = v
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

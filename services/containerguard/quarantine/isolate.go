package quarantine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/docker"
)

// isolate brings the container into the state the orders ask for.
func (a *attempt) isolate(ctx context.Context) error {
	if !a.e.Gone.IsZero() {
		return a.endIfReplaced()
	}
	if a.overdue() && a.e.Step != StepFreeze { // a freeze may have been done: inspected first
		return a.skipOverdue(ctx)
	}
	if accepted := a.slot.accepted; accepted != nil { // in a burst of orders, one question less to dockerd
		a.observation, a.slot.accepted = *accepted, nil
	} else if err := a.inspect(ctx); err != nil {
		return a.inspectFailed(ctx, err)
	}
	if a.e.frozenUnrecorded(a.now) {
		a.e.markBegun()
	}
	if a.overdue() {
		return a.skipOverdue(ctx)
	}
	if recheck := a.m.options.Recheck; recheck != nil && a.e.pending() && !a.fresh {
		refused, known := recheck(a.e.Order, a.now)
		if !known {
			return a.enforcePrevious(ctx) // Run asks again soon
		}
		if refused != "" {
			return a.skipOrder(ctx, "not begun until Docker was reachable again: "+refused)
		}
	}
	if !a.e.Captured {
		a.e.capture(a.now)
		if err := a.beginStep(StepIntent); err != nil {
			return err
		}
	}
	if a.e.State != Applying || a.slot.cancelCollection.Load() != nil {
		return a.reapply(ctx)
	}
	return a.carryOut(ctx)
}

// carryOut carries out the newest order, collects evidence, and kills afterwards what
// was to be frozen first.
func (a *attempt) carryOut(ctx context.Context) error {
	a.actions.add(a.e, string(a.e.Order.Kind), event.Intended, func(r *event.Action) { r.Undo = undo(a.e) })
	if err := a.enforce(ctx); err != nil {
		return a.fail(err)
	}
	if err := a.reportHeld(); err != nil {
		return err
	}
	a.sendActions(ctx) // nothing urgent is left, except the kill of what is frozen
	order := a.e.Order.ActionID
	if err := a.collectEvidence(ctx); err != nil {
		return err
	}
	switch { // what happened while the slot was not locked
	case a.slot.entry == nil || a.slot.entry.State != Applying: // released
		return nil
	case a.e.Order.ActionID != order: // a further order
		if err := a.inspect(ctx); err != nil {
			return a.inspectFailed(ctx, err)
		}
		return a.carryOut(ctx)
	}
	if a.e.Want.Kill && a.e.Want.Freeze {
		if err := a.killAfterEvidence(ctx); err != nil {
			return a.fail(err)
		}
	}
	a.e.State, a.e.Error = Held, ""
	if err := errors.Join(a.refused...); err != nil {
		a.e.State, a.e.Error = Partial, err.Error()
	}
	return a.commit()
}

// reportHeld records and reports that the container is as ordered, unless a kill is still to come.
func (a *attempt) reportHeld() error {
	a.e.markBegun()
	if a.e.HeldAt.IsZero() {
		a.e.HeldAt = time.Now()
	}
	if a.e.Want.Freeze {
		a.reportPart(Pause, a.e.FrozenAt)
	}
	refused := errors.Join(a.refused...)
	if a.e.Want.Disconnect && refused == nil {
		a.reportPart(Disconnect, a.e.HeldAt)
	}
	switch {
	case refused != nil:
		a.reportOrder(event.Failed, a.e.HeldAt, refused)
	case !a.e.Want.Kill || !a.e.Want.Freeze:
		a.reportOrder(event.Done, a.e.HeldAt, nil)
	}
	return a.beginStep(StepHeld)
}

// reapply restores a quarantine that something undid.
func (a *attempt) reapply(ctx context.Context) error {
	collecting := a.e.State == Applying // evidence is being collected: what is frozen is not to be killed yet
	why := unmet(ctx, a.now, a.e, !collecting)
	if why == "" {
		if (a.e.Error == "" || a.e.State != Held) && a.slot.unwritten == nil {
			return nil
		}
		if a.e.State == Held {
			a.e.Error = "" // it has passed
		}
		return a.commit()
	}
	began := time.Now()
	if err := a.enforce(ctx); err != nil {
		return a.fail(err)
	}
	if a.e.Want.Kill && !collecting {
		if err := a.killAfterEvidence(ctx); err != nil {
			return a.fail(err)
		}
	}
	if len(a.refused) > 0 { // was reported when it was refused first
		return nil
	}
	a.e.Reapplied++
	a.reportReapplied(why, time.Since(began))
	a.e.Error = ""
	return a.commit()
}

// reportReapplied reports that an undone quarantine is in place again: a few times in a
// row, then every 10 s, so that a restart loop does not flood the bus.
func (a *attempt) reportReapplied(why string, took time.Duration) {
	const unlimited, interval = 5, 10 * time.Second
	if a.e.Reapplied > unlimited && time.Since(a.e.ReportedAt) < interval {
		return
	}
	a.e.ReportedAt = time.Now()
	a.actions.add(a.e, string(a.e.Order.Kind), event.Done, func(r *event.Action) {
		r.ID = event.ID(a.e.Order.ActionID, "again", fmt.Sprint(a.e.Reapplied))
		r.Reason = fmt.Sprintf("re-applied (%d): %s", a.e.Reapplied, why)
		r.DurationMS, r.Undo = took.Milliseconds(), undo(a.e)
	})
}

// inspectFailed handles a container that cannot be inspected.
func (a *attempt) inspectFailed(ctx context.Context, err error) error {
	if !errors.Is(err, docker.ErrNotFound) {
		return a.fail(err)
	}
	if !a.e.Begun {
		return a.skipOrder(ctx, err.Error())
	}
	if a.e.Before.Name == "" {
		return a.endRemoved("container was removed")
	}
	a.e.Gone = time.Now() // it may be made again: its name or service stays in quarantine
	if err := a.commit(); err != nil {
		return err
	}
	return a.endIfReplaced()
}

// endIfReplaced removes the entry of a removed container once its replacement is in
// quarantine.
func (a *attempt) endIfReplaced() error {
	if !a.e.isReplaced(a.m.List()) {
		return nil
	}
	return a.endRemoved("container was removed, the one made in its place is in quarantine")
}

func (a *attempt) endRemoved(reason string) error {
	a.actions.add(a.e, "release", event.Released, func(r *event.Action) { r.Reason = reason })
	return a.removeEntry()
}

// skipOrder drops an order for which nothing was done, and goes on with the one before it.
func (a *attempt) skipOrder(ctx context.Context, reason string) error {
	a.actions.add(a.e, string(a.e.Order.Kind), event.Skipped, func(r *event.Action) { r.Error = reason })
	if !a.e.dropOrder() {
		return a.removeEntry()
	}
	if err := a.commit(); err != nil {
		return err
	}
	a.fresh = false
	return a.proceed(ctx)
}

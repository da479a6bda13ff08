package quarantine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/docker"
)

// attempt is one run through the steps for one container, whose slot is locked.
type attempt struct {
	m       *Manager
	slot    *slot
	e       *Entry // a copy; commit makes it the slot's
	reports reports

	now     docker.Container // newest answer
	raw     []byte           // the same as the engine wrote it
	first   []byte           // the first such answer after the freeze
	refused []error          // steps that cannot pass
	froze   func()           // tells others that this freeze is over; nil if none was announced
	fresh   bool             // the order was given a moment ago, by who has just checked it
	unsaved bool             // e is not the ledger's
}

// proceed releases or holds, as the entry says.
func (a *attempt) proceed(ctx context.Context) error {
	if a.e.State == Releasing {
		return a.release(ctx)
	}
	return a.hold(ctx)
}

// hold makes the container as wanted. The error can pass by itself.
func (a *attempt) hold(ctx context.Context) error {
	if !a.e.Gone.IsZero() {
		return a.succeed()
	}
	if a.overdue() && a.e.Step != StepFreeze { // which may have been done: looked at first
		return a.skipOverdue(ctx)
	}
	if err := a.lookFirst(ctx); err != nil {
		return a.lost(ctx, err)
	}
	if a.e.frozeUnnoted(a.now) {
		a.e.begin()
	}
	if a.overdue() {
		return a.skipOverdue(ctx)
	}
	if recheck := a.m.options.Recheck; recheck != nil && a.e.untouched() && !a.fresh {
		refused, known := recheck(a.e.Order, a.now)
		if !known {
			return a.holdPrior(ctx) // Run looks again soon
		}
		if refused != "" {
			return a.skip(ctx, "not begun until the container engine was back: "+refused)
		}
	}
	return a.holdSeen(ctx)
}

// holdPrior holds the container as the orders before the newest want it, while that
// one waits. The ledger knows all that this takes.
func (a *attempt) holdPrior(ctx context.Context) error {
	p := a.e.Previous
	for p != nil && p.untouched() {
		p = p.Previous
	}
	if p == nil || p.State == Releasing {
		return nil
	}
	before := p.clone()
	before.Before = a.e.Before
	if unmet(a.now, &before, true) == "" {
		return nil
	}
	held := attempt{m: a.m, slot: a.slot, e: &before, now: a.now, unsaved: true}
	return held.enforce(ctx)
}

// holdSeen holds a container that was looked at.
func (a *attempt) holdSeen(ctx context.Context) error {
	if !a.e.Captured {
		a.e.capture(a.now)
		if err := a.begin(StepIntent); err != nil {
			return err
		}
	}
	if a.e.State != Applying || a.slot.collecting.Load() != nil {
		return a.holdAgain(ctx)
	}
	return a.holdFirst(ctx)
}

// overdue tells that an order waited too long for its first step.
func (a *attempt) overdue() bool {
	d := a.e.Order.Deadline
	return a.e.untouched() && !d.IsZero() && time.Now().After(d)
}

func (a *attempt) skipOverdue(ctx context.Context) error {
	return a.skip(ctx, fmt.Sprintf("not begun by %s: the container engine was away", a.e.Order.Deadline.UTC().Format(time.RFC3339)))
}

// holdFirst holds a container for the first time, or for a further order, and
// keeps evidence.
func (a *attempt) holdFirst(ctx context.Context) error {
	a.reports.add(a.e, string(a.e.Order.Kind), event.Intended, func(r *event.Action) { r.Undo = undo(a.e) })
	if err := a.enforce(ctx); err != nil {
		return a.failed(err)
	}
	if err := a.held(); err != nil {
		return err
	}
	a.flush(ctx) // nothing more that may not wait, but the kill of what is frozen
	order := a.e.Order.ActionID
	if err := a.collect(ctx); err != nil {
		return err
	}
	switch { // what happened while the slot was not locked
	case a.slot.entry == nil || a.slot.entry.State != Applying:
		return nil
	case a.e.Order.ActionID != order:
		if err := a.look(ctx); err != nil {
			return a.lost(ctx, err)
		}
		return a.holdFirst(ctx)
	}
	if a.e.Want.Kill && a.e.Want.Freeze {
		if err := a.finishKill(ctx); err != nil {
			return a.failed(err)
		}
	}
	a.e.State, a.e.Error = Held, joined(a.refused)
	if a.e.Error != "" {
		a.e.State = Partial
	}
	return a.commit()
}

// holdAgain holds a container that was held before.
func (a *attempt) holdAgain(ctx context.Context) error {
	why := unmet(a.now, a.e, a.e.State != Applying) // while evidence is kept, what is frozen is not to be killed yet
	if why == "" {
		return a.clearError()
	}
	began := time.Now()
	if err := a.enforce(ctx); err != nil {
		return a.failed(err)
	}
	if a.e.Want.Kill && a.e.State != Applying {
		if err := a.finishKill(ctx); err != nil {
			return a.failed(err)
		}
	}
	if len(a.refused) > 0 { // reported once, when it was refused first
		return nil
	}
	a.e.Reapplied++
	a.reportAgain(why, time.Since(began))
	a.e.Error = ""
	return a.commit()
}

// clearError forgets an error that has passed.
func (a *attempt) clearError() error {
	if a.e.Error == "" || a.e.State != Held {
		return nil
	}
	a.e.Error = ""
	return a.commit()
}

// reportAgain tells that a quarantine was undone and is in place again, but not
// more than a few times in a row: somebody's restart loop shall not flood the bus.
func (a *attempt) reportAgain(why string, took time.Duration) {
	const always, pause = 5, 10 * time.Second
	if a.e.Reapplied > always && time.Since(a.e.ReportedAt) < pause {
		return
	}
	a.e.ReportedAt = time.Now()
	a.reports.add(a.e, string(a.e.Order.Kind), event.Done, func(r *event.Action) {
		r.ID = actionRecordID(a.e.Order.ActionID, "again", fmt.Sprint(a.e.Reapplied))
		r.Reason = fmt.Sprintf("re-applied (%d): %s", a.e.Reapplied, why)
		r.DurationMS, r.Undo = took.Milliseconds(), undo(a.e)
	})
}

// held reports that the container is as wanted, unless a kill is still to come.
func (a *attempt) held() error {
	a.e.begin()
	if a.e.HeldAt.IsZero() {
		a.e.HeldAt = time.Now()
	}
	if a.e.Want.Freeze {
		a.subReport(Pause, a.e.FrozenAt)
	}
	refused := errors.Join(a.refused...)
	if a.e.Want.Disconnect && refused == nil {
		a.subReport(Disconnect, a.e.HeldAt)
	}
	switch {
	case refused != nil:
		a.report(event.Failed, a.e.HeldAt, refused)
	case !a.e.Want.Kill || !a.e.Want.Freeze:
		a.report(event.Done, a.e.HeldAt, nil)
	}
	return a.begin(StepHeld)
}

// report ends the order: its duration counts from the alert's arrival.
func (a *attempt) report(phase event.Phase, at time.Time, err error) {
	a.reports.add(a.e, string(a.e.Order.Kind), phase, func(r *event.Action) {
		r.DurationMS, r.Undo = a.tookUntil(at), undo(a.e)
		if err != nil {
			r.Error = err.Error()
		}
	})
}

// lookFirst is look, unless the order began with such an answer a moment ago: in
// a burst of orders every question put to the engine delays the last freeze.
func (a *attempt) lookFirst(ctx context.Context) error {
	seen := a.slot.seen
	a.slot.seen = nil
	if seen == nil {
		return a.look(ctx)
	}
	a.now, a.raw = seen.now, seen.raw
	return nil
}

// look asks about the container.
func (a *attempt) look(ctx context.Context) error {
	now, raw, err := a.m.options.Docker.Inspect(ctx, a.e.Before.ID)
	if err == nil {
		a.now, a.raw = now, raw
	}
	return err
}

// lost handles a container that cannot be looked at.
func (a *attempt) lost(ctx context.Context, err error) error {
	if !errors.Is(err, docker.ErrNotFound) {
		return a.failed(err)
	}
	if !a.e.Begun {
		return a.skip(ctx, err.Error())
	}
	if a.e.Before.Project != "" && a.e.Before.Service != "" {
		a.e.Gone = time.Now() // Compose may make it anew: the service is still held
		if err := a.commit(); err != nil {
			return err
		}
		return a.succeed()
	}
	a.reports.add(a.e, "release", event.Released, func(r *event.Action) { r.Reason = "container was removed" })
	return a.end()
}

// succeed ends the entry of a container that is gone once the one made in its place
// is held: that one stands for the service then.
func (a *attempt) succeed() error {
	if !succeeded(a.m.List(), *a.e) {
		return nil
	}
	a.reports.add(a.e, "release", event.Released, func(r *event.Action) {
		r.Reason = "container was removed, the one made in its place is in quarantine"
	})
	return a.end()
}

// skip gives an order up that was never begun, and goes on with the one before it.
func (a *attempt) skip(ctx context.Context, reason string) error {
	a.reports.add(a.e, string(a.e.Order.Kind), event.Skipped, func(r *event.Action) { r.Error = reason })
	if !a.e.giveUp() {
		return a.end()
	}
	if err := a.commit(); err != nil {
		return err
	}
	a.fresh = false
	return a.proceed(ctx)
}

// failed remembers an error and returns it if trying again can help. Otherwise
// the entry stays, partial, and the failure is reported.
func (a *attempt) failed(err error) error {
	class := docker.ClassOf(err)
	if class == docker.Canceled {
		return err
	}
	if class.Retryable() || errors.Is(err, docker.ErrNotFound) || a.e.State == Releasing {
		if text := err.Error(); a.e.Error != text {
			a.e.Error = text
			return errors.Join(err, a.commit())
		}
		return err
	}
	a.e.State, a.e.Error = Partial, err.Error()
	a.report(event.Failed, time.Now(), err)
	return a.commit()
}

// begin writes a step to the ledger before it is done.
func (a *attempt) begin(s Step) error {
	a.e.Step = s
	if err := a.commit(); err != nil {
		return err
	}
	a.m.stepped(a.e.Before.ID, s)
	return nil
}

// commit writes the entry to the ledger and makes it the slot's.
func (a *attempt) commit() error {
	if a.unsaved {
		return nil
	}
	if err := a.m.ledger.save(a.e); err != nil {
		return err
	}
	copied := a.e.clone()
	a.m.put(a.slot, &copied)
	return nil
}

// end takes the entry out of the ledger.
func (a *attempt) end() error {
	a.m.archive.touch(slices.Concat(a.e.ActionIDs, a.e.OriginActionIDs))
	if err := a.m.ledger.remove(a.e); err != nil {
		return err
	}
	a.m.put(a.slot, nil)
	return nil
}

// flush hands the collected reports out.
func (a *attempt) flush(ctx context.Context) {
	for _, r := range a.reports.list {
		a.m.options.Report(ctx, r)
	}
	a.reports.list = nil
}

func (m *Manager) stepped(id string, s Step) {
	if m.options.OnStep != nil {
		m.options.OnStep(id, s)
	}
}

func joined(errs []error) string {
	if err := errors.Join(errs...); err != nil {
		return err.Error()
	}
	return ""
}

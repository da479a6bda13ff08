package quarantine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/docker"
)

// verifyTries is how often the steps are done again at once when the container is
// not as wanted after them; then Run tries again later.
const verifyTries = 3

// errUnmet says that the engine accepted every step and the container is not as wanted all the same.
var errUnmet = errors.New("container is not as wanted")

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
}

// hold makes the container as wanted. The error can pass by itself.
func (a *attempt) hold(ctx context.Context) error {
	if !a.e.Gone.IsZero() {
		return nil
	}
	if a.overdue() {
		return a.skip(fmt.Errorf("not begun by %s: the container engine was away", a.e.Order.Deadline.UTC().Format(time.RFC3339)))
	}
	if err := a.look(ctx); err != nil {
		return a.lost(err)
	}
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
	return a.e.State == Applying && !d.IsZero() && time.Now().After(d) && (a.e.Step == "" || a.e.Step == StepIntent)
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
			return a.lost(err)
		}
		return a.holdFirst(ctx)
	}
	if a.e.Want.Dead && a.e.Want.Freeze {
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
	if a.e.Want.Dead && a.e.State != Applying {
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

// enforce does the steps that are needed and looks whether they had effect.
func (a *attempt) enforce(ctx context.Context) error {
	for range verifyTries {
		if err := a.steps(ctx); err != nil {
			return err
		}
		if err := a.look(ctx); err != nil {
			return err
		}
		if a.settled() {
			return nil
		}
	}
	return fmt.Errorf("%w: %s", errUnmet, a.stageUnmet())
}

// settled tells that what is wanted at this stage is so, apart from what was refused.
func (a *attempt) settled() bool {
	return len(a.refused) > 0 || a.stageUnmet() == ""
}

// steps does what is needed, in the order that is safe.
func (a *attempt) steps(ctx context.Context) error {
	a.refused = nil
	w := a.e.Want
	type todo struct {
		step   Step
		needed bool
		do     func(context.Context) error
	}
	for _, t := range []todo{
		{StepFreeze, w.Freeze && a.now.Running && !a.now.Paused, a.freeze},
		{StepRestartPolicy, changesRestart(a.e) && a.now.RestartPolicy.Name != "no", a.stopRestarting},
		{StepKill, w.Dead && !w.Freeze && a.now.Running, a.kill},
		{StepDisconnect, w.Cut && (len(cuttable(a.now)) > 0 || uncuttable(a.now) != ""), a.cut},
	} {
		if !t.needed {
			continue
		}
		if t.step != StepFreeze {
			a.yield(ctx)
		}
		if err := a.begin(t.step); err != nil {
			return err
		}
		if err := t.do(ctx); err != nil {
			if docker.ClassOf(err).Retryable() || errors.Is(err, docker.ErrNotFound) || docker.ClassOf(err) == docker.Canceled {
				return err
			}
			a.refused = append(a.refused, err)
		}
	}
	return nil
}

// yield lets others be frozen before anything else is done to what is frozen.
func (a *attempt) yield(ctx context.Context) {
	if a.froze != nil {
		a.froze()
		a.m.rush.wait(ctx)
	}
}

// freeze pauses the container and looks at it: that answer, from after the
// freeze, is the first piece of evidence.
func (a *attempt) freeze(ctx context.Context) error {
	err := a.m.options.Docker.Pause(ctx, a.e.Before.ID)
	switch docker.ClassOf(err) {
	case docker.OK, docker.Already, docker.Conflict: // a conflict is one that does not run, or not yet: looked at below
	default:
		return err
	}
	if err := a.look(ctx); err != nil {
		return err
	}
	if a.now.Running && !a.now.Paused || !frozen(a.now) {
		return fmt.Errorf("%w: pausing had no effect", docker.ErrEngine)
	}
	a.first = a.raw
	if a.e.FrozenAt.IsZero() {
		a.e.FrozenAt = time.Now()
	}
	return nil
}

// subReport tells when a part of an order that is made of several was done.
func (a *attempt) subReport(part Kind, at time.Time) {
	if a.e.Order.Kind == part || at.IsZero() {
		return
	}
	a.reports.add(a.e, string(part), event.Done, func(r *event.Action) { r.DurationMS = a.tookUntil(at) })
}

func (a *attempt) tookUntil(at time.Time) int64 { return at.Sub(a.e.Order.Ordered).Milliseconds() }

func (a *attempt) stopRestarting(ctx context.Context) error {
	return a.m.options.Docker.SetRestartPolicy(ctx, a.e.Before.ID, docker.RestartPolicy{Name: "no"})
}

// kill ends the container. One that has ended is as wanted.
func (a *attempt) kill(ctx context.Context) error {
	err := a.m.options.Docker.Kill(ctx, a.e.Before.ID)
	if docker.ClassOf(err) == docker.Conflict {
		return nil
	}
	return err
}

// cut takes the container off every network.
func (a *attempt) cut(ctx context.Context) error {
	if why := uncuttable(a.now); why != "" {
		return fmt.Errorf("%w: %s", docker.ErrForbidden, why)
	}
	for _, n := range cuttable(a.now) {
		err := a.m.options.Docker.Disconnect(ctx, n.Ref(), a.e.Before.ID)
		switch docker.ClassOf(err) {
		case docker.OK, docker.Already:
		case docker.NotFound: // the network or the container went: looked at again
		default:
			return fmt.Errorf("network %s: %w", n.Network, err)
		}
	}
	return nil
}

// uncuttable says why a container cannot be taken off its network.
func uncuttable(c docker.Container) string {
	switch {
	case c.NetworkMode == "host":
		return "container uses the host's network, which cannot be cut"
	case c.NetworkOwner() != "":
		return "container uses the network of container " + c.NetworkOwner() + ", which must be isolated instead"
	}
	return ""
}

// finishKill ends a container whose evidence is kept, and verifies it.
func (a *attempt) finishKill(ctx context.Context) error {
	if a.now.Running {
		if err := a.begin(StepKill); err != nil {
			return err
		}
		if err := a.kill(ctx); err != nil {
			return err
		}
	}
	if err := a.look(ctx); err != nil {
		return err
	}
	if a.now.Running {
		return fmt.Errorf("%w: it still runs after SIGKILL", errUnmet)
	}
	if a.e.State == Applying {
		a.report(event.Done, time.Now(), nil)
	}
	return nil
}

// held reports that the container is as wanted, unless a kill is still to come.
func (a *attempt) held() error {
	if a.e.HeldAt.IsZero() {
		a.e.HeldAt = time.Now()
	}
	if a.e.Want.Freeze {
		a.subReport(Pause, a.e.FrozenAt)
	}
	refused := errors.Join(a.refused...)
	if a.e.Want.Cut && refused == nil {
		a.subReport(Disconnect, a.e.HeldAt)
	}
	switch {
	case refused != nil:
		a.report(event.Failed, a.e.HeldAt, refused)
	case !a.e.Want.Dead || !a.e.Want.Freeze:
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

// stageUnmet is unmet before the evidence is kept: what is frozen is killed after.
func (a *attempt) stageUnmet() string { return unmet(a.now, a.e, false) }

// unmet says in what a container is not as wanted; "" if it is. final is whether
// what is frozen should have been killed too.
func unmet(now docker.Container, e *Entry, final bool) string {
	var why []string
	w := e.Want
	if now.Running && w.Freeze && !now.Paused {
		why = append(why, "container was running")
	}
	if now.Running && w.Dead && (final || !w.Freeze) {
		why = append(why, "container had not ended")
	}
	if w.Cut {
		for _, n := range cuttable(now) {
			why = append(why, "container was on network "+n.Network)
		}
	}
	if changesRestart(e) && now.RestartPolicy.Name != "" && now.RestartPolicy.Name != "no" {
		why = append(why, "restart policy was "+now.RestartPolicy.Name)
	}
	return strings.Join(why, ", ")
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
func (a *attempt) lost(err error) error {
	if !errors.Is(err, docker.ErrNotFound) {
		return a.failed(err)
	}
	if !a.e.Captured {
		return a.skip(err)
	}
	if a.e.Before.Project != "" && a.e.Before.Service != "" {
		a.e.Gone = time.Now() // Compose may make it anew: the service is still held
		return a.commit()
	}
	a.reports.add(a.e, "release", event.Released, func(r *event.Action) { r.Reason = "container was removed" })
	return a.end()
}

// skip gives an order up that was never begun.
func (a *attempt) skip(err error) error {
	a.reports.add(a.e, string(a.e.Order.Kind), event.Skipped, func(r *event.Action) { r.Error = err.Error() })
	return a.end()
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
	a.m.stepped(a.e)
	return nil
}

// commit writes the entry to the ledger and makes it the slot's.
func (a *attempt) commit() error {
	if err := a.m.ledger.save(a.e); err != nil {
		return err
	}
	copied := a.e.clone()
	a.m.put(a.slot, &copied)
	return nil
}

// end takes the entry out of the ledger.
func (a *attempt) end() error {
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

func (m *Manager) stepped(e *Entry) {
	if m.options.OnStep != nil {
		m.options.OnStep(e.Before.ID, e.Step)
	}
}

func joined(errs []error) string {
	if err := errors.Join(errs...); err != nil {
		return err.Error()
	}
	return ""
}

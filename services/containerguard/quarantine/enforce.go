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
	if a.e.learn(a.now) {
		if err := a.commit(); err != nil {
			return err
		}
	}
	w := a.e.Want
	type todo struct {
		step   Step
		needed bool
		do     func(context.Context) error
	}
	for _, t := range []todo{
		{StepFreeze, freezes(a.e, a.now), a.freeze},
		{StepRestartPolicy, changesRestart(a.e) && a.now.RestartPolicy.Name != "no", a.stopRestarting},
		{StepKill, w.Kill && !w.Freeze && a.now.Running, a.kill},
		{StepDisconnect, w.Disconnect && (len(cuttable(a.now)) > 0 || uncuttable(a.now) != ""), a.cut},
	} {
		if !t.needed {
			continue
		}
		if t.step != StepFreeze {
			a.yield(ctx)
		}
		if err := a.beginOnce(t.step); err != nil {
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

// freezes tells that the first thing to do is to freeze the container.
func freezes(e *Entry, now docker.Container) bool {
	return e.Want.Freeze && now.Running && !now.Paused
}

// beginOnce is begin, unless the ledger names the step already. Whether a freeze was
// done can be seen, so it is not noted before.
func (a *attempt) beginOnce(s Step) error {
	if a.e.Step == s && (s == StepFreeze || !a.e.untouched()) {
		a.m.stepped(a.e.Before.ID, s)
		return nil
	}
	if s != StepFreeze {
		a.e.begin()
	}
	return a.begin(s)
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
	case docker.OK:
		a.e.begin()
	case docker.Already, docker.Conflict: // a conflict is one that does not run, or not yet: looked at below
	default:
		return err
	}
	if err := a.look(ctx); err != nil {
		return err
	}
	if a.now.Running && !a.now.Paused || !frozen(a.now) {
		return fmt.Errorf("%w: pausing had no effect", docker.ErrServer)
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
	if now.Running && w.Kill && (final || !w.Freeze) {
		why = append(why, "container had not ended")
	}
	if w.Disconnect {
		for _, n := range cuttable(now) {
			why = append(why, "container was on network "+n.Network)
		}
	}
	if changesRestart(e) && now.RestartPolicy.Name != "" && now.RestartPolicy.Name != "no" {
		why = append(why, "restart policy was "+now.RestartPolicy.Name)
	}
	return strings.Join(why, ", ")
}

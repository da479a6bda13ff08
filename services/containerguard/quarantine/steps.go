package quarantine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/docker"
)

// verifyTries is how often the steps are repeated at once when the container is not as
// wanted after them; then Run tries again later.
const verifyTries = 3

// errUnmet says that Docker accepted every step, but the container is not as wanted.
var errUnmet = errors.New("container is not as ordered")

// enforce does the steps that are needed and verifies their effect. Steps that Docker
// refuses for good are in a.refused afterwards.
func (a *attempt) enforce(ctx context.Context) error {
	for range verifyTries {
		if err := a.doSteps(ctx); err != nil {
			return err
		}
		if err := a.inspect(ctx); err != nil {
			return err
		}
		if len(a.refused) > 0 || unmet(ctx, a.now, a.e, false) == "" {
			return nil
		}
	}
	return fmt.Errorf("%w: %s", errUnmet, unmet(ctx, a.now, a.e, false))
}

// doSteps does the needed steps in an order that leaves no gap. All but a freeze wait until
// the ledger has them.
func (a *attempt) doSteps(ctx context.Context) error {
	a.refused = nil
	if a.e.learn(a.now) {
		if err := a.commit(); err != nil {
			return err
		}
	}
	w := a.e.Want
	for _, s := range []struct {
		step   Step
		needed bool
		do     func(context.Context) error
	}{
		{StepFreeze, needsFreeze(a.e, a.now), a.freeze},
		{StepCutEgress, w.cutsEgress() && a.now.Running && egressOpen(ctx, a.now) != "", a.cutEgress},
		{StepRestartPolicy, a.e.disablesRestart() && a.now.RestartPolicy.Name != "no", a.setRestart(docker.RestartPolicy{Name: "no"})},
		{StepKill, w.Kill && !w.Freeze && a.now.Running, a.kill},
		{StepDisconnect, w.Disconnect && (len(disconnectable(a.now)) > 0 || whyConnected(a.now) != ""), a.disconnect},
	} {
		if !s.needed {
			continue
		}
		if s.step != StepFreeze && a.freezeDone != nil { // others are frozen first
			a.freezeDone()
			a.m.freezes.wait(ctx)
		}
		unwritten := a.beginStepOnce(s.step)
		if unwritten != nil && s.step != StepFreeze {
			return unwritten
		}
		if err := s.do(ctx); err != nil {
			if mayPass(err) || errors.Is(err, docker.ErrNotFound) {
				return err
			}
			a.refused = append(a.refused, err)
		}
		if unwritten != nil {
			return unwritten
		}
	}
	return nil
}

// needsFreeze reports whether the container has to be frozen.
func needsFreeze(e *Entry, now docker.Container) bool {
	return e.Want.Freeze && now.Running && !now.Paused
}

// beginStepOnce is beginStep, unless the ledger names the step already. A freeze marks the
// entry as begun only when it is done, because that can be seen from the container.
func (a *attempt) beginStepOnce(s Step) error {
	if a.e.Step == s && a.slot.unwritten == nil && (s == StepFreeze || !a.e.pending()) {
		a.m.onStep(a.e.Before.ID, s)
		return nil
	}
	if s != StepFreeze {
		a.e.markBegun()
	}
	return a.beginStep(s)
}

// freeze pauses the container and inspects it: that answer, from after the freeze, is
// the first piece of evidence.
func (a *attempt) freeze(ctx context.Context) error {
	err := a.m.options.Docker.Pause(ctx, a.e.Before.ID)
	switch docker.ClassOf(err) {
	case docker.OK:
		a.e.markBegun()
	case docker.Already, docker.Conflict: // a conflict is one that does not run, or not yet: checked below
	default:
		return err
	}
	if err := a.inspect(ctx); err != nil {
		return err
	}
	if a.now.Running && !a.now.Paused || !frozen(a.now) {
		return fmt.Errorf("%w: pausing had no effect", docker.ErrServer)
	}
	a.firstFrozen = a.raw
	if a.e.FrozenAt.IsZero() {
		a.e.FrozenAt = time.Now()
	}
	return nil
}

func (a *attempt) setRestart(p docker.RestartPolicy) func(context.Context) error {
	return func(ctx context.Context) error { return a.m.options.Docker.SetRestartPolicy(ctx, a.e.Before.ID, p) }
}

// kill ends the container. One that has ended already is fine.
func (a *attempt) kill(ctx context.Context) error {
	return ignore(a.m.options.Docker.Kill(ctx, a.e.Before.ID), docker.Conflict)
}

// ignore returns err unless it is of one of the classes.
func ignore(err error, classes ...docker.Class) error {
	if slices.Contains(classes, docker.ClassOf(err)) {
		return nil
	}
	return err
}

// mayPass reports whether a later attempt may succeed where err is what this one failed with.
func mayPass(err error) bool {
	class := docker.ClassOf(err)
	return class.Retryable() || class == docker.Canceled
}

// disconnect takes the container off every network.
func (a *attempt) disconnect(ctx context.Context) error {
	if why := whyConnected(a.now); why != "" {
		return fmt.Errorf("%w: %s", docker.ErrForbidden, why)
	}
	for _, n := range disconnectable(a.now) {
		err := a.m.options.Docker.Disconnect(ctx, n.Ref(), a.e.Before.ID)
		if err := ignore(err, docker.Already, docker.NotFound); err != nil { // if the container is gone, the inspection afterwards tells
			return fmt.Errorf("network %s: %w", n.Network, err)
		}
	}
	return nil
}

// cutEgress keeps the container from beginning connections, and ends those that it began.
func (a *attempt) cutEgress(ctx context.Context) error {
	if why := whyConnected(a.now); why != "" {
		return fmt.Errorf("%w: %s", docker.ErrForbidden, why)
	}
	var err error
	a.remark, err = cutEgress(ctx, a.now)
	return err
}

// whyConnected says why a container cannot be disconnected, nor its egress cut, empty if it can.
func whyConnected(c docker.Container) string {
	switch {
	case c.NetworkMode == "host":
		return "container uses the host's network, which cannot be disconnected or cut"
	case c.NetworkOwner() != "":
		return "container uses the network of container " + c.NetworkOwner() + ", which must be isolated or cut instead"
	}
	return ""
}

// killAfterEvidence kills a container whose evidence is collected, and verifies it.
func (a *attempt) killAfterEvidence(ctx context.Context) error {
	if a.now.Running {
		if err := a.beginStep(StepKill); err != nil {
			return err
		}
		if err := a.kill(ctx); err != nil {
			return err
		}
	}
	if err := a.inspect(ctx); err != nil {
		return err
	}
	if a.now.Running {
		return fmt.Errorf("%w: it still runs after SIGKILL", errUnmet)
	}
	if a.e.State == Applying {
		a.reportOrder(event.Done, time.Now(), nil)
	}
	return nil
}

// unmet says in what a container is not as e wants it, empty if it is. killed tells
// whether a container that is frozen first should have been killed by now.
func unmet(ctx context.Context, now docker.Container, e *Entry, killed bool) string {
	var why []string
	w := e.Want
	if now.Running && w.Freeze && !now.Paused {
		why = append(why, "container was running")
	}
	if now.Running && w.Kill && (killed || !w.Freeze) {
		why = append(why, "container had not ended")
	}
	if w.cutsEgress() && now.Running {
		if open := egressOpen(ctx, now); open != "" {
			why = append(why, open)
		}
	}
	if w.Disconnect {
		for _, n := range disconnectable(now) {
			why = append(why, "container was on network "+n.Network)
		}
	}
	if e.disablesRestart() && now.RestartPolicy.Name != "" && now.RestartPolicy.Name != "no" {
		why = append(why, "restart policy was "+now.RestartPolicy.Name)
	}
	return strings.Join(why, ", ")
}

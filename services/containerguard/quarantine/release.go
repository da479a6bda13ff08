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

// release gives back what was taken. The error can pass by itself; what cannot
// be given back is reported, and the rest is given back all the same.
func (a *attempt) release(ctx context.Context) error {
	if !a.e.Gone.IsZero() {
		return a.released("container was removed")
	}
	if err := a.look(ctx); err != nil {
		if errors.Is(err, docker.ErrNotFound) {
			return a.released("container was removed")
		}
		return a.failed(err)
	}
	if a.e.Captured {
		if err := a.restore(ctx); errors.Is(err, errKept) {
			return a.keepHeld(err)
		} else if err != nil {
			return a.failed(err)
		}
	}
	return a.released(strings.Join(a.differences(), "; "))
}

// errKept: the container cannot be released, and stays held.
var errKept = errors.New("container stays in quarantine")

// keepHeld takes a release back that cannot be done.
func (a *attempt) keepHeld(err error) error {
	a.e.State, a.e.Error = Partial, err.Error()
	a.reports.add(a.e, "release", event.Failed, func(r *event.Action) {
		r.ID, r.Reason, r.Error = actionRecordID(a.e.ReleaseID, "kept"), a.e.ReleaseReason, err.Error()
		r.DurationMS = time.Since(a.e.ReleaseRequested).Milliseconds()
	})
	return a.commit()
}

// restore does what is needed to give back what was taken, in the order that is safe.
func (a *attempt) restore(ctx context.Context) error {
	for _, t := range []struct {
		step   Step
		needed func() bool
		do     func(context.Context) error
	}{
		{StepSever, func() bool { return a.e.Want.Disconnect && !a.e.Severed && a.now.Running }, a.sever},
		{StepConnect, func() bool { return a.e.Want.Disconnect && len(a.missing()) > 0 }, a.connect},
		{StepRestoreRestart, func() bool { return changesRestart(a.e) && a.now.RestartPolicy != a.e.Before.RestartPolicy }, a.restoreRestart},
		{StepThaw, func() bool { return a.e.Want.Freeze && a.now.Paused && !a.e.Before.Paused }, a.thaw},
		{StepStart, a.needsStart, a.start},
	} {
		if !t.needed() {
			continue
		}
		if err := a.begin(t.step); err != nil {
			return err
		}
		err := t.do(ctx)
		switch {
		case err == nil:
		case errors.Is(err, errKept), docker.ClassOf(err).Retryable(), docker.ClassOf(err) == docker.Canceled:
			return err
		default:
			a.refused = append(a.refused, err)
		}
		if err := a.look(ctx); err != nil {
			return err
		}
	}
	return nil
}

// sever destroys the connections the container's processes still hold, so that
// no session of before goes on once there is a network again. Where that cannot
// be done, the processes end instead, and start anew when all is restored.
func (a *attempt) sever(ctx context.Context) error {
	err := errRestartWanted
	if !a.m.options.RestartOnRelease {
		_, err = sever(a.now)
	}
	if err != nil {
		if a.e.Before.AutoRemove {
			return fmt.Errorf("%w: old connections cannot be destroyed (%w), and a restart would remove it", errKept, err)
		}
		a.e.NeedsStart = true // before the kill: it must be started whatever comes
		if err := a.commit(); err != nil {
			return err
		}
		if err := a.kill(ctx); err != nil && !docker.ClassOf(err).Retryable() && docker.ClassOf(err) != docker.Canceled {
			return fmt.Errorf("%w: old connections cannot be destroyed: %w", errKept, err)
		} else if err != nil {
			return err
		}
	}
	a.e.Severed = true
	return a.commit()
}

var errRestartWanted = errors.New("configured to restart instead")

// missing returns the endpoints of before that the container has not now.
func (a *attempt) missing() []docker.Endpoint {
	var out []docker.Endpoint
	for _, e := range cuttable(a.e.Before) {
		if _, on := place(a.now, e); !on {
			out = append(out, e)
		}
	}
	// The network it was created with was its first, and gives its first interface.
	slices.SortStableFunc(out, func(x, y docker.Endpoint) int {
		return rank(x, a.e.Before.NetworkMode) - rank(y, a.e.Before.NetworkMode)
	})
	return out
}

// place returns the endpoint a container has on the network of was.
func place(c docker.Container, was docker.Endpoint) (docker.Endpoint, bool) {
	i := slices.IndexFunc(c.Networks, func(n docker.Endpoint) bool {
		if was.NetworkID == "" || n.NetworkID == "" { // one of them was never started
			return n.Network == was.Network
		}
		return n.NetworkID == was.NetworkID
	})
	if i < 0 {
		return docker.Endpoint{}, false
	}
	return c.Networks[i], true
}

func rank(e docker.Endpoint, mode string) int {
	if e.Network == mode || e.NetworkID == mode || (mode == "default" && e.Network == "bridge") {
		return 0
	}
	return 1
}

// connect puts the container back on its networks.
func (a *attempt) connect(ctx context.Context) error {
	if a.e.NeedsStart && !a.e.Severed || a.now.Running && !a.e.Severed {
		return fmt.Errorf("%w: old connections could go on", docker.ErrForbidden)
	}
	var errs []error
	for _, e := range a.missing() {
		err := a.connectOne(ctx, e)
		if docker.ClassOf(err).Retryable() || docker.ClassOf(err) == docker.Canceled {
			return err
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("network %s: %w", e.Network, err))
		}
	}
	return errors.Join(errs...)
}

// connectOne connects as it was. If the engine gave an address that it chose
// itself away meanwhile, the old one is asked for, which only works on networks
// with a subnet of a person's choice.
func (a *attempt) connectOne(ctx context.Context, e docker.Endpoint) error {
	err := a.join(ctx, e)
	if err != nil || !a.now.Running || e.Static != nil || !e.IPv4.IsValid() {
		return err
	}
	if err := a.look(ctx); err != nil {
		return err
	}
	if is, on := place(a.now, e); !on || is.IPv4 == e.IPv4 {
		return nil
	}
	wish := e
	wish.Static = &docker.StaticAddress{IPv4: e.IPv4.String()}
	if err := a.m.options.Docker.Disconnect(ctx, e.Ref(), a.e.Before.ID); err != nil && docker.ClassOf(err) != docker.Already {
		return err
	}
	if err := a.join(ctx, wish); err == nil || docker.ClassOf(err).Retryable() {
		return err
	}
	return a.join(ctx, e)
}

func (a *attempt) join(ctx context.Context, e docker.Endpoint) error {
	err := a.m.options.Docker.Connect(ctx, e.Ref(), a.e.Before.ID, e)
	if docker.ClassOf(err) == docker.Already {
		return nil
	}
	return err
}

func (a *attempt) restoreRestart(ctx context.Context) error {
	return a.m.options.Docker.SetRestartPolicy(ctx, a.e.Before.ID, a.e.Before.RestartPolicy)
}

func (a *attempt) thaw(ctx context.Context) error {
	if a.e.Want.Disconnect && !a.e.Severed {
		return fmt.Errorf("%w: it stays frozen, old connections could go on", docker.ErrForbidden)
	}
	err := a.m.options.Docker.Unpause(ctx, a.e.Before.ID)
	if class := docker.ClassOf(err); class == docker.Already || class == docker.Conflict {
		return nil
	}
	return err
}

// needsStart tells that the container ran before and does not now because of its
// quarantine: it was killed, or the engine was restarted while its restart
// policy was off.
func (a *attempt) needsStart() bool {
	if a.now.Running || !a.e.Before.Running {
		return false
	}
	policy := a.e.Before.RestartPolicy.Name
	return a.e.NeedsStart || a.e.Want.Kill || policy == "always" || policy == "unless-stopped"
}

func (a *attempt) start(ctx context.Context) error {
	return a.m.options.Docker.Restart(ctx, a.e.Before.ID)
}

// differences says in what the container is not as before.
func (a *attempt) differences() []string {
	var out []string
	for _, err := range a.refused {
		out = append(out, err.Error())
	}
	if !a.now.Running || !a.e.Captured {
		return out
	}
	for _, was := range cuttable(a.e.Before) {
		is, on := place(a.now, was)
		if on && was.IPv4.IsValid() && is.IPv4 != was.IPv4 {
			out = append(out, fmt.Sprintf("address on %s was %s and is %s", was.Network, was.IPv4, is.IPv4))
		}
		if on && was.MAC != "" && is.MAC != was.MAC {
			out = append(out, fmt.Sprintf("hardware address on %s was %s and is %s", was.Network, was.MAC, is.MAC))
		}
	}
	if a.e.Before.Running && !slices.Equal(a.e.Before.Ports, a.now.Ports) {
		out = append(out, fmt.Sprintf("published ports were %v and are %v", a.e.Before.Ports, a.now.Ports))
	}
	return out
}

// released reports and forgets the entry.
func (a *attempt) released(differences string) error {
	if err := a.begin(StepReleased); err != nil {
		return err
	}
	a.reports.add(a.e, "release", event.Released, func(r *event.Action) {
		r.ID, r.Reason, r.Undo = a.e.ReleaseID, a.e.ReleaseReason, ""
		r.DurationMS = time.Since(a.e.ReleaseRequested).Milliseconds()
		if len(a.refused) > 0 {
			r.Error = differences
		} else if differences != "" {
			r.Reason += " (" + differences + ")"
		}
	})
	return a.end()
}

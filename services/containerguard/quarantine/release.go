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

// release restores what isolation took. What cannot be restored is reported, and the
// rest is restored all the same. An error means: try again later.
func (a *attempt) release(ctx context.Context) error {
	if !a.e.Gone.IsZero() {
		return a.endRelease("container was removed")
	}
	if err := a.inspect(ctx); err != nil {
		if errors.Is(err, docker.ErrNotFound) {
			return a.endRelease("container was removed")
		}
		return a.fail(err)
	}
	if a.e.Captured {
		if err := a.restore(ctx); errors.Is(err, errStays) {
			return a.refuseRelease(err)
		} else if err != nil {
			return a.fail(err)
		}
	}
	if lacks := a.unrestored(); len(lacks) > 0 && time.Since(a.e.ReleaseRequested) < releaseRetry {
		return a.releaseUnrestored(lacks)
	}
	return a.endRelease(a.differences()...)
}

// releaseRetry is how long a release is tried again that could not restore everything.
const releaseRetry = time.Hour

// errUnrestored says that a container is released, but not as it was before.
var errUnrestored = errors.New("released, but not restored")

// unrestored lists what the container lacks that a later attempt may give it.
func (a *attempt) unrestored() []string {
	if !a.e.Captured {
		return nil
	}
	var out []string
	for _, n := range a.missing() {
		out = append(out, "it is not on network "+n.Network)
	}
	for _, p := range a.lostPorts() {
		out = append(out, fmt.Sprintf("port %s is not published on %s", p.Container, p.Host))
	}
	if len(out) == 0 {
		return nil
	}
	for _, err := range a.refused {
		out = append(out, err.Error())
	}
	return out
}

// lostPorts returns the ports that were published and are not, though all networks are back.
// A port that Docker chose is another one after every connect.
func (a *attempt) lostPorts() []docker.Port {
	if !a.e.Want.Disconnect || !a.e.Before.Running || !a.now.Running || len(a.missing()) > 0 || len(a.now.Ports) >= len(a.e.Before.Ports) {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(a.e.Before.Ports), func(p docker.Port) bool { return slices.Contains(a.now.Ports, p) })
}

// releaseUnrestored keeps the entry of a container that was released without all it had.
func (a *attempt) releaseUnrestored(lacks []string) error {
	a.differs = lacks
	text := strings.Join(lacks, "; ")
	err := fmt.Errorf("%w: %s", errUnrestored, text)
	if a.e.Unrestored == text {
		return err
	}
	a.e.Unrestored, a.e.Error = text, text
	a.actions.add(a.e, "release", event.Failed, func(r *event.Action) {
		r.Operator = a.e.ReleaseOperator
		r.ID, r.Reason, r.Error = event.ID(a.e.ReleaseID, "unrestored", text), a.e.ReleaseReason, text
		r.DurationMS = time.Since(a.e.ReleaseRequested).Milliseconds()
	})
	return errors.Join(err, a.commit())
}

// errStays says that the container cannot be released safely and stays in quarantine.
var errStays = errors.New("container stays in quarantine")

// refuseRelease takes back a release that is not possible.
func (a *attempt) refuseRelease(err error) error {
	a.e.State, a.e.Error = Partial, err.Error()
	a.actions.add(a.e, "release", event.Failed, func(r *event.Action) {
		r.Operator = a.e.ReleaseOperator
		r.ID, r.Reason, r.Error = event.ID(a.e.ReleaseID, "kept"), a.e.ReleaseReason, err.Error()
		r.DurationMS = time.Since(a.e.ReleaseRequested).Milliseconds()
	})
	return a.commit()
}

// endRelease reports the release and removes the entry.
func (a *attempt) endRelease(differences ...string) error {
	if err := a.beginStep(StepReleased); err != nil {
		return err
	}
	a.actions.add(a.e, "release", event.Released, func(r *event.Action) {
		r.ID, r.Reason, r.Operator = a.e.ReleaseID, a.e.ReleaseReason, a.e.ReleaseOperator
		r.DurationMS = time.Since(a.e.ReleaseRequested).Milliseconds()
		if len(a.refused) > 0 {
			r.Error = strings.Join(differences, "; ")
		} else if len(differences) > 0 {
			r.Reason += " (" + strings.Join(differences, "; ") + ")"
		}
	})
	a.differs = differences
	return a.removeEntry()
}

// restore does the needed steps of a release in an order that is safe.
func (a *attempt) restore(ctx context.Context) error {
	for _, s := range []struct {
		step   Step
		needed func() bool
		do     func(context.Context) error
	}{
		{StepSever, func() bool { return a.e.Want.Disconnect && !a.e.Severed && a.now.Running }, a.sever},
		{StepConnect, func() bool { return a.e.Want.Disconnect && len(a.missing())+len(a.lostPorts()) > 0 }, a.connect},
		{StepRestoreEgress, func() bool { return a.e.Want.CutEgress && a.now.Running }, func(ctx context.Context) error { return restoreEgress(ctx, a.now) }},
		{StepRestoreRestart, func() bool { return a.e.disablesRestart() && a.now.RestartPolicy != a.e.Before.RestartPolicy }, a.setRestart(a.e.Before.RestartPolicy)},
		{StepThaw, func() bool { return a.e.Want.Freeze && a.now.Paused && !a.e.Before.Paused }, a.thaw},
		{StepStart, a.needsStart, func(ctx context.Context) error { return a.m.options.Docker.Restart(ctx, a.e.Before.ID) }},
	} {
		if !s.needed() {
			continue
		}
		if err := a.beginStep(s.step); err != nil {
			return err
		}
		err := s.do(ctx)
		switch {
		case err == nil:
		case errors.Is(err, errStays), mayPass(err) && !(s.step == StepConnect && docker.ClassOf(err) == docker.ServerError):
			return err // but a port that is taken keeps it from nothing else
		default:
			a.refused = append(a.refused, err)
		}
		if err := a.inspect(ctx); err != nil {
			return err
		}
	}
	return nil
}

// sever destroys the TCP connections of the container's processes, so that no old session
// goes on once there is a network again. Where that is not possible it kills the
// processes instead; they are started when everything is restored.
func (a *attempt) sever(ctx context.Context) error {
	err := errRestartWanted
	if !a.m.options.restartOnRelease {
		err = destroyConnections(ctx, a.now)
	}
	if err != nil {
		if a.e.Before.AutoRemove {
			return fmt.Errorf("%w: old connections cannot be destroyed (%w), and a restart would remove it", errStays, err)
		}
		a.e.NeedsStart = true // before the kill: from now on it has to be started
		if err := a.commit(); err != nil {
			return err
		}
		if err := a.kill(ctx); mayPass(err) {
			return err
		} else if err != nil {
			return fmt.Errorf("%w: old connections cannot be destroyed: %w", errStays, err)
		}
	}
	a.e.Severed = true
	return a.commit()
}

var errRestartWanted = errors.New("the guard is configured to restart containers instead")

// missing returns the endpoints of the snapshot that the container does not have now.
func (a *attempt) missing() []docker.Endpoint {
	var out []docker.Endpoint
	for _, e := range disconnectable(a.e.Before) {
		if _, on := endpointLike(a.now, e); !on {
			out = append(out, e)
		}
	}
	return inOrder(a.e.Before, out)
}

// inOrder puts the network that c was created with first: it gives the first interface.
func inOrder(c docker.Container, out []docker.Endpoint) []docker.Endpoint {
	mode := c.NetworkMode
	isFirst := func(e docker.Endpoint) bool {
		return e.Network == mode || e.NetworkID == mode || (mode == "default" && e.Network == "bridge")
	}
	if i := slices.IndexFunc(out, isFirst); i > 0 {
		first := out[i]
		out = slices.Insert(slices.Delete(out, i, i+1), 0, first)
	}
	return out
}

// endpointLike returns the endpoint that c has on the network of was.
func endpointLike(c docker.Container, was docker.Endpoint) (docker.Endpoint, bool) {
	i := slices.IndexFunc(c.Networks, func(n docker.Endpoint) bool { return was.NetworkID != "" && n.NetworkID == was.NetworkID })
	if i < 0 { // one of the two containers was never started and knows no ids, or the network was made again
		i = slices.IndexFunc(c.Networks, func(n docker.Endpoint) bool { return n.Network == was.Network })
	}
	if i < 0 {
		return docker.Endpoint{}, false
	}
	return c.Networks[i], true
}

// connect connects the container to its networks again.
func (a *attempt) connect(ctx context.Context) error {
	if a.e.NeedsStart && !a.e.Severed || a.now.Running && !a.e.Severed {
		return fmt.Errorf("%w: old connections could go on", docker.ErrForbidden)
	}
	var errs []error
	for _, e := range a.missing() {
		err := a.connectTo(ctx, e)
		if mayPass(err) && docker.ClassOf(err) != docker.ServerError {
			return err
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("network %s: %w", e.Network, err))
		}
	}
	if len(errs) == 0 && len(a.lostPorts()) > 0 {
		return a.publish(ctx)
	}
	return errors.Join(errs...)
}

// publish connects the container once more, as Docker publishes ports only then. A network on
// which that failed stands among the container's, but is not connected; its interface is left
// over in the container, and keeps Docker 20.10 from connecting it: see detach.
func (a *attempt) publish(ctx context.Context) error {
	for _, e := range inOrder(a.e.Before, disconnectable(a.e.Before)) {
		if err := ignore(a.detach(ctx, e), docker.NotFound); err != nil {
			return fmt.Errorf("network %s: %w", e.Network, err)
		}
		if err := a.connectTo(ctx, e); err != nil {
			return fmt.Errorf("network %s: %w", e.Network, err)
		}
		if err := a.inspect(ctx); err != nil || len(a.lostPorts()) == 0 {
			return err
		}
	}
	return nil
}

// connectTo connects the container to one network as before. If Docker chose the old
// address itself and now chooses another, the old one is requested; Docker allows that
// only on networks with a configured subnet.
func (a *attempt) connectTo(ctx context.Context, e docker.Endpoint) error {
	err := a.connectEndpoint(ctx, e)
	if err != nil || !a.now.Running || e.Static != nil || !e.IPv4.IsValid() {
		return err
	}
	if err := a.inspect(ctx); err != nil {
		return err
	}
	if is, on := endpointLike(a.now, e); !on || is.IPv4 == e.IPv4 {
		return nil
	}
	request := e
	request.Static = &docker.StaticAddress{IPv4: e.IPv4.String()}
	if err := a.detach(ctx, e); err != nil {
		return err
	}
	if err := a.connectEndpoint(ctx, request); err == nil || docker.ClassOf(err).Retryable() {
		return err
	}
	return a.connectEndpoint(ctx, e)
}

// detach disconnects the container from a network, and removes what a failed attempt to
// connect it left there. If that cannot be removed, the next attempt says so.
func (a *attempt) detach(ctx context.Context, e docker.Endpoint) error {
	err := ignore(a.m.options.Docker.Disconnect(ctx, e.Ref(), a.e.Before.ID), docker.Already)
	if err == nil && e.IPv4.IsValid() {
		if failed := removeInterface(ctx, a.now, e.IPv4); failed != nil {
			a.m.options.Log.WithError(failed).WithField("container_id", a.e.Before.ID).Debug("left over interface not removed")
		}
	}
	return err
}

// connectEndpoint connects the container to a network, or to the one that has its name by now.
func (a *attempt) connectEndpoint(ctx context.Context, e docker.Endpoint) error {
	err := ignore(a.m.options.Docker.Connect(ctx, e.Ref(), a.e.Before.ID, e), docker.Already)
	if docker.ClassOf(err) != docker.NotFound || e.NetworkID == "" {
		return err
	}
	return ignore(a.m.options.Docker.Connect(ctx, e.Network, a.e.Before.ID, e), docker.Already)
}

func (a *attempt) thaw(ctx context.Context) error {
	if a.e.Want.Disconnect && !a.e.Severed {
		return fmt.Errorf("%w: it stays frozen, because old connections could go on", docker.ErrForbidden)
	}
	return ignore(a.m.options.Docker.Unpause(ctx, a.e.Before.ID), docker.Already, docker.Conflict)
}

// needsStart reports whether the container ran before and does not run because of the
// quarantine: it was killed, or dockerd was restarted while its restart policy was off.
func (a *attempt) needsStart() bool {
	if a.now.Running || !a.e.Before.Running {
		return false
	}
	policy := a.e.Before.RestartPolicy.Name
	return a.e.NeedsStart || a.e.Want.Kill || policy == "always" || policy == "unless-stopped"
}

// Restarted is the difference of a container whose release killed and started it.
const Restarted = "it was restarted, as its old connections could not be destroyed otherwise"

// differences lists in what the container is not as before.
func (a *attempt) differences() []string {
	var out []string
	for _, err := range a.refused {
		out = append(out, err.Error())
	}
	if a.e.NeedsStart && a.now.Running {
		out = append(out, Restarted)
	}
	if !a.now.Running || !a.e.Captured {
		return out
	}
	for _, was := range disconnectable(a.e.Before) {
		is, on := endpointLike(a.now, was)
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

// Package attribution finds the container that an alert is about: by the id its source
// gave, by a process, by an address at the time of the alert, or by a name. An image or a
// label may be that of many containers, and an attacked address is that of a victim; they
// count only where a policy asks for them.
//
// The addresses of an unproven alert name no container: anyone may have written them.
//
// The first kind of attribution for which the alert has data decides. If that is stale,
// ambiguous or unknown no container is named, whatever a weaker kind would say: a wrong
// container is worse than none.
package attribution

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"time"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/docker"
	"github.com/ironpost/ironpost/services/containerguard/inventory"
	"github.com/ironpost/ironpost/services/containerguard/policy"
)

// Inventory looks up containers: in a live Docker, in a recording of its events, or in an
// alert alone.
type Inventory interface {
	ByID(prefix string) (inventory.Result, error)
	ByPID(ctx context.Context, pid int, at time.Time, slack time.Duration) (inventory.Result, error)
	ByAddress(ctx context.Context, address netip.Addr, at time.Time, slack time.Duration) (inventory.Result, error)
	ByName(ctx context.Context, name string, at time.Time, slack time.Duration) (inventory.Result, error)
	List() []docker.Container
}

// Query is an alert, and how a policy wants its container to be found.
type Query struct {
	Alert *event.Alert
	By    []policy.AttributionMethod
	Match policy.Match // its labels, for ByLabel
}

// Result is the outcome of a query. Without containers Reason says why, and Unresolved that a
// later query may find one, such as when Docker is back.
type Result struct {
	Containers []docker.Container // more than one only by image or label
	By         policy.AttributionMethod
	Reason     string
	Unresolved bool
}

// strongestFirst is the order in which methods are tried, whatever the policy's order.
var strongestFirst = []policy.AttributionMethod{
	policy.ByID, policy.ByPID, policy.ByAddress, policy.ByTarget, policy.ByName, policy.ByImage, policy.ByLabel,
}

// Resolve returns the containers that q.Alert is about. It may be called concurrently.
func Resolve(ctx context.Context, inv Inventory, q Query) Result {
	for _, by := range strongestFirst {
		if !slices.Contains(q.By, by) {
			continue
		}
		if r, applicable := resolveBy(ctx, inv, q, by); applicable {
			r.By = by
			return r
		}
	}
	return Result{Reason: "unknown: the alert names no container"}
}

// resolveBy tries one method. It is not applicable if the alert has no data for it.
func resolveBy(ctx context.Context, inv Inventory, q Query, by policy.AttributionMethod) (r Result, applicable bool) {
	alert, named := q.Alert, q.Alert.Container
	if named == nil {
		named = &event.Container{}
	}
	at, slack := alertInterval(alert)
	addresses := alert.Trust != event.TrustUnproven // else anyone may have written them
	switch {
	case by == policy.ByID && named.ID != "":
		return resultOf(inv.ByID(named.ID)), true
	case by == policy.ByPID && alert.PID > 0:
		return resultOf(inv.ByPID(ctx, alert.PID, at, slack)), true
	case by == policy.ByAddress && addresses && alert.Source != nil:
		return byAddress(ctx, inv, alert.Source.IP, at, slack)
	case by == policy.ByTarget && addresses && alert.Target != nil:
		return byAddress(ctx, inv, alert.Target.IP, at, slack)
	case by == policy.ByName && named.ID == "" && named.Name != "":
		return resultOf(inv.ByName(ctx, named.Name, at, slack)), true
	case by == policy.ByImage && named.Image != "":
		return runningContainers(inv, func(c docker.Container) bool { return c.Image == named.Image || c.ImageID == named.Image }), true
	case by == policy.ByLabel && len(q.Match.Labels) > 0: // those that the policy's own match describes
		return runningContainers(inv, func(c docker.Container) bool {
			ok, _ := q.Match.MatchesContainer(PolicyContainer(c))
			return ok
		}), true
	}
	return Result{}, false
}

// byAddress looks up the container that had the address ip at the time at. It is not
// applicable for an address that no container ever had: most sources are not containers.
func byAddress(ctx context.Context, inv Inventory, ip string, at time.Time, slack time.Duration) (r Result, applicable bool) {
	address, err := netip.ParseAddr(ip)
	if err != nil {
		return Result{}, false
	}
	found, err := inv.ByAddress(ctx, address, at, slack)
	if errors.Is(err, inventory.ErrUnknown) {
		return Result{}, false
	}
	return resultOf(found, err), true
}

// PolicyContainer returns of c what policies match.
func PolicyContainer(c docker.Container) policy.Container {
	return policy.Container{Name: c.Name, Image: c.Image, Labels: c.Labels}
}

func runningContainers(inv Inventory, include func(docker.Container) bool) Result {
	r := Result{Containers: slices.DeleteFunc(inv.List(), func(c docker.Container) bool { return !c.Running || !include(c) })}
	if len(r.Containers) == 0 {
		r.Reason = "unknown: no running container fits"
	}
	return r
}

// resultOf returns the result of a lookup for one container.
func resultOf(found inventory.Result, err error) Result {
	switch {
	case err == nil && found.Gone:
		return Result{Reason: "stale: container " + event.Shorten(found.Container.ID, 12) + " is gone"}
	case err == nil:
		return Result{Containers: []docker.Container{found.Container}}
	case errors.Is(err, inventory.ErrUnknown):
		return Result{Reason: "unknown: " + err.Error()}
	case errors.Is(err, inventory.ErrAmbiguous):
		return Result{Reason: "ambiguous: " + err.Error()}
	case errors.Is(err, inventory.ErrUncertain):
		return Result{Reason: "stale: " + err.Error()}
	}
	return Result{Reason: "not found out: " + err.Error(), Unresolved: true}
}

// alertInterval returns when the alert's lines were written, from the first to the last, as
// its middle ± slack. A time in whole seconds was rounded down, so the interval lasts to
// the end of that second.
func alertInterval(a *event.Alert) (at time.Time, slack time.Duration) {
	first, last := a.FirstSeen, a.LastSeen
	if first.IsZero() {
		first = a.Time
	}
	if last.Before(first) {
		last = first
	}
	if last.Nanosecond() == 0 {
		last = last.Add(time.Second)
	}
	slack = last.Sub(first) / 2
	return first.Add(slack), slack
}

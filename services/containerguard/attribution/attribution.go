// Package attribution finds the container that an alert is about: by the id its
// source gave it, by a process, by an address at the time of the alert, or by a
// name. An image and a label may belong to many containers, and an attacked address
// to a victim; they count only where a policy says so.
//
// The first kind of evidence that an alert holds decides. Where it is stale,
// ambiguous or unknown there is no container, whatever weaker evidence would say: a
// wrong container is worse than none.
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

// Inventory is what is known about containers: live from Docker, or from a
// recording of its events.
type Inventory interface {
	ByID(prefix string) (inventory.Result, error)
	ByPID(ctx context.Context, pid int, at time.Time, slack time.Duration) (inventory.Result, error)
	ByAddress(ctx context.Context, address netip.Addr, at time.Time, slack time.Duration) (inventory.Result, error)
	ByName(ctx context.Context, name string, at time.Time, slack time.Duration) (inventory.Result, error)
	List() []docker.Container
}

// Result is what was found. Without containers Reason says why; Open then tells
// that the inventory may know better later, as when Docker is away.
type Result struct {
	Containers []docker.Container // more than one only by image or label
	By         policy.AttributionMethod
	Reason     string
	Unresolved bool
}

// Query is an alert and the policy that asks for its container.
type Query struct {
	Alert *event.Alert
	By    []policy.AttributionMethod
	Match policy.Match // its labels, for ByLabel
}

// Resolve finds the containers q is about. It may be called concurrently.
func Resolve(ctx context.Context, inv Inventory, q Query) Result {
	for _, by := range order {
		if !slices.Contains(q.By, by) {
			continue
		}
		if a, held := resolveBy(ctx, inv, q, by); held {
			a.By = by
			return a
		}
	}
	return Result{Reason: "unknown: the alert names no container"}
}

// order is from the strongest evidence to the weakest, whatever the policy's order.
var order = []policy.AttributionMethod{
	policy.ByID, policy.ByPID, policy.ByAddress, policy.ByTarget, policy.ByName, policy.ByImage, policy.ByLabel,
}

// resolveBy follows one kind of evidence; held is false if the alert has none of it.
func resolveBy(ctx context.Context, inv Inventory, q Query, by policy.AttributionMethod) (a Result, held bool) {
	alert := q.Alert
	switch by {
	case policy.ByID:
		if alert.Container == nil || alert.Container.ID == "" {
			return a, false
		}
		return resultOf(inv.ByID(alert.Container.ID)), true
	case policy.ByPID:
		if alert.PID <= 0 {
			return a, false
		}
		at, slack := alertInterval(alert)
		return resultOf(inv.ByPID(ctx, alert.PID, at, slack)), true
	case policy.ByAddress:
		return byAddress(ctx, inv, alert, alert.Source)
	case policy.ByTarget:
		return byAddress(ctx, inv, alert, alert.Target)
	case policy.ByName:
		if alert.Container == nil || alert.Container.ID != "" || alert.Container.Name == "" {
			return a, false
		}
		at, slack := alertInterval(alert)
		return resultOf(inv.ByName(ctx, alert.Container.Name, at, slack)), true
	case policy.ByImage:
		return byImage(inv, alert)
	case policy.ByLabel:
		return byLabel(inv, q.Match)
	}
	return a, false
}

// byAddress takes an address that no container ever had for none at all: most
// sources are somewhere else.
func byAddress(ctx context.Context, inv Inventory, alert *event.Alert, e *event.Endpoint) (Result, bool) {
	if e == nil {
		return Result{}, false
	}
	address, err := netip.ParseAddr(e.IP)
	if err != nil {
		return Result{}, false
	}
	at, slack := alertInterval(alert)
	found, err := inv.ByAddress(ctx, address, at, slack)
	if errors.Is(err, inventory.ErrUnknown) {
		return Result{}, false
	}
	return resultOf(found, err), true
}

// byImage finds the running containers of exactly the alert's image.
func byImage(inv Inventory, alert *event.Alert) (Result, bool) {
	if alert.Container == nil || alert.Container.Image == "" {
		return Result{}, false
	}
	image := alert.Container.Image
	return runningContainers(inv, func(c docker.Container) bool { return c.Image == image || c.ImageID == image }), true
}

// byLabel finds the running containers that the policy's own match describes.
func byLabel(inv Inventory, m policy.Match) (Result, bool) {
	if len(m.Labels) == 0 {
		return Result{}, false
	}
	return runningContainers(inv, func(c docker.Container) bool {
		ok, _ := m.MatchesContainer(PolicyContainer(c))
		return ok
	}), true
}

// PolicyContainer is c as a policy looks at it.
func PolicyContainer(c docker.Container) policy.Container {
	return policy.Container{Name: c.Name, Image: c.Image, Labels: c.Labels}
}

func runningContainers(inv Inventory, fits func(docker.Container) bool) Result {
	var a Result
	for _, c := range inv.List() {
		if c.Running && fits(c) {
			a.Containers = append(a.Containers, c)
		}
	}
	if len(a.Containers) == 0 {
		a.Reason = "unknown: no running container fits"
	}
	return a
}

// resultOf is the answer of a lookup that names one container or none.
func resultOf(found inventory.Result, err error) Result {
	switch {
	case err == nil && found.Gone:
		return Result{Reason: "stale: container " + short(found.Container.ID) + " is gone"}
	case err == nil:
		return Result{Containers: []docker.Container{found.Container}}
	case errors.Is(err, inventory.ErrUnknown):
		return Result{Reason: "unknown: " + err.Error()}
	case errors.Is(err, inventory.ErrAmbiguous):
		return Result{Reason: "ambiguous: " + err.Error()}
	case errors.Is(err, inventory.ErrUncertain):
		return Result{Reason: "stale: " + err.Error()}
	}
	return Result{Reason: "not asked: " + err.Error(), Unresolved: true}
}

// alertInterval is when what the alert is about happened: from its first line to its last.
// A time in whole seconds was cut off, so the second counts to its end.
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

func short(id string) string { return id[:min(12, len(id))] }

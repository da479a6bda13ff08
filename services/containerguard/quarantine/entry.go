package quarantine

import (
	"reflect"
	"slices"
	"time"

	"github.com/ironpost/ironpost/internal/docker"
)

// State is how far an entry has come.
type State string

// The states. A Partial entry is held as far as possible: a step was refused in
// a way that trying again cannot change.
const (
	Applying  State = "applying"
	Held      State = "held"
	Partial   State = "partial"
	Releasing State = "releasing"
)

// Entry is what the ledger holds about one container.
type Entry struct {
	Version int          `json:"version"`
	Order   Order        `json:"order"` // the newest that changed what is wanted
	Want    Restrictions `json:"want"`
	State   State        `json:"state"`
	Step    Step         `json:"step"` // the one begun last

	// Before is the container as it was before the first step; valid once
	// Captured. It is not overwritten, only learnt of while it is still being made.
	Before   docker.Container `json:"before"`
	Captured bool             `json:"captured"`

	// Begun tells that something was done to the container; only a freeze is noted
	// after it is done. Prior is the entry as it was before the newest order, without
	// Before, until something is done for that one: what holds again if it is given up.
	Begun    bool   `json:"begun,omitempty"`
	Previous *Entry `json:"prior,omitempty"`

	ActionIDs        []string  `json:"orders"`         // every action id applied
	OriginActionIDs  []string  `json:"past,omitempty"` // those of the first of the family, whose evidence stays
	Since            time.Time `json:"since"`
	FrozenAt         time.Time `json:"frozen_at,omitzero"`
	HeldAt           time.Time `json:"held_at,omitzero"`
	Reapplied        int       `json:"reapplied,omitempty"`
	ReportedAt       time.Time `json:"reported_at,omitzero"`  // when re-applying was reported last
	Evidence         string    `json:"evidence,omitempty"`    // folder of the newest order's evidence, below data_dir
	Replaces         string    `json:"replaces,omitempty"`    // id of the container this one was made anew from
	Origin           string    `json:"origin,omitempty"`      // id of the first such; empty if it is the first
	Gone             time.Time `json:"gone,omitzero"`         // the container was removed; its compose service is still held
	Error            string    `json:"error,omitempty"`       // of the newest attempt
	Severed          bool      `json:"severed,omitempty"`     // release: old connections are destroyed
	NeedsStart       bool      `json:"needs_start,omitempty"` // release: was killed, is to be started
	ReleaseReason    string    `json:"release_reason,omitempty"`
	ReleaseID        string    `json:"release_id,omitempty"`
	ReleaseRequested time.Time `json:"release_from,omitzero"`
}

const entryVersion = 1

// maxOrders bounds the orders remembered for one container.
const maxOrders = 256

func newEntry(o Order) *Entry {
	want, _ := o.Kind.Restrictions()
	if o.want != nil {
		want = want.and(*o.want)
	}
	return &Entry{
		Version: entryVersion, Order: o, Want: want, State: Applying, Before: o.Container,
		ActionIDs: []string{o.ActionID}, Since: o.Ordered, Replaces: o.Replaces, Origin: o.origin, OriginActionIDs: o.past,
	}
}

// capture remembers what a container is like before anything is done to it.
func (e *Entry) capture(now docker.Container) { e.Before, e.Captured = now, true }

// learn takes in what came to a container that was still being made when it was
// captured, and tells whether there was anything: Compose creates a container,
// connects it network by network, and then starts it.
func (e *Entry) learn(now docker.Container) bool {
	if !e.Captured || e.Before.State != stateCreated {
		return false
	}
	learnt := false
	networks := slices.Clone(e.Before.Networks)
	for _, n := range cuttable(now) {
		i := slices.IndexFunc(networks, func(b docker.Endpoint) bool { return b.Network == n.Network })
		if i < 0 {
			i, networks = len(networks), append(networks, docker.Endpoint{})
		}
		learnt = learnt || !reflect.DeepEqual(networks[i], n)
		networks[i] = n
	}
	e.Before.Networks = networks
	if now.Running {
		e.Before.State, e.Before.Running, learnt = now.State, true, true
	}
	return learnt
}

// stateCreated is that of a container that was never started.
const stateCreated = "created"

// has tells whether an order was taken already.
func (e *Entry) has(actionID string) bool { return slices.Contains(e.ActionIDs, actionID) }

// add takes a further order and tells whether there is something to do: what is
// wanted only grows, and it lasts as long as the longer of both.
func (e *Entry) add(o Order) bool {
	want, _ := o.Kind.Restrictions()
	grown := e.Want.and(want)
	expires := longer(e.Order.Expires, o.Expires)
	prior := e.clone()
	e.ActionIDs = append(e.ActionIDs, o.ActionID)
	e.ActionIDs = e.ActionIDs[max(0, len(e.ActionIDs)-maxOrders):]
	more := grown != e.Want || e.State == Releasing
	if more {
		prior.Before = docker.Container{}
		e.Previous = &prior // of which there are few, for each wants more than the one before
		e.Want, e.State, e.Order, e.Step = grown, Applying, o, StepIntent
		e.HeldAt, e.Severed, e.NeedsStart, e.ReleaseReason, e.ReleaseID = time.Time{}, false, false, "", ""
	}
	e.Order.Expires = expires
	return more
}

// begin notes that something is done for the newest order.
func (e *Entry) begin() { e.Begun, e.Previous = true, nil }

// untouched tells that nothing was done for the newest order.
func (e *Entry) untouched() bool { return e.State == Applying && (!e.Begun || e.Previous != nil) }

// showsBegun tells that something was done by what entries had before they had Begun.
func (e *Entry) showsBegun() bool {
	switch e.Step {
	case "", StepIntent, StepFreeze: // nothing, or for the newest order only
		return !e.FrozenAt.IsZero() || !e.HeldAt.IsZero() || e.Evidence != ""
	}
	return true
}

// frozeUnnoted tells that the freeze was done, and the guard ended before it noted so.
func (e *Entry) frozeUnnoted(now docker.Container) bool {
	return e.untouched() && e.Step == StepFreeze && now.Paused && !e.Before.Paused
}

// giveUp takes the newest order back and tells whether there was one before it.
func (e *Entry) giveUp() bool {
	if e.Previous == nil {
		return false
	}
	before, orders := e.Before, e.ActionIDs
	*e = *e.Previous
	e.Before, e.Order.Container, e.ActionIDs = before, before, orders
	return true
}

// longer returns the later of two expiries, of which zero is never.
func longer(a, b time.Time) time.Time {
	if a.IsZero() || b.IsZero() {
		return time.Time{}
	}
	if a.After(b) {
		return a
	}
	return b
}

// clone returns a copy that shares nothing that is changed later.
func (e *Entry) clone() Entry {
	c := *e
	c.ActionIDs = slices.Clone(e.ActionIDs)
	return c
}

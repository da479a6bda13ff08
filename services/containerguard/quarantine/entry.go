package quarantine

import (
	"reflect"
	"slices"
	"time"

	"github.com/ironpost/ironpost/internal/docker"
)

// Entry is the ledger's record of one container. Its parts are embedded, so that it is
// one flat object in the ledger's JSON.
type Entry struct {
	Version int `json:"version"`
	Desired
	Progress
	Snapshot
	Replacement
	Restoration

	// Previous is the entry, without Before, as it was before an order that nothing
	// was done for yet: what counts again if that order is dropped.
	Previous *Entry `json:"prior,omitempty"`
}

// Desired is what the orders ask for.
type Desired struct {
	Order     Order        `json:"order"` // the newest that changed Want
	Want      Restrictions `json:"want"`
	ActionIDs []string     `json:"orders"` // of every order taken
	Since     time.Time    `json:"since"`
}

// Progress is how far the orders were carried out.
type Progress struct {
	State      State     `json:"state"`
	Step       Step      `json:"step"`            // the one begun last
	Begun      bool      `json:"begun,omitempty"` // something was done to the container; a freeze counts when it is done
	FrozenAt   time.Time `json:"frozen_at,omitzero"`
	HeldAt     time.Time `json:"held_at,omitzero"`
	Evidence   string    `json:"evidence,omitempty"` // directory of the newest order's evidence, below data_dir
	Error      string    `json:"error,omitempty"`    // of the newest attempt
	Reapplied  int       `json:"reapplied,omitempty"`
	ReportedAt time.Time `json:"reported_at,omitzero"` // when Reapplied was reported last
}

// Snapshot is the container before the first step, valid once Captured.
type Snapshot struct {
	Before   docker.Container `json:"before"`
	Captured bool             `json:"captured"`
}

// Replacement says where the container stands in a chain of containers that were
// made in place of each other.
type Replacement struct {
	Replaces        string    `json:"replaces,omitempty"` // id of the container this one replaces
	Origin          string    `json:"origin,omitempty"`   // id of the first of the chain; empty if this is it
	OriginActionIDs []string  `json:"past,omitempty"`     // the first one's orders, whose evidence is spared
	Gone            time.Time `json:"gone,omitzero"`      // when it was removed; its name or service stays in quarantine
}

// Restoration is how far a release has come.
type Restoration struct {
	Severed          bool      `json:"severed,omitempty"`     // old connections are destroyed
	NeedsStart       bool      `json:"needs_start,omitempty"` // it was killed and has to be started
	ReleaseReason    string    `json:"release_reason,omitempty"`
	ReleaseOperator  string    `json:"release_operator,omitempty"` // who asked for it, for people; empty: it expired
	ReleaseID        string    `json:"release_id,omitempty"`
	ReleaseRequested time.Time `json:"release_from,omitzero"`
	Unrestored       string    `json:"unrestored,omitempty"` // what the released container lacks, such as a port; it is tried again
}

const entryVersion = 1

// newEntry returns the entry of a container's first order.
func newEntry(o Order) *Entry {
	want, _ := o.Kind.Restrictions()
	e := &Entry{Version: entryVersion}
	e.Desired = Desired{Order: o, Want: want, ActionIDs: []string{o.ActionID}, Since: o.Ordered}
	e.State, e.Before, e.Replaces = Applying, o.Container, o.Replaces
	if i := o.inherited; i != nil {
		e.Want, e.Origin, e.OriginActionIDs = want.union(i.want), i.origin, i.originActionIDs
	}
	return e
}

// AfterOrder returns the ledger's record of a container once o is carried out, after the orders of before, which is nil
// if there were none. Nothing is done to the container.
func AfterOrder(o Order, before *Entry) *Entry {
	e := before
	if e == nil {
		e = newEntry(o)
	} else {
		e.addOrder(o)
	}
	e.markBegun()
	e.State = Held
	return e
}

// capture records what a container is like before anything is done to it.
func (e *Entry) capture(now docker.Container) { e.Before, e.Captured = now, true }

// stateCreated is Docker's state of a container that was never started.
const stateCreated = "created"

// learn completes the snapshot of a container that was captured while it was being
// made: Compose creates a container, connects its networks one by one, and then starts
// it. It reports whether there was something new.
func (e *Entry) learn(now docker.Container) bool {
	if !e.Captured || e.Before.State != stateCreated {
		return false
	}
	learned := false
	networks := slices.Clone(e.Before.Networks)
	for _, n := range disconnectable(now) {
		i := slices.IndexFunc(networks, func(b docker.Endpoint) bool { return b.Network == n.Network })
		if i < 0 {
			i, networks = len(networks), append(networks, docker.Endpoint{})
		}
		learned = learned || !reflect.DeepEqual(networks[i], n)
		networks[i] = n
	}
	e.Before.Networks = networks
	if now.Running {
		e.Before.State, e.Before.Running, learned = now.State, true, true
	}
	return learned
}

// disconnectable returns the endpoints a container can be disconnected from: not the
// host's own network, and not the network "none".
func disconnectable(c docker.Container) []docker.Endpoint {
	var out []docker.Endpoint
	for _, e := range c.Networks {
		if e.Network != "host" && e.Network != "none" {
			out = append(out, e)
		}
	}
	return out
}

// disablesRestart reports whether the restart policy is switched off for e. Pausing alone
// needs that, too: dockerd kills paused containers when it stops and starts them again,
// thawed, unless the policy is no.
func (e *Entry) disablesRestart() bool {
	p := e.Before.RestartPolicy.Name
	return e.Captured && p != "" && p != "no" && (e.Want.Freeze || e.Want.Kill) && !e.Before.AutoRemove
}

// clone returns a copy that shares nothing that is changed later.
func (e *Entry) clone() Entry {
	c := *e
	c.ActionIDs = slices.Clone(e.ActionIDs)
	return c
}

package quarantine

import (
	"fmt"
	"regexp"
	"time"

	"github.com/ironpost/ironpost/internal/docker"
)

// Kind is what an order does to a container.
type Kind string

// The kinds of orders. CutEgress lets the container answer, but not begin connections. Stop
// freezes, collects evidence and then kills; Kill kills first.
const (
	CutEgress  Kind = "cut-egress"
	Pause      Kind = "pause"
	Disconnect Kind = "disconnect"
	Isolate    Kind = "isolate"
	Kill       Kind = "kill"
	Stop       Kind = "stop"
)

// Restrictions is the state a container is kept in.
type Restrictions struct {
	Freeze     bool `json:"freeze,omitempty"`     // paused, or not running
	Disconnect bool `json:"cut,omitempty"`        // on no network
	Kill       bool `json:"dead,omitempty"`       // not running
	CutEgress  bool `json:"cut_egress,omitempty"` // on its networks, but begins no connections
}

// Restrictions returns what an order of this kind asks for, and false for an unknown kind.
func (k Kind) Restrictions() (Restrictions, bool) {
	switch k {
	case CutEgress:
		return Restrictions{CutEgress: true}, true
	case Pause:
		return Restrictions{Freeze: true}, true
	case Disconnect:
		return Restrictions{Disconnect: true}, true
	case Isolate:
		return Restrictions{Freeze: true, Disconnect: true}, true
	case Kill:
		return Restrictions{Kill: true}, true
	case Stop:
		return Restrictions{Freeze: true, Kill: true}, true
	}
	return Restrictions{}, false
}

// union returns the restrictions of r and of other together.
func (r Restrictions) union(other Restrictions) Restrictions {
	return Restrictions{
		Freeze: r.Freeze || other.Freeze, Disconnect: r.Disconnect || other.Disconnect, Kill: r.Kill || other.Kill,
		CutEgress: r.CutEgress || other.CutEgress,
	}
}

// Include reports whether a container under r is restricted as other asks, too.
func (r Restrictions) Include(other Restrictions) bool {
	return (!other.Freeze || r.Freeze) && (!other.Disconnect || r.Disconnect) && (!other.Kill || r.Kill) &&
		(!other.CutEgress || r.CutEgress || r.Disconnect)
}

// cutsEgress reports whether the container keeps its networks and may not begin connections.
func (r Restrictions) cutsEgress() bool { return r.CutEgress && !r.Disconnect }

// kind returns the kind of order that asks for at least r.
func (r Restrictions) kind() Kind {
	switch {
	case r.Kill && r.Freeze:
		return Stop
	case r.Kill:
		return Kill
	case r.Freeze && r.Disconnect:
		return Isolate
	case r.Disconnect:
		return Disconnect
	case r.CutEgress && !r.Freeze:
		return CutEgress
	}
	return Pause
}

// Order asks for a container to be isolated, paused, disconnected, killed, or its egress to be cut.
type Order struct {
	ActionID  string           `json:"action_id"` // unique; letters, digits, - and _; names the evidence
	Kind      Kind             `json:"kind"`
	Container docker.Container `json:"-"` // at least the ID; the rest is for reports while Docker is away
	Policy    string           `json:"policy,omitempty"`
	AlertID   string           `json:"alert_id,omitempty"`
	TraceID   string           `json:"trace_id"`
	Reason    string           `json:"reason,omitempty"`
	Ordered   time.Time        `json:"ordered"`            // when the alert arrived; durations count from here. Zero: now
	Expires   time.Time        `json:"expires,omitzero"`   // zero: until it is released
	Deadline  time.Time        `json:"deadline,omitzero"`  // skipped if not begun by then (Docker was away). Zero: none
	Forced    bool             `json:"forced,omitempty"`   // an operator overrides the protections
	Operator  string           `json:"operator,omitempty"` // who ordered it, for people; empty: a policy

	// Replaces is the id of the quarantined container that this one was made in place
	// of. It and inherited are set by the Manager.
	Replaces  string `json:"replaces,omitempty"`
	inherited *inherited
}

// inherited is what a replacement takes over from the entry of the container it replaces.
type inherited struct {
	want            Restrictions // more than the order's kind may say
	origin          string
	originActionIDs []string
}

var validActionID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,128}$`)

func (o Order) validate() error {
	if !validActionID.MatchString(o.ActionID) {
		return fmt.Errorf("order: action id %q: want up to 128 letters, digits, - and _", o.ActionID)
	}
	if !docker.ValidID(o.Container.ID) {
		return fmt.Errorf("order %s: %q is not a full container id", o.ActionID, o.Container.ID)
	}
	if _, known := o.Kind.Restrictions(); !known {
		return fmt.Errorf("order %s: kind %q is none of cut-egress, pause, disconnect, isolate, kill, stop", o.ActionID, o.Kind)
	}
	return nil
}

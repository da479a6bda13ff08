package quarantine

import (
	"fmt"
	"regexp"
	"time"

	"github.com/ironpost/ironpost/internal/docker"
)

// Kind is what is to be done to a container.
type Kind string

// The kinds. Stop freezes, keeps evidence and then kills; Kill kills first.
const (
	Pause      Kind = "pause"
	Disconnect Kind = "disconnect"
	Isolate    Kind = "isolate"
	Kill       Kind = "kill"
	Stop       Kind = "stop"
)

// Restrictions is the state a container is held in.
type Restrictions struct {
	Freeze     bool `json:"freeze,omitempty"` // paused, or not running
	Disconnect bool `json:"cut,omitempty"`    // on no network
	Kill       bool `json:"dead,omitempty"`   // not running
}

// Restrictions returns the state a kind stands for, and whether there is such a kind.
func (k Kind) Restrictions() (Restrictions, bool) {
	switch k {
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

// and returns what satisfies both.
func (w Restrictions) and(other Restrictions) Restrictions {
	return Restrictions{Freeze: w.Freeze || other.Freeze, Disconnect: w.Disconnect || other.Disconnect, Kill: w.Kill || other.Kill}
}

// Order asks for a container to be held.
type Order struct {
	ActionID  string           `json:"action_id"` // unique; letters, digits, - and _; names the evidence
	Kind      Kind             `json:"kind"`
	Container docker.Container `json:"-"` // at least the ID; the rest is for reports while the engine is away
	Policy    string           `json:"policy,omitempty"`
	AlertID   string           `json:"alert_id,omitempty"`
	TraceID   string           `json:"trace_id"`
	Reason    string           `json:"reason,omitempty"`
	Ordered   time.Time        `json:"ordered"`           // when the alert arrived; durations count from here. Zero: now
	Expires   time.Time        `json:"expires,omitzero"`  // zero: until somebody releases it
	Deadline  time.Time        `json:"deadline,omitzero"` // not begun by then (the engine was away): skipped. Zero: none
	Forced    bool             `json:"forced,omitempty"`  // a person overrides the protections
	want      *Restrictions    // set by the Manager: more than the kind says
	origin    string           // set by the Manager, with Replaces
	past      []string         // likewise

	Replaces string `json:"replaces,omitempty"` // set by the Manager for a container made anew in place of another: that one's id
}

var actionID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,128}$`)

func (o Order) validate() error {
	if !actionID.MatchString(o.ActionID) {
		return fmt.Errorf("order: action id %q: want up to 128 letters, digits, - and _", o.ActionID)
	}
	if !docker.ValidID(o.Container.ID) {
		return fmt.Errorf("order %s: %q is not a full container id", o.ActionID, o.Container.ID)
	}
	if _, known := o.Kind.Restrictions(); !known {
		return fmt.Errorf("order %s: kind %q is none of pause, disconnect, isolate, kill, stop", o.ActionID, o.Kind)
	}
	return nil
}

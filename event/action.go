package event

import (
	"fmt"
	"time"
)

// Phase is the progress of an action.
type Phase string

// The phases of an action. Every action starts as Intended, reported before it is
// carried out; each other phase is the outcome of a step.
const (
	Intended Phase = "intended"
	Done     Phase = "done"
	Failed   Phase = "failed"
	Skipped  Phase = "skipped"
	Released Phase = "released"
)

// Action is one thing that was done, or not done, about an alert. Kind is one of cut-egress,
// pause, disconnect, isolate, kill, stop, block-source, notify, release, accept-feed, and evidence,
// which is reported only if it failed. Operator is who asked for it, as the bus proves; empty of what a policy did.
type Action struct {
	ID         string     `json:"id"`
	Schema     int        `json:"schema"`
	TraceID    string     `json:"trace_id"`
	Time       time.Time  `json:"time"`
	Module     string     `json:"module"`
	Host       string     `json:"host"`
	AlertID    string     `json:"alert_id,omitempty"`
	Policy     string     `json:"policy,omitempty"`
	Operator   string     `json:"operator,omitempty"`
	Kind       string     `json:"kind"`
	Target     string     `json:"target"`
	Container  *Container `json:"container,omitempty"`
	Phase      Phase      `json:"phase"`
	DryRun     bool       `json:"dry_run,omitempty"`
	Reason     string     `json:"reason,omitempty"`
	Error      string     `json:"error,omitempty"`
	DurationMS int64      `json:"duration_ms,omitempty"`
	Undo       string     `json:"undo,omitempty"`
	ExpiresAt  *time.Time `json:"expires_at,omitempty"`
}

// Meta implements Record.
func (a *Action) Meta() Meta {
	return Meta{ID: a.ID, Schema: a.Schema, TraceID: a.TraceID, Rule: a.Policy}
}

// Validate returns the first reason why a is not a valid action.
func (a *Action) Validate() error {
	return firstError(
		validMeta(a.Meta(), a.Time),
		required("module", a.Module),
		required("host", a.Host),
		required("kind", a.Kind),
		required("target", a.Target),
		a.Phase.validate(),
	)
}

func (p Phase) validate() error {
	switch p {
	case Intended, Done, Failed, Skipped, Released:
		return nil
	}
	return fmt.Errorf("phase %q is none of intended, done, failed, skipped, released", string(p))
}

func (a *Action) clamp() {
	a.Operator = Shorten(a.Operator, maxName)
	a.Target = Shorten(a.Target, maxText)
	a.Reason = Shorten(a.Reason, maxText)
	a.Error = Shorten(a.Error, maxText)
	a.Undo = Shorten(a.Undo, maxText)
}

func (a *Action) dropDetail() bool { return false }

package event

import "time"

// ObservedAlert is what observers, whom no key proves, see of an alert: what happened where, without the text of a log, the
// names in it, and what it led to.
type ObservedAlert struct {
	ID        string     `json:"id"`
	Schema    int        `json:"schema"`
	Time      time.Time  `json:"time"`
	FirstSeen time.Time  `json:"first_seen"`
	LastSeen  time.Time  `json:"last_seen"`
	Received  time.Time  `json:"received,omitzero"`
	Count     int        `json:"count"`
	Update    bool       `json:"update,omitempty"`
	Module    string     `json:"module"`
	Host      string     `json:"host"`
	Rule      Rule       `json:"rule"`
	Severity  Severity   `json:"severity"`
	Title     string     `json:"title"`
	Source    *Endpoint  `json:"source,omitempty"`
	Target    *Endpoint  `json:"target,omitempty"`
	Container *Container `json:"container,omitempty"`
	Series    string     `json:"series,omitempty"`
	Revision  int        `json:"revision,omitempty"`
	State     string     `json:"state,omitempty"`
	Escalated bool       `json:"escalated,omitempty"`
	Trust     Trust      `json:"trust,omitempty"`
}

// Observed returns what observers see of a.
func (a *Alert) Observed() *ObservedAlert {
	return &ObservedAlert{
		ID: a.ID, Schema: a.Schema, Time: a.Time, FirstSeen: a.FirstSeen, LastSeen: a.LastSeen, Received: a.Received, Count: a.Count, Update: a.Update,
		Module: a.Module, Host: a.Host, Rule: a.Rule, Severity: a.Severity, Title: a.Title, Source: a.Source, Target: a.Target, Container: a.Container,
		Series: a.Series, Revision: a.Revision, State: a.State, Escalated: a.Escalated, Trust: a.Trust,
	}
}

// ObservedAction is what observers see of an action: without its reason and error, which quote logs and programs, and without
// the operator.
type ObservedAction struct {
	ID         string     `json:"id"`
	Schema     int        `json:"schema"`
	Time       time.Time  `json:"time"`
	Module     string     `json:"module"`
	Host       string     `json:"host"`
	AlertID    string     `json:"alert_id,omitempty"`
	Policy     string     `json:"policy,omitempty"`
	Kind       string     `json:"kind"`
	Target     string     `json:"target"`
	Container  *Container `json:"container,omitempty"`
	Phase      Phase      `json:"phase"`
	DryRun     bool       `json:"dry_run,omitempty"`
	DurationMS int64      `json:"duration_ms,omitempty"`
	ExpiresAt  *time.Time `json:"expires_at,omitempty"`
}

// Observed returns what observers see of a.
func (a *Action) Observed() *ObservedAction {
	return &ObservedAction{
		ID: a.ID, Schema: a.Schema, Time: a.Time, Module: a.Module, Host: a.Host, AlertID: a.AlertID, Policy: a.Policy, Kind: a.Kind, Target: a.Target,
		Container: a.Container, Phase: a.Phase, DryRun: a.DryRun, DurationMS: a.DurationMS, ExpiresAt: a.ExpiresAt,
	}
}

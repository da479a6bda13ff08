package containerguard

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/services/containerguard/policy"
)

// The outcomes of simulated steps.
const (
	SimulatedAct         = "act"
	SimulatedIfConnected = "act_if_connected" // if the kernel saw the address connect to the service or the container
	SimulatedProposed    = "proposed"         // the trust of the alert does not bear it
	SimulatedWaits       = "waits"            // for its time, or for an operator
	SimulatedDryRun      = "dry_run"          // the policy says so
	SimulatedSkip        = "skip"
)

// SimulatedStep is what one policy does to one target on one host, by all its alerts of one outcome and reason.
type SimulatedStep struct {
	Host      string           `json:"host"`
	Policy    string           `json:"policy"`
	Action    string           `json:"action"`
	Target    string           `json:"target"`
	Container *event.Container `json:"container,omitempty"`
	Outcome   string           `json:"outcome"`
	Reason    string           `json:"reason,omitempty"`
	Alerts    int              `json:"alerts"`
	Alert     string           `json:"first_alert"`
	First     time.Time        `json:"first"`
	Last      time.Time        `json:"last"`
	Until     time.Time        `json:"until,omitzero"`
	Seconds   int64            `json:"seconds,omitempty"`
	HostOnly  bool             `json:"host_only,omitempty"`
	Rate      int              `json:"rate,omitempty"`
}

// stepList is a bounded list of steps.
type stepList struct {
	byKey    map[string]*SimulatedStep
	blocks   map[string]*SimulatedStep // those in force, and some that ended, by host and key of the blocklist
	outcomes map[string]int            // of steps, by outcome
	unlisted int                       // steps for which there was no room
}

func newStepList() stepList {
	return stepList{byKey: map[string]*SimulatedStep{}, blocks: map[string]*SimulatedStep{}, outcomes: map[string]int{}}
}

// add notes the verdict v about the step s because of a. until is when what is done ends, zero if nothing ends it.
func (l *stepList) add(a *event.Alert, d decision, s step, v verdict, now, until time.Time) {
	outcome, reason := simulatedOutcome(s, v)
	l.outcomes[outcome]++
	yielded := a.Host + "|" + v.yields
	if old := l.blocks[yielded]; v.yields != "" && old != nil {
		old.shorten(now)
		delete(l.blocks, yielded)
	}
	r := l.row(a, d, s, v, outcome, reason, now)
	if r == nil {
		l.unlisted++
		return
	}
	r.Alerts++
	r.Last = now.UTC()
	if v.outcome != outcomeAct || s.kind == policy.Notify {
		return
	}
	r.extend(now, until)
	if s.kind == policy.BlockSource {
		l.blocks[a.Host+"|"+v.block.Key()] = r
	}
}

// row returns the row of a step, nil if there is no room for a new one.
func (l *stepList) row(a *event.Alert, d decision, s step, v verdict, outcome, reason string, now time.Time) *SimulatedStep {
	target := s.target
	if s.container.ID != "" && (a.Container == nil || a.Container.ID == "") {
		target = namedTarget(a) // its id is not known
	}
	hostOnly := v.block.Hosts != ""
	key := strings.Join([]string{a.Host, d.policy.ID, string(s.kind), target, outcome, withoutDigits(reason)}, "\x00")
	if hostOnly {
		key += "\x00"
	}
	r := l.byKey[key]
	if r != nil || len(l.byKey) >= maxSimulatedSteps {
		return r
	}
	r = &SimulatedStep{
		Host: a.Host, Policy: d.policy.ID, Action: string(s.kind), Target: target, Outcome: outcome, Reason: reason,
		Alert: a.ID, First: now.UTC(), HostOnly: hostOnly, Rate: v.block.Scope.Rate,
	}
	if s.kind.OnContainer() && a.Container != nil {
		named := *a.Container
		r.Container = &named
	}
	l.byKey[key] = r
	return r
}

func simulatedOutcome(s step, v verdict) (outcome, reason string) {
	switch {
	case v.outcome == outcomeAct && s.assumed:
		return SimulatedIfConnected, ""
	case v.outcome == outcomeAct:
		return SimulatedAct, ""
	case s.need == needTime:
		return SimulatedWaits, "the policy does it later"
	case s.need == needApproval:
		return SimulatedWaits, "an operator is asked"
	case v.outcome == outcomeDryRun && s.need != "":
		return SimulatedProposed, strings.TrimPrefix(s.reason, proposedOnly)
	case v.outcome == outcomeDryRun:
		return SimulatedDryRun, cmp.Or(v.reason, "the policy says dry_run = true")
	}
	return SimulatedSkip, v.reason
}

// extend notes that what is done from now lasts until then. What is in force already is never shortened.
func (r *SimulatedStep) extend(now, until time.Time) {
	if until.IsZero() {
		r.Until, r.Seconds = time.Time{}, 0
		return
	}
	from := now
	if r.Until.After(now) {
		from = r.Until
	}
	if until.After(from) {
		r.Seconds += int64(until.Sub(from) / time.Second)
		r.Until = until.UTC()
	}
}

// shorten notes that what is done ends now.
func (r *SimulatedStep) shorten(now time.Time) {
	if r.Until.After(now) {
		r.Seconds -= int64(r.Until.Sub(now) / time.Second)
		r.Until = now.UTC()
	}
}

// sorted returns the rows by time.
func (l *stepList) sorted() []SimulatedStep {
	out := make([]SimulatedStep, 0, len(l.byKey))
	for _, r := range l.byKey {
		out = append(out, *r)
	}
	slices.SortFunc(out, func(a, b SimulatedStep) int {
		return cmp.Or(a.First.Compare(b.First), cmp.Compare(a.Host, b.Host), cmp.Compare(a.Policy, b.Policy), cmp.Compare(a.Action, b.Action), cmp.Compare(a.Target, b.Target))
	})
	return out
}

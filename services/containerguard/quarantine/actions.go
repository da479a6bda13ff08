package quarantine

import (
	"strings"
	"time"

	"github.com/ironpost/ironpost/event"
)

// moduleName is the module of the reported actions.
const moduleName = "container-guard"

// actions collects what an attempt has to report, so that reporting a step never
// delays the next one. Ids follow from the order: an attempt made again reports the same.
type actions struct {
	host string
	list []event.Action
}

// add adds an action about e; change fills in what differs.
func (r *actions) add(e *Entry, kind string, phase event.Phase, change func(*event.Action)) {
	c := e.Before
	a := event.Action{
		Schema: event.Schema, TraceID: e.Order.TraceID, Time: time.Now().UTC(), Module: moduleName, Host: r.host,
		AlertID: e.Order.AlertID, Policy: e.Order.Policy, Operator: e.Order.Operator, Kind: kind, Target: "container:" + c.ID[:12], Phase: phase,
		Container: &event.Container{ID: c.ID, Name: c.Name, Image: c.Image}, Reason: e.Order.Reason,
	}
	if !e.Order.Expires.IsZero() {
		expires := e.Order.Expires.UTC()
		a.ExpiresAt = &expires
	}
	change(&a)
	if a.ID == "" {
		a.ID = event.ID(e.Order.ActionID, kind, string(phase))
	}
	r.list = append(r.list, a)
}

// reportOrder reports how the order ended, at a time; its duration counts from the alert's arrival.
func (a *attempt) reportOrder(phase event.Phase, at time.Time, err error) {
	a.actions.add(a.e, string(a.e.Order.Kind), phase, func(r *event.Action) {
		r.DurationMS, r.Undo = a.millisecondsUntil(at), undo(a.e)
		if a.remark != "" {
			r.Reason += "; " + a.remark
		}
		if err != nil {
			r.Error = err.Error()
		}
	})
}

// reportPart reports that one part of an order with several was done at a time.
func (a *attempt) reportPart(part Kind, at time.Time) {
	if a.e.Order.Kind == part || at.Before(a.e.Order.Ordered) { // an earlier order did it
		return
	}
	a.actions.add(a.e, string(part), event.Done, func(r *event.Action) { r.DurationMS = a.millisecondsUntil(at) })
}

func (a *attempt) millisecondsUntil(at time.Time) int64 {
	return at.Sub(a.e.Order.Ordered).Milliseconds()
}

// undo says what a release will restore.
func undo(e *Entry) string {
	var parts []string
	if e.Want.Freeze {
		parts = append(parts, "unpause")
	}
	if e.Want.CutEgress {
		parts = append(parts, "allow outgoing connections")
	}
	if e.Want.Disconnect {
		for _, n := range disconnectable(e.Before) {
			parts = append(parts, "connect "+n.Network)
		}
	}
	if p := e.Before.RestartPolicy.Name; e.disablesRestart() && p != "" {
		parts = append(parts, "restart policy "+p)
	}
	if e.Want.Kill && e.Before.Running {
		parts = append(parts, "start")
	}
	return strings.Join(parts, ", ")
}

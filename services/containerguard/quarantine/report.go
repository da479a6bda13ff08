package quarantine

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"time"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/docker"
)

// moduleName is the module that reports.
const moduleName = "container-guard"

// reports collects the actions of one run through the steps, so that telling
// about a step never delays the next one. Their ids follow from the order, so a
// run that is begun again reports the same.
type reports struct {
	host string
	list []event.Action
}

// add begins an action about e.
func (r *reports) add(e *Entry, kind string, phase event.Phase, change func(*event.Action)) {
	c := e.Before
	a := event.Action{
		Schema: event.Schema, TraceID: e.Order.TraceID, Time: time.Now().UTC(), Module: moduleName, Host: r.host,
		AlertID: e.Order.AlertID, Policy: e.Order.Policy, Kind: kind, Target: "container:" + c.ID[:12], Phase: phase,
		Container: &event.Container{ID: c.ID, Name: c.Name, Image: c.Image}, Reason: e.Order.Reason,
	}
	if !e.Order.Expires.IsZero() {
		expires := e.Order.Expires.UTC()
		a.ExpiresAt = &expires
	}
	if change != nil {
		change(&a)
	}
	if a.ID == "" {
		a.ID = actionRecordID(e.Order.ActionID, kind, string(phase))
	}
	r.list = append(r.list, a)
}

// actionRecordID makes the id of one report of an order.
func actionRecordID(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:16])
}

// undo says what a release will give back.
func undo(e *Entry) string {
	var parts []string
	if e.Want.Freeze {
		parts = append(parts, "unpause")
	}
	if e.Want.Disconnect {
		for _, n := range cuttable(e.Before) {
			parts = append(parts, "connect "+n.Network)
		}
	}
	if p := e.Before.RestartPolicy.Name; changesRestart(e) && p != "" {
		parts = append(parts, "restart policy "+p)
	}
	if e.Want.Kill && e.Before.Running {
		parts = append(parts, "start")
	}
	return strings.Join(parts, ", ")
}

// cuttable returns the endpoints that can be disconnected: not the host's own
// network, and not the network called none, which is none.
func cuttable(c docker.Container) []docker.Endpoint {
	var out []docker.Endpoint
	for _, e := range c.Networks {
		if e.Network != "host" && e.Network != "none" {
			out = append(out, e)
		}
	}
	return out
}

// changesRestart tells whether the restart policy is switched off for e: pausing
// alone needs it too, for dockerd ends paused containers when it stops and
// starts them again, thawed, unless the policy is no.
func changesRestart(e *Entry) bool {
	p := e.Before.RestartPolicy.Name
	return e.Captured && p != "" && p != "no" && (e.Want.Freeze || e.Want.Kill) && !e.Before.AutoRemove
}

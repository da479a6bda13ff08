package inventory

import (
	"slices"
	"strings"
	"time"

	"github.com/ironpost/ironpost/internal/docker"
)

// Apply takes an event into account. Events may come late, twice, and before or after
// the inspections that show their effect. An event from before an inspection can tell
// more exactly when something began; one from after it ends windows and makes the
// container stale.
func (c *Core) Apply(e docker.Event) {
	if e.Container == "" {
		return
	}
	if r := c.records[e.Container]; r != nil && !r.gone.IsZero() {
		return // late: the container has been removed
	}
	if e.Kind == "network" {
		c.applyNetwork(e)
		return
	}
	c.applyContainer(e)
}

func (c *Core) applyContainer(e docker.Event) {
	switch e.Action {
	case "create", "start", "restart", "stop", "die", "kill", "oom", "unpause", "rename", "update", "destroy":
	default:
		// An exec or a health check in every container every few seconds changes nothing
		// here. Nor does a pause, and when fifty containers are frozen at once, fifty
		// inspections would delay the last.
		return
	}
	r := c.record(e.Container)
	if !r.inspected {
		r.now.Name, r.now.Image = e.Name, e.Image
		if e.Action == "create" {
			r.now.Created = e.Time
			r.openName(e.Name, e.Time, e.Time)
		}
	}
	switch e.Action {
	case "die":
		r.died(e.Time)
	case "rename":
		r.renamed(e)
	case "destroy":
		r.died(e.Time)
		for _, n := range r.names {
			n.endAt(e.Time)
		}
		c.markGone(r, e.Time, e.Time)
		return
	}
	r.markEvent(e.Time)
}

func (c *Core) applyNetwork(e docker.Event) {
	if e.Action != "connect" && e.Action != "disconnect" {
		return
	}
	r := c.record(e.Container)
	if e.Action == "connect" {
		r.connected(e.NetworkID, e.Time)
	}
	for _, l := range r.leases {
		switch {
		case l.network != e.NetworkID || !l.open():
		case e.Time.Before(r.inspectedAt): // the inspection shows the lease open, so it began after this
			l.notBefore(e.Time)
		default:
			l.endAt(e.Time)
		}
	}
	r.markEvent(e.Time)
}

// markEvent makes the record stale unless the newest inspection was requested after at.
func (r *record) markEvent(at time.Time) {
	r.lastEvent = later(r.lastEvent, at)
	r.stale = !r.lastEvent.Before(r.inspectedAt)
}

// died ends what only a running container has. A lease that a later inspection shows
// open began after that.
func (r *record) died(at time.Time) {
	for _, w := range r.runs {
		w.endAt(at)
	}
	for _, l := range r.leases {
		if !at.Before(r.inspectedAt) {
			l.endAt(at)
		}
	}
}

// renamed ends the old name and opens the new one. After a rename from before the newest
// inspection the name that this shows was taken at that rename, or later.
func (r *record) renamed(e docker.Event) {
	if e.Time.Before(r.inspectedAt) {
		for _, n := range r.names {
			if n.open() {
				n.notBefore(e.Time)
			}
		}
		return
	}
	old := strings.TrimPrefix(e.Attributes["oldName"], "/")
	known := slices.ContainsFunc(r.names, func(n *name) bool { return n.text == old && n.open() })
	if old != "" && !known { // it is known only because it was given up
		r.names = append(r.names, &name{text: old, window: window{possibleFrom: r.now.Created, certainFrom: e.Time, certainTo: e.Time, possibleTo: e.Time}})
	}
	for _, n := range r.names {
		if n.text != e.Name {
			n.endAt(e.Time)
		} else if n.open() { // an inspection has shown the new name before its event came
			n.notBefore(e.Time)
		}
	}
	r.now.Name = e.Name
	r.openName(e.Name, e.Time, e.Time)
}

// openName opens a window for a name unless one is open.
func (r *record) openName(text string, possibleFrom, certainFrom time.Time) {
	if text == "" || slices.ContainsFunc(r.names, func(n *name) bool { return n.text == text && n.open() }) {
		return
	}
	r.names = append(r.names, &name{window: openWindow(possibleFrom, certainFrom), text: text})
}

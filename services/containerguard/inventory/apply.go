package inventory

import (
	"slices"
	"strings"
	"time"

	"github.com/ironpost/ironpost/internal/docker"
)

// Apply takes an event into account. Events may come late, twice, or before or
// after the answers that already show their effect: an event from before the
// container was asked about can narrow down when something began, and one from
// after closes what it ends and makes the container stale.
func (c *Core) Apply(e docker.Event) {
	if e.Container == "" {
		return
	}
	r := c.records[e.Container]
	if r != nil && !r.gone.IsZero() {
		return // nothing happens to what is gone: a late event
	}
	if e.Kind == "network" {
		c.applyNetwork(e)
		return
	}
	c.applyContainer(e)
}

func (c *Core) applyContainer(e docker.Event) {
	if !isRelevant(e.Action) {
		return
	}
	r := c.record(e.Container)
	if !r.inspected {
		r.fillFromEvent(e)
	}
	switch e.Action {
	case "die":
		r.died(e.Time)
	case "rename":
		r.renamed(e)
	case "destroy":
		r.died(e.Time)
		for i := range r.names {
			r.names[i].endAt(e.Time)
		}
		c.markGone(r, e.Time, e.Time)
		return
	}
	r.markEvent(e.Time)
}

// isRelevant tells which of a container's events matter here: an exec or a health
// check in every container every few seconds does not. Nor does a pause: it
// changes nobody's address, name or process, and when fifty containers are frozen
// at once, fifty questions would delay the last.
func isRelevant(action string) bool {
	switch action {
	case "create", "start", "restart", "stop", "die", "kill", "oom", "unpause", "rename", "update", "destroy":
		return true
	}
	return false
}

// fillFromEvent fills what an event says about a container nobody was asked about yet.
func (r *record) fillFromEvent(e docker.Event) {
	r.now.Name, r.now.Image = e.Name, e.Image
	if e.Action == "create" {
		r.now.Created = e.Time
		r.openName(e.Name, e.Time, e.Time)
	}
}

// markEvent makes the record stale unless the newest answer was asked for after at.
func (r *record) markEvent(at time.Time) {
	r.lastEvent = later(r.lastEvent, at)
	r.stale = !r.lastEvent.Before(r.inspectedAt)
}

func (r *record) died(at time.Time) {
	for i := range r.runs {
		r.runs[i].endAt(at)
	}
	for i := range r.leases {
		if !r.leases[i].shownAfter(r, at) {
			r.leases[i].endAt(at)
		}
	}
}

// shownAfter tells that an answer asked for after at shows the lease open, so
// that what happened at that time cannot have ended it.
func (l *lease) shownAfter(r *record, at time.Time) bool { return l.open() && at.Before(r.inspectedAt) }

// renamed ends the old name and begins the new one, unless the newest answer
// shows a name from after this.
func (r *record) renamed(e docker.Event) {
	if e.Time.Before(r.inspectedAt) {
		r.narrowName(e)
		return
	}
	r.addPastName(strings.TrimPrefix(e.Attributes["oldName"], "/"), e.Time)
	for i := range r.names {
		n := &r.names[i]
		if n.name != e.Name {
			n.endAt(e.Time)
		} else if n.open() { // an answer has shown the new name before its event came
			n.began(e.Time)
		}
	}
	r.now.Name = e.Name
	r.openName(e.Name, e.Time, e.Time)
}

// addPastName remembers a name that is known only because it was given up.
func (r *record) addPastName(text string, until time.Time) {
	known := slices.ContainsFunc(r.names, func(n name) bool { return n.name == text && n.open() })
	if known || text == "" {
		return
	}
	r.names = append(r.names, name{name: text, window: window{since: r.now.Created, from: until, to: until, until: until}})
}

// narrowName uses a rename from before the newest answer: the name shown then
// was taken at that rename, if it is the same, or later.
func (r *record) narrowName(e docker.Event) {
	for i := range r.names {
		if n := &r.names[i]; n.open() {
			n.began(e.Time)
		}
	}
}

// openName opens a window for a name unless it is open already.
func (r *record) openName(text string, since, from time.Time) {
	if text == "" {
		return
	}
	for i := range r.names {
		if r.names[i].open() && r.names[i].name == text {
			return
		}
	}
	r.names = append(r.names, name{window: opened(since, from), name: text})
}

func (c *Core) applyNetwork(e docker.Event) {
	if e.Action != "connect" && e.Action != "disconnect" {
		return
	}
	r := c.record(e.Container)
	if e.Action == "connect" && e.Time.After(r.connects[e.NetworkID]) {
		r.connects[e.NetworkID] = e.Time
	}
	for i := range r.leases {
		l := &r.leases[i]
		if l.network != e.NetworkID || !l.open() {
			continue
		}
		if l.shownAfter(r, e.Time) { // it began at the newest event before the answer, or later
			l.began(e.Time)
			continue
		}
		l.endAt(e.Time)
	}
	r.markEvent(e.Time)
}

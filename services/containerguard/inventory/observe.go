package inventory

import (
	"net/netip"
	"time"

	"github.com/ironpost/ironpost/internal/docker"
)

// Observe takes an answer of the engine about one container into account: it
// was asked for at asked and came at answered. Answers must come in the order
// they were asked for.
func (c *Core) Observe(now docker.Container, asked, answered time.Time) {
	r := c.record(now.ID)
	if !r.gone.IsZero() || asked.Before(r.inspectedAt) {
		return
	}
	before := r.lastInspectedOr(now.Created)
	if !c.knownUntil.IsZero() {
		r.endNames(before, answered)
	}
	r.observeName(now, answered, before)
	r.observeRun(now, answered, before)
	r.observeLeases(now, asked, answered, before)
	r.now, r.inspected, r.inspectedAt = now, true, asked
	r.stale = !r.lastEvent.Before(asked)
}

// Removed says that the engine, asked at asked, does not know the container.
func (c *Core) Removed(id string, answered time.Time) {
	if r := c.records[id]; r != nil {
		c.markGone(r, r.lastInspectedOr(answered), answered)
	}
}

// lastInspectedOr is when the last answer was asked for, up to which the state of then is certain.
func (r *record) lastInspectedOr(otherwise time.Time) time.Time {
	if r.inspected {
		return r.inspectedAt
	}
	return otherwise
}

func (r *record) observeName(now docker.Container, answered, before time.Time) {
	for i := range r.names {
		if r.names[i].name != now.Name {
			r.names[i].end(before, answered)
		}
	}
	r.openName(now.Name, later(now.Created, r.lastNameEnd()), answered)
}

// endNames ends what was seen before, while events are not heard: unlike an
// endpoint or a start, a name that is there again does not show whether it was
// there all the time.
func (r *record) endNames(before, answered time.Time) {
	for i := range r.names {
		r.names[i].end(before, answered)
	}
}

func (r *record) lastNameEnd() time.Time {
	var last time.Time
	for i := range r.names {
		if !r.names[i].open() {
			last = later(last, r.names[i].to)
		}
	}
	return last
}

func (r *record) observeRun(now docker.Container, answered, before time.Time) {
	same := false
	for i := range r.runs {
		w := &r.runs[i]
		if !w.open() {
			continue
		}
		if now.Running && w.pid == now.PID && w.started.Equal(now.StartedAt) {
			same = true
			continue
		}
		w.end(before, answered)
	}
	if now.Running && !same && now.PID > 0 {
		r.runs = append(r.runs, run{window: opened(now.StartedAt, now.StartedAt), pid: now.PID, started: now.StartedAt})
	}
}

func (r *record) observeLeases(now docker.Container, asked, answered, before time.Time) {
	shown := map[string]bool{}
	forEachAddress(now, func(e docker.Endpoint, a netip.Addr) { shown[e.ID+a.String()] = true })
	for i := range r.leases {
		if l := &r.leases[i]; l.open() && !shown[l.endpoint+l.address.String()] {
			l.end(before, answered)
		}
	}
	forEachAddress(now, func(e docker.Endpoint, a netip.Addr) { r.openLease(now, e, a, asked, answered) })
}

// forEachAddress visits every address a running container has.
func forEachAddress(now docker.Container, visit func(docker.Endpoint, netip.Addr)) {
	if !now.Running {
		return
	}
	for _, e := range now.Networks {
		for _, a := range []netip.Addr{e.IPv4, e.IPv6} {
			if a.IsValid() {
				visit(e, a)
			}
		}
	}
}

// openLease opens a lease unless it is open. It is certain from the answer on, and
// possible since the start, the question before, which did not show it, the end
// of the one before, or the newest connect event known: there may be more on their way.
func (r *record) openLease(now docker.Container, e docker.Endpoint, address netip.Addr, asked, answered time.Time) {
	since := now.StartedAt
	if r.inspected {
		since = later(since, r.inspectedAt)
	}
	for i := range r.leases {
		l := &r.leases[i]
		if l.endpoint == e.ID && l.address == address && l.open() {
			return
		}
		if l.network == e.NetworkID {
			since = later(since, l.to)
		}
	}
	if at := r.connects[e.NetworkID]; at.Before(asked) {
		since = later(since, at)
	}
	r.leases = append(r.leases, lease{window: opened(since, answered), address: address, network: e.NetworkID, endpoint: e.ID})
}

// EventsCompleteSince says that every event since that time has been applied, up to MinSlack
// after the newest answer, so a lease whose begin no event tells began before, or
// at the container's start.
func (c *Core) EventsCompleteSince(since time.Time) {
	for _, r := range c.records {
		for i := range r.leases {
			l := &r.leases[i]
			if start := later(since, l.since); l.open() && start.Before(l.from) {
				l.from = start
			}
		}
		for i := range r.names {
			n := &r.names[i]
			if start := later(since, n.since); n.open() && start.Before(n.from) {
				n.from = start
			}
		}
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

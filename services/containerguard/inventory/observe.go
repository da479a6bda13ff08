package inventory

import (
	"net/netip"
	"slices"
	"time"

	"github.com/ironpost/ironpost/internal/docker"
)

// Observe takes an inspection of one container into account: it was requested at asked
// and came at answered. Inspections must come in the order in which they were requested.
func (c *Core) Observe(now docker.Container, asked, answered time.Time) {
	r := c.record(now.ID)
	if !r.gone.IsZero() || asked.Before(r.inspectedAt) {
		return
	}
	before := r.lastInspectedOr(now.Created)
	r.observeNames(now, answered, before, !c.knownUntil.IsZero())
	r.observeRuns(now, answered, before)
	r.observeLeases(now, asked, answered, before)
	r.now, r.inspected, r.inspectedAt = now, true, asked
	r.stale = !r.lastEvent.Before(asked)
}

// lastInspectedOr returns when the newest inspection was requested, up to which what it
// shows is certain.
func (r *record) lastInspectedOr(otherwise time.Time) time.Time {
	if r.inspected {
		return r.inspectedAt
	}
	return otherwise
}

// observeNames ends all names but the one shown. While disconnected it ends that too:
// unlike an endpoint or a start, a name that is there again does not show whether it was
// there all the time.
func (r *record) observeNames(now docker.Container, answered, before time.Time, disconnected bool) {
	since := now.Created
	for _, n := range r.names {
		if disconnected || n.text != now.Name {
			n.end(before, answered)
		}
		since = later(since, n.certainTo)
	}
	r.openName(now.Name, since, answered)
}

func (r *record) observeRuns(now docker.Container, answered, before time.Time) {
	same := false
	for _, w := range r.runs {
		switch {
		case !w.open():
		case now.Running && w.pid == now.PID && w.started.Equal(now.StartedAt):
			same = true
		default:
			w.end(before, answered)
		}
	}
	if now.Running && !same && now.PID > 0 {
		r.runs = append(r.runs, &run{window: openWindow(now.StartedAt, now.StartedAt), pid: now.PID, started: now.StartedAt})
	}
}

// observeLeases ends the leases that now does not show and opens those it shows.
func (r *record) observeLeases(now docker.Container, asked, answered, before time.Time) {
	var shown []*lease
	if now.Running {
		for _, e := range now.Networks {
			for _, a := range []netip.Addr{e.IPv4, e.IPv6} {
				if a.IsValid() {
					shown = append(shown, &lease{address: a, network: e.NetworkID, endpoint: e.ID})
				}
			}
		}
	}
	same := func(a *lease) func(*lease) bool {
		return func(b *lease) bool { return a.endpoint == b.endpoint && a.address == b.address }
	}
	for _, l := range r.leases {
		if !slices.ContainsFunc(shown, same(l)) {
			l.end(before, answered)
		}
	}
	for _, l := range shown {
		open := func(other *lease) bool { return other.open() && same(l)(other) }
		if !slices.ContainsFunc(r.leases, open) {
			l.window = openWindow(r.leaseSince(l, now, asked), answered)
			r.leases = append(r.leases, l)
		}
	}
}

// leaseSince returns since when a lease that an inspection shows is possible: the start,
// the inspection before, which did not show it, the end of the lease before, or the newest
// connect event known, whichever is last. More events may be on their way.
func (r *record) leaseSince(l *lease, now docker.Container, asked time.Time) time.Time {
	since := now.StartedAt
	if r.inspected {
		since = later(since, r.inspectedAt)
	}
	for _, other := range r.leases {
		if other.network == l.network {
			since = later(since, other.certainTo)
		}
	}
	if at := r.connects[l.network]; at.Before(asked) {
		since = later(since, at)
	}
	return since
}

// EventsCompleteSince says that every event since that time has been applied, up to
// MinSlack after the newest inspection. If no event shows the begin of a lease or
// name, it began before, or when the container started.
func (c *Core) EventsCompleteSince(since time.Time) {
	for _, r := range c.records {
		for _, l := range r.leases {
			l.makeCertainFrom(since)
		}
		for _, n := range r.names {
			n.makeCertainFrom(since)
		}
	}
}

// outOfDate returns the ids of containers that a list, requested at asked, shows
// otherwise than their records, and of those it does not show any more.
func (c *Core) outOfDate(rows []docker.Container, asked time.Time) []string {
	var out []string
	listed := make(map[string]bool, len(rows))
	for _, row := range rows {
		listed[row.ID] = true
		if r := c.records[row.ID]; r == nil || r.gone.IsZero() && (!r.inspected || r.stale || differs(r.now, row)) {
			out = append(out, row.ID)
		}
	}
	for id, r := range c.records {
		if !listed[id] && r.gone.IsZero() && r.inspectedAt.Before(asked) {
			out = append(out, id)
		}
	}
	return out
}

func differs(known, row docker.Container) bool {
	return known.State != row.State || known.Name != row.Name ||
		!slices.EqualFunc(known.Networks, row.Networks, func(a, b docker.Endpoint) bool { return a.ID == b.ID })
}

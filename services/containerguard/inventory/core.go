package inventory

import (
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/ironpost/ironpost/internal/docker"
)

const (
	// Retention is how long a container, an address or a name is remembered after it is gone.
	Retention  = 15 * time.Minute
	maxGone    = 4096 // removed containers remembered; beyond it the oldest is forgotten, so it is unknown
	maxWindows = 256  // of one kind, for one container; beyond it the oldest is forgotten
	// maxConnects is how many networks' connect events are remembered for one container.
	// Beyond it the oldest is forgotten: a lease is then possible for longer, so more is ambiguous.
	maxConnects = 256
)

// Core holds a record of each container that Docker has, and of maxGone that it had. It
// is not safe for concurrent use.
type Core struct {
	records    map[string]*record
	gone       []string  // ids of removed containers, oldest first
	knownUntil time.Time // while disconnected: the time up to which events were received
}

// record is one container and its windows.
type record struct {
	now         docker.Container // as the newest inspection or event shows it
	inspected   bool             // at least once
	inspectedAt time.Time        // when the newest inspection was requested
	gone        time.Time        // zero while it exists

	runs      []*run
	leases    []*lease
	names     []*name
	connects  map[string]time.Time // network id → newest connect event
	lastEvent time.Time            // newest event of any kind
	stale     bool                 // an event came since the newest inspection
}

// run is the time from a start to a stop.
type run struct {
	window
	pid     int
	started time.Time
}

// lease is the time in which an endpoint had an address.
type lease struct {
	window
	address  netip.Addr
	network  string // id
	endpoint string // id
}

type name struct {
	window
	text string
}

// NewCore returns a Core that knows nothing.
func NewCore() *Core { return &Core{records: map[string]*record{}} }

// Disconnected says that Docker's events are not received, and that all up to at were.
// Open windows are certain up to then only, until Reconnected.
func (c *Core) Disconnected(at time.Time) {
	if c.knownUntil.IsZero() {
		c.knownUntil = at
	}
}

// Reconnected says that events are received again and every container was inspected since.
func (c *Core) Reconnected() { c.knownUntil = time.Time{} }

// Stale returns the ids of containers with an event since their inspection: each should
// be inspected and handed to Observe, or to Removed.
func (c *Core) Stale() []string {
	return c.ids(func(r *record) bool { return r.stale })
}

// Known returns the ids of the containers that exist.
func (c *Core) Known() []string {
	return c.ids(func(*record) bool { return true })
}

func (c *Core) ids(include func(*record) bool) []string {
	var out []string
	for id, r := range c.records {
		if r.gone.IsZero() && include(r) {
			out = append(out, id)
		}
	}
	return out
}

// Prune forgets what has been gone for longer than Retention.
func (c *Core) Prune(now time.Time) {
	horizon := now.Add(-Retention)
	for len(c.gone) > 0 {
		r := c.records[c.gone[0]]
		if r != nil && len(c.gone) <= maxGone && r.gone.After(horizon) {
			break
		}
		delete(c.records, c.gone[0])
		c.gone = c.gone[1:]
	}
	for _, r := range c.records {
		r.runs, r.leases, r.names = keepRecent(r.runs, horizon), keepRecent(r.leases, horizon), keepRecent(r.names, horizon)
	}
}

// keepRecent drops what ended before horizon and, beyond maxWindows, the oldest.
func keepRecent[T interface{ endedBefore(time.Time) bool }](in []T, horizon time.Time) []T {
	out := slices.DeleteFunc(in, func(w T) bool { return w.endedBefore(horizon) })
	return out[max(0, len(out)-maxWindows):]
}

func (w *window) endedBefore(at time.Time) bool { return !w.open() && !w.possibleTo.After(at) }

func (c *Core) record(id string) *record {
	r := c.records[id]
	if r == nil {
		r = &record{now: docker.Container{ID: id}, connects: map[string]time.Time{}, stale: true}
		c.records[id] = r
	}
	return r
}

// Removed says that Docker, asked at answered, does not have the container.
func (c *Core) Removed(id string, answered time.Time) {
	if r := c.records[id]; r != nil {
		c.markGone(r, r.lastInspectedOr(answered), answered)
	}
}

// markGone ends a container: it existed at to, and no more at until.
func (c *Core) markGone(r *record, to, until time.Time) {
	if !r.gone.IsZero() {
		return
	}
	for _, w := range r.windows() {
		w.end(to, until)
	}
	r.gone, r.stale, r.now.Running, r.now.Paused, r.now.State = until, false, false, false, "removed"
	c.gone = append(c.gone, r.now.ID)
}

// windows returns all windows of a container.
func (r *record) windows() []*window {
	var out []*window
	for _, w := range r.runs {
		out = append(out, &w.window)
	}
	for _, l := range r.leases {
		out = append(out, &l.window)
	}
	for _, n := range r.names {
		out = append(out, &n.window)
	}
	return out
}

// connected remembers the newest connect event of a network.
func (r *record) connected(network string, at time.Time) {
	if !at.After(r.connects[network]) {
		return
	}
	if _, known := r.connects[network]; !known && len(r.connects) >= maxConnects {
		oldest := slices.MinFunc(slices.Collect(maps.Keys(r.connects)), func(a, b string) int { return r.connects[a].Compare(r.connects[b]) })
		delete(r.connects, oldest)
	}
	r.connects[network] = at
}

package inventory

import (
	"net/netip"
	"time"

	"github.com/ironpost/ironpost/internal/docker"
)

// Bounds on what is remembered.
const (
	// Retention is how long a container, an address or a name is remembered after it is gone.
	Retention  = 15 * time.Minute
	maxGone    = 4096 // containers remembered after they are gone; the oldest is forgotten first
	maxWindows = 256  // of one kind, for one container
)

// Core is what is known about containers. It is not safe for concurrent use.
type Core struct {
	records    map[string]*record
	gone       []string  // ids of those that are gone, oldest first
	knownUntil time.Time // while the engine cannot be heard: when it was heard last
}

// record is one container and where it has been.
type record struct {
	now         docker.Container
	inspected   bool      // asked about at least once
	inspectedAt time.Time // when the newest answer was asked for
	gone        time.Time // zero while it is there

	runs      []run
	leases    []lease
	names     []name
	connects  map[string]time.Time // network id → newest connect event
	lastEvent time.Time            // newest event of any kind
	stale     bool                 // something happened since it was asked about
}

type run struct {
	window
	pid     int
	started time.Time
}

type lease struct {
	window
	address  netip.Addr
	network  string // id
	endpoint string // id
}

type name struct {
	window
	name string
}

// NewCore returns a Core that knows nothing.
func NewCore() *Core { return &Core{records: map[string]*record{}} }

// Disconnected says that the engine cannot be heard, and that everything up to that time
// was: the newest event's, or when the newest list was asked for. What is open
// then is certain up to that time only, until Regained.
func (c *Core) Disconnected(at time.Time) {
	if c.knownUntil.IsZero() {
		c.knownUntil = at
	}
}

// Reconnected says that the engine is heard again and every container was looked at since.
func (c *Core) Reconnected() { c.knownUntil = time.Time{} }

// Stale returns the ids of containers to which something happened since they
// were asked about: each should be inspected and handed to Observe, or to Gone.
func (c *Core) Stale() []string {
	var out []string
	for id, r := range c.records {
		if r.stale && r.gone.IsZero() {
			out = append(out, id)
		}
	}
	return out
}

// Known returns the ids of the containers that are there.
func (c *Core) Known() []string {
	var out []string
	for id, r := range c.records {
		if r.gone.IsZero() {
			out = append(out, id)
		}
	}
	return out
}

// Len returns how many containers are there.
func (c *Core) Len() int { return len(c.Known()) }

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
		r.prune(horizon)
	}
}

func (c *Core) record(id string) *record {
	r := c.records[id]
	if r == nil {
		r = &record{now: docker.Container{ID: id}, connects: map[string]time.Time{}, stale: true}
		c.records[id] = r
	}
	return r
}

// markGone marks a container as gone: it was there at to and is not any more at until.
func (c *Core) markGone(r *record, to, until time.Time) {
	if !r.gone.IsZero() {
		return
	}
	r.stopped(to, until)
	for i := range r.names {
		r.names[i].end(to, until)
	}
	r.gone, r.stale, r.now.Running, r.now.Paused, r.now.State = until, false, false, false, "removed"
	c.gone = append(c.gone, r.now.ID)
}

// stopped closes what only a running container has.
func (r *record) stopped(to, until time.Time) {
	for i := range r.runs {
		r.runs[i].end(to, until)
	}
	for i := range r.leases {
		r.leases[i].end(to, until)
	}
}

func (r *record) prune(horizon time.Time) {
	r.runs = keepRecent(r.runs, func(w run) bool { return w.open() || w.until.After(horizon) })
	r.leases = keepRecent(r.leases, func(w lease) bool { return w.open() || w.until.After(horizon) })
	r.names = keepRecent(r.names, func(w name) bool { return w.open() || w.until.After(horizon) })
}

// keepRecent drops what is not kept and, beyond maxWindows, the oldest.
func keepRecent[T any](in []T, keep func(T) bool) []T {
	out := in[:0]
	for _, v := range in {
		if keep(v) {
			out = append(out, v)
		}
	}
	return out[max(0, len(out)-maxWindows):]
}

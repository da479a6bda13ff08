package detect

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/ironpost/ironpost/event"
)

const (
	// firstInterval is the wait before the second announcement; it doubles up to Config.RepeatSecs.
	firstInterval = 5 * time.Second
	// maxRecordsPerWindow bounds the announcements of one window, so that forged sources cannot flood
	// the bus. What is left waits for the next window, the never announced first.
	maxRecordsPerWindow = 64
	// maxAttacks bounds the attacks that are followed at a time. The one silent for longest gives way.
	maxAttacks = 4096
	// Shown of what was tried.
	maxShownPorts = 32
	maxShownHosts = 16

	countRecord = "announcement"
)

// identity is what makes one attack another one.
type identity struct {
	name, method, actor string
	target              netip.Addr
	port                uint16
}

// attack is one that runs. Its owner, a scan or a flood, keeps counts and last up to date.
type attack struct {
	identity

	began, last time.Time
	idle        time.Duration // silent for so long, it is over
	counts      map[string]uint64
	ports       []uint16
	hosts       []netip.Addr
	missing     map[string]bool

	records       int
	nextRecord    time.Time
	interval      time.Duration
	changed       bool // something was counted since the last announcement
	ended         bool
	evictedBefore uint64 // sources forgotten when it was announced first
	onEnd         func()
}

// attacks is all attacks that are not over.
type attacks struct {
	byIdentity map[identity]*attack
	repeat     time.Duration
	displaced  uint64
}

func newRunning(repeat time.Duration) *attacks {
	return &attacks{byIdentity: map[identity]*attack{}, repeat: repeat}
}

// begin adds an attack, or returns the one that runs already.
func (r *attacks) begin(id identity, began, now time.Time) *attack {
	if a := r.byIdentity[id]; a != nil {
		return a
	}
	if len(r.byIdentity) >= maxAttacks {
		r.displace()
	}
	a := &attack{
		identity: id, began: began, last: now, nextRecord: now, interval: firstInterval, changed: true,
		counts: map[string]uint64{}, missing: map[string]bool{},
	}
	r.byIdentity[id] = a
	return a
}

// displace ends the attack silent for longest; it was announced or is counted.
func (r *attacks) displace() {
	oldest := slices.MinFunc(r.sorted(), func(a, b *attack) int { return a.last.Compare(b.last) })
	r.remove(oldest)
	r.displaced++
}

func (r *attacks) remove(a *attack) {
	delete(r.byIdentity, a.identity)
	a.ended = true
	if a.onEnd != nil {
		a.onEnd()
	}
}

// due returns what is to be announced at now, and forgets what is over.
func (r *attacks) due(now time.Time) []*attack {
	var out []*attack
	for _, a := range r.sorted() {
		switch {
		case len(out) >= maxRecordsPerWindow:
			return out
		case a.records > 0 && now.Sub(a.last) >= a.idle:
			r.remove(a)
			out = append(out, a)
		case a.changed && !now.Before(a.nextRecord):
			out = append(out, a)
		}
	}
	return out
}

// sorted has the attacks nobody heard of first, then in an order that does not depend on chance.
func (r *attacks) sorted() []*attack {
	return slices.SortedFunc(maps.Values(r.byIdentity), func(a, b *attack) int {
		return cmp.Or(
			cmp.Compare(min(a.records, 1), min(b.records, 1)), a.nextRecord.Compare(b.nextRecord), a.began.Compare(b.began),
			cmp.Compare(a.name, b.name), cmp.Compare(a.actor, b.actor), a.target.Compare(b.target),
			cmp.Compare(a.port, b.port), cmp.Compare(a.method, b.method),
		)
	})
}

// announce is the finding for a, now.
func (r *attacks) announce(a *attack, now time.Time) event.TrafficFinding {
	phase := PhaseOngoing
	switch {
	case a.ended:
		phase = PhaseOver
	case a.records == 0:
		phase = PhaseBegun
	}
	a.records++
	a.changed, a.nextRecord = false, now.Add(min(a.interval, r.repeat))
	a.interval = min(2*a.interval, r.repeat)
	counts := maps.Clone(a.counts)
	counts[countRecord] = uint64(a.records)
	return event.TrafficFinding{
		Name: a.name, Method: a.method, Phase: phase, Actor: a.actor, Target: endpoint(a.target, a.port),
		DurationMS: max(0, a.last.Sub(a.began).Milliseconds()), Counts: counts,
		Ports: slices.Clone(a.ports), Hosts: texts(a.hosts), Lacking: slices.Sorted(maps.Keys(a.missing)),
	}
}

func texts(addrs []netip.Addr) []string {
	var out []string
	for _, a := range addrs {
		out = append(out, a.String())
	}
	return out
}

// showPort and showHost keep some of what was tried, in order.
func (a *attack) showPort(port uint16) {
	if len(a.ports) < maxShownPorts {
		if i, found := slices.BinarySearch(a.ports, port); !found {
			a.ports = slices.Insert(a.ports, i, port)
		}
	}
}

func (a *attack) showHost(host netip.Addr) {
	if len(a.hosts) < maxShownHosts {
		if i, found := slices.BinarySearchFunc(a.hosts, host, netip.Addr.Compare); !found {
			a.hosts = slices.Insert(a.hosts, i, host)
		}
	}
}

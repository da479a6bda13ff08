package detect

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/ironpost/ironpost/event"
)

const (
	// firstInterval is the time before the second record, when the alert is updated; it doubles up to Config.RepeatSecs.
	firstInterval = 10 * time.Second
	// maxRecordsPerWindow keeps forged sources from flooding the bus. The other records wait for the
	// next window; attacks without a record go first, but leave room for maxUpdatesPerWindow others.
	maxRecordsPerWindow = 64
	maxUpdatesPerWindow = 16
	// maxAttacks bounds the attacks in memory. The one without traffic for longest is ended for a new one.
	maxAttacks = 4096
	// Bounds of the ports and hosts shown in a record.
	maxShownPorts = 32
	maxShownHosts = 16

	countRecord = "announcement"
)

// identity tells attacks apart.
type identity struct {
	name, method, actor string
	target              netip.Addr
	network             netip.Prefix // valid: all its addresses are the target
	port                uint16
	outbound            bool
}

// attack is one that goes on. The scan or flood that owns it updates counts and last.
type attack struct {
	identity

	began, last time.Time
	idle        time.Duration // without traffic for this long it has ended
	counts      map[string]uint64
	ports       []uint16
	hosts       []netip.Addr
	missing     map[string]bool
	mayBeDecoy  bool
	flows       [2]Flow // of an outbound one, the newest first

	records       int
	nextRecord    time.Time
	interval      time.Duration
	changed       bool // something was counted since the last record
	ended         bool
	evictedBefore uint64 // sources evicted before its first record
	onEnd         func()
}

// attacks is all attacks that have not ended.
type attacks struct {
	byIdentity map[identity]*attack
	repeat     time.Duration
	evicted    uint64
}

// start adds an attack, or returns the one with that identity.
func (r *attacks) start(id identity, began, now time.Time) *attack {
	if a := r.byIdentity[id]; a != nil {
		return a
	}
	if len(r.byIdentity) >= maxAttacks {
		r.evictOldest()
	}
	a := &attack{
		identity: id, began: began, last: now, nextRecord: now, interval: firstInterval, changed: true,
		counts: map[string]uint64{}, missing: map[string]bool{},
	}
	r.byIdentity[id] = a
	return a
}

// evictOldest ends an attack of the lowest rank, the one without traffic for longest.
func (r *attacks) evictOldest() {
	oldest := slices.MinFunc(slices.Collect(maps.Values(r.byIdentity)), func(a, b *attack) int {
		return cmp.Or(cmp.Compare(b.rank(), a.rank()), a.last.Compare(b.last), a.compare(b))
	})
	r.remove(oldest)
	r.evicted++
}

func (r *attacks) remove(a *attack) {
	delete(r.byIdentity, a.identity)
	a.ended = true
	if a.onEnd != nil {
		a.onEnd()
	}
}

// due returns the attacks that need a record now, and ends those without traffic.
func (r *attacks) due(now time.Time) []*attack {
	var first, others []*attack
	for _, a := range r.sorted() {
		needed := a.changed && !now.Before(a.nextRecord)
		switch {
		case a.records == 0 && needed:
			first = append(first, a)
		case a.records > 0 && (needed || a.isIdle(now)):
			others = append(others, a)
		}
	}
	out := first[:min(len(first), maxRecordsPerWindow-min(len(others), maxUpdatesPerWindow))]
	out = append(out, others[:min(len(others), maxRecordsPerWindow-len(out))]...)
	for _, a := range out {
		if a.records > 0 && a.isIdle(now) {
			r.remove(a)
		}
	}
	return out
}

func (a *attack) isIdle(now time.Time) bool { return now.Sub(a.last) >= a.idle }

// rank orders attacks by how many of them forged packets can make: floods, scans, and scans that may be decoys.
func (a *attack) rank() int {
	switch {
	case !strings.HasSuffix(a.name, "_scan"):
		return 0
	case a.mayBeDecoy:
		return 2
	}
	return 1
}

// sorted returns the attacks in a fixed order, those without a record first, and of these floods before scans.
func (r *attacks) sorted() []*attack {
	return slices.SortedFunc(maps.Values(r.byIdentity), (*attack).compare)
}

func (a *attack) compare(b *attack) int {
	return cmp.Or(
		cmp.Compare(min(a.records, 1), min(b.records, 1)), cmp.Compare(a.rank(), b.rank()), a.nextRecord.Compare(b.nextRecord), a.began.Compare(b.began),
		cmp.Compare(a.name, b.name), cmp.Compare(a.actor, b.actor), a.target.Compare(b.target),
		cmp.Compare(a.port, b.port), cmp.Compare(a.method, b.method), cmp.Compare(a.network.String(), b.network.String()),
	)
}

// record makes the next record of a.
func (r *attacks) record(a *attack, now time.Time) event.TrafficFinding {
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
	var hosts []string
	for _, host := range a.hosts {
		hosts = append(hosts, host.String())
	}
	counts := maps.Clone(a.counts)
	counts[countRecord] = uint64(a.records)
	direction := ""
	if a.outbound {
		direction = Outbound
	}
	return event.TrafficFinding{
		Direction: direction, MayBeDecoy: a.mayBeDecoy, Name: a.name, Method: a.method, Phase: phase, Actor: a.actor,
		Target:     event.Endpoint{IP: a.targetText(), Port: a.port},
		DurationMS: max(0, a.last.Sub(a.began).Milliseconds()), Counts: counts,
		Ports: slices.Clone(a.ports), Hosts: hosts, Lacking: slices.Sorted(maps.Keys(a.missing)),
	}
}

// targetText returns the target's address, or its network.
func (i identity) targetText() string {
	if i.network.IsValid() {
		return i.network.String()
	}
	return i.target.String()
}

// showPort and showHost keep some ports and hosts for the record, sorted.
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

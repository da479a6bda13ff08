package safety

import (
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/ironpost/ironpost/internal/folder"
)

const (
	// destinationTime is how long an address is remembered after it was used, and how long one is new that was first used after the learning time.
	destinationTime = 24 * time.Hour
	// learningTime is how long a new address may be a usual one, from when the first container of a purpose is seen.
	// A restart, or a new release, begins no other such time.
	learningTime = 10 * time.Minute
	// maxDeaf is how long the guard may have been away; after that, it knows too little of what is usual.
	maxDeaf = time.Hour
	// heardInterval is how often the file says that the guard was there.
	heardInterval   = 10 * time.Minute
	maxPurposes     = 1024 // beyond it the one is forgotten that was absent the longest
	maxDestinations = 256  // of one purpose; beyond it the one is forgotten that was not used for the longest time
)

// Destinations remembers to which addresses containers connected, by their purpose, so that a container which replaces another has its
// memory. It is on disk when Save returns. Its methods may be called concurrently.
type Destinations struct {
	file stateFile

	mu      sync.Mutex
	version uint64
	data    destinationData
}

type destinationData struct {
	Heard    time.Time           `json:"heard"`
	Purposes map[string]*purpose `json:"purposes"`
}

type purpose struct {
	Learned time.Time                `json:"learned"` // when its learning time ends
	Seen    time.Time                `json:"seen"`    // when a container of it was last there
	Used    map[netip.Addr]time.Time `json:"used"`
	First   map[netip.Addr]time.Time `json:"first,omitempty"` // of Used, when it was first used, if that was after the learning time
}

// OpenDestinations reads the destinations in files, as OpenState does.
func OpenDestinations(files *folder.Folder, now time.Time) (d *Destinations, damage string, err error) {
	d = &Destinations{file: stateFile{folder: files, name: "destinations.json"}}
	damage, err = d.file.load(&d.data)
	if damage != "" || d.data.Purposes == nil || now.Sub(d.data.Heard) > maxDeaf {
		d.data = destinationData{Purposes: map[string]*purpose{}}
	}
	d.data.clampTo(now)
	return d, damage, err
}

// clampTo takes times after now, which a clock that was ahead left, for now: else an address would stay usual, and the guard present, until then.
func (d *destinationData) clampTo(now time.Time) {
	earlier := func(t time.Time) time.Time {
		if t.After(now) {
			return now.UTC()
		}
		return t
	}
	d.Heard = earlier(d.Heard)
	for _, p := range d.Purposes {
		if limit := now.Add(learningTime); p.Learned.After(limit) {
			p.Learned = limit.UTC()
		}
		p.Seen = earlier(p.Seen)
		for _, times := range []map[netip.Addr]time.Time{p.Used, p.First} {
			for to, at := range times {
				times[to] = earlier(at)
			}
		}
	}
}

// Present says that a container of the purpose is there.
func (d *Destinations) Present(name string, now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.purpose(name, now)
	if now.Sub(d.data.Heard) >= heardInterval {
		d.data.Heard = now.UTC()
		d.version++
	}
}

// purpose returns a purpose, and makes it. mu is held.
func (d *Destinations) purpose(name string, now time.Time) *purpose {
	p := d.data.Purposes[name]
	if p == nil {
		if len(d.data.Purposes) >= maxPurposes {
			names := slices.Collect(maps.Keys(d.data.Purposes))
			delete(d.data.Purposes, slices.MinFunc(names, func(a, b string) int { return d.data.Purposes[a].Seen.Compare(d.data.Purposes[b].Seen) }))
		}
		p = &purpose{Learned: now.Add(learningTime).UTC(), Used: map[netip.Addr]time.Time{}}
		d.data.Purposes[name] = p
		d.version++
	}
	p.Seen = now.UTC()
	return p
}

// Known reports whether the address is usual for containers of the purpose: one connected to it within the last day, and did so first in the
// learning time or a day ago. If it is usual, it now was used again.
func (d *Destinations) Known(name string, to netip.Addr, now time.Time) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	p := d.data.Purposes[name]
	if p == nil || !p.usual(to, now) {
		return false
	}
	d.touch(p, to, now)
	return true
}

func (p *purpose) usual(to netip.Addr, now time.Time) bool {
	used, known := p.Used[to]
	first, isNew := p.First[to]
	return known && now.Sub(used) <= destinationTime && !(isNew && now.Sub(first) < destinationTime)
}

// touch notes that an address was used, seldom enough that a busy container is not a busy disk. mu is held.
func (d *Destinations) touch(p *purpose, to netip.Addr, now time.Time) {
	if now.Sub(p.Used[to]) > heardInterval {
		p.Used[to] = now.UTC()
		d.version++
	}
}

// Use notes that a container of the purpose connected to an address, and reports whether that is new, and whether the purpose has had
// its learning time. An address that is first used after that time is new for a day, so that an attacker cannot make one usual beforehand.
func (d *Destinations) Use(name string, to netip.Addr, now time.Time) (isNew, learned bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	p := d.purpose(name, now)
	learned = !now.Before(p.Learned)
	if used, known := p.Used[to]; known && now.Sub(used) <= destinationTime {
		isNew = !p.usual(to, now)
		d.touch(p, to, now)
		return isNew, true
	}
	if len(p.Used) >= maxDestinations {
		used := slices.Collect(maps.Keys(p.Used))
		oldest := slices.MinFunc(used, func(a, b netip.Addr) int { return p.Used[a].Compare(p.Used[b]) })
		delete(p.Used, oldest)
		delete(p.First, oldest)
	}
	p.Used[to] = now.UTC()
	delete(p.First, to)
	if learned {
		if p.First == nil {
			p.First = map[netip.Addr]time.Time{}
		}
		p.First[to] = now.UTC()
	}
	d.version++
	return true, learned
}

// Save is like State.Save.
func (d *Destinations) Save() error {
	d.mu.Lock()
	version := d.version
	d.mu.Unlock()
	return d.file.save(version, func() (any, uint64) {
		d.mu.Lock()
		defer d.mu.Unlock()
		out := destinationData{Heard: d.data.Heard, Purposes: make(map[string]*purpose, len(d.data.Purposes))}
		for name, p := range d.data.Purposes {
			out.Purposes[name] = &purpose{Learned: p.Learned, Seen: p.Seen, Used: maps.Clone(p.Used), First: maps.Clone(p.First)}
		}
		return out, d.version
	})
}

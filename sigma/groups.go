package sigma

import (
	"cmp"
	"container/list"
	"maps"
	"math"
	"math/bits"
	"slices"
	"strings"
)

// rankShares is the part of a limit, one in rankShares, that groups and events of stronger ranks leave to those of each weaker rank.
const rankShares = 8

// rankCounts is the number of groups or events of each rank.
type rankCounts [math.MaxUint8 + 1]int

// givesWay returns the weakest rank with more than its share of limit; if none has, the weakest rank that is there.
func (c *rankCounts) givesWay(limit int) uint8 {
	weakest := -1
	for rank, n := range c {
		if n > limit/rankShares {
			return uint8(rank)
		}
		if n > 0 && weakest < 0 {
			weakest = rank
		}
	}
	return uint8(weakest)
}

// groupStore holds the groups of one correlation within the limits, which are its own: no other correlation takes its room.
//
// When there is no room for a new group, groups whose events are all too old to count with a new one go first. Then the
// weakest rank of which there are more than its share gives way; of that rank the groups with the fewest events, counted
// in powers of two; of those the least recently updated one. So many groups of one event push out no group that counts
// towards its condition, and events of a weak rank push out none of a stronger one.
//
// Of too many events, those of the rank that gives way in the same manner go first: the oldest of it in a group that is full, and
// over all groups those of the largest group with that topRank.
type groupStore struct {
	limits Limits
	byKey  map[string]*group
	queues map[evictionClass]*list.List // of *group, the least recently updated first; none is empty
	events int                          // of all groups in queues
	held   rankCounts                   // of these, by group.topRank

	evictedGroups, evictedEvents uint64
}

// evictionClass are the groups of which the least recently updated is dropped first.
type evictionClass struct {
	rank uint8 // group.topRank
	size int   // the number of bits of the number of entries
}

func (g *group) evictionClass() evictionClass {
	return evictionClass{rank: g.topRank, size: bits.Len(uint(len(g.entries)))}
}

func newGroupStore(limits Limits) *groupStore {
	return &groupStore{limits: limits, byKey: make(map[string]*group), queues: make(map[evictionClass]*list.List)}
}

// group returns the group of k, whose store s is, with these values. A new group, which has no entry yet, may push out
// another. now is the time of the event in ns since 1970, rank its rank.
func (s *groupStore) group(k *compiledCorrelation, values []string, now int64, rank uint8) *group {
	key := groupKey(values)
	if g, ok := s.byKey[key]; ok {
		return g
	}
	s.makeRoom(now, rank)
	g := &group{correlation: k, key: key}
	for _, v := range values {
		g.values = append(g.values, strings.Clone(cut(v, maxGroupValue)))
	}
	s.byKey[key] = g
	return g
}

// addEntry adds an entry to a group, evaluates it (see group.evaluate) and then enforces the limits.
func (s *groupStore) addEntry(g *group, e entry, sample Sample) (fire, holds *window) {
	g.dropDistant(e)
	i := g.insert(e)
	g.topRank = max(g.topRank, e.rank)
	g.samples = append(g.samples, sample)
	if over := len(g.samples) - s.limits.MaxSamples; over > 0 {
		g.samples = slices.Delete(g.samples, 0, over)
	}
	fire, holds = g.evaluate(i)
	if g.correlation.temporal() {
		g.compact()
	}
	s.evictedEvents += uint64(g.dropOldest())
	s.queue(g)
	s.limitEvents()
	return fire, holds
}

// queue makes g, with its present entries, the most recently updated group of its class.
func (s *groupStore) queue(g *group) {
	s.unqueue(g)
	g.class = g.evictionClass()
	q := s.queues[g.class]
	if q == nil {
		q = list.New()
		s.queues[g.class] = q
	}
	g.recency, g.queued = q.PushBack(g), len(g.entries)
	s.events += g.queued
	s.held[g.class.rank] += g.queued
}

func (s *groupStore) unqueue(g *group) {
	if g.recency == nil {
		return
	}
	q := s.queues[g.class]
	q.Remove(g.recency)
	if q.Len() == 0 {
		delete(s.queues, g.class)
	}
	s.events -= g.queued
	s.held[g.class.rank] -= g.queued
	g.recency = nil
}

func (s *groupStore) drop(g *group) {
	s.unqueue(g)
	delete(s.byKey, g.key)
}

// makeRoom drops groups until there is room for one more. now is the time of its event in ns since 1970, rank that of the event.
func (s *groupStore) makeRoom(now int64, rank uint8) {
	if len(s.byKey) < s.limits.MaxGroups {
		return
	}
	s.dropExpired(now, rank)
	for len(s.byKey) >= s.limits.MaxGroups {
		s.drop(s.weakest())
		s.evictedGroups++
	}
}

// dropExpired drops groups to which an event of rank at now would leave no other entry.
func (s *groupStore) dropExpired(now int64, rank uint8) {
	for class, q := range s.queues {
		for class.rank <= rank && q.Len() > 0 {
			g := q.Front().Value.(*group)
			if g.entries[len(g.entries)-1].at >= now-g.correlation.maxDistance {
				break
			}
			s.drop(g)
		}
	}
}

// weakest returns the group that gives way to a new one.
func (s *groupStore) weakest() *group {
	var held rankCounts
	for class, q := range s.queues {
		held[class.rank] += q.Len()
	}
	fewest := evictionClass{rank: held.givesWay(s.limits.MaxGroups), size: bits.UintSize}
	for class := range s.queues {
		if class.rank == fewest.rank {
			fewest.size = min(fewest.size, class.size)
		}
	}
	return s.queues[fewest].Front().Value.(*group)
}

// limitEvents drops half of the largest groups of the rank that gives way until all events fit.
func (s *groupStore) limitEvents() {
	for s.events > s.limits.MaxEvents {
		largest := evictionClass{rank: s.held.givesWay(s.limits.MaxEvents)}
		for class := range s.queues {
			if class.rank == largest.rank {
				largest.size = max(largest.size, class.size)
			}
		}
		g := s.queues[largest].Front().Value.(*group)
		if len(g.entries) == 1 {
			s.drop(g)
			s.evictedGroups++
			continue
		}
		half := len(g.entries) / 2
		g.dropWeakest(half)
		s.evictedEvents += uint64(half)
		s.queue(g)
	}
}

// all returns the groups, those of one class together and the least recently updated first; the same order for the same
// groups.
func (s *groupStore) all() []*group {
	out := make([]*group, 0, len(s.byKey))
	for _, class := range slices.SortedFunc(maps.Keys(s.queues), func(a, b evictionClass) int {
		return cmp.Or(cmp.Compare(a.rank, b.rank), cmp.Compare(a.size, b.size))
	}) {
		for e := s.queues[class].Front(); e != nil; e = e.Next() {
			out = append(out, e.Value.(*group))
		}
	}
	return out
}

package sigma

import (
	"cmp"
	"container/list"
	"maps"
	"math/bits"
	"slices"
	"strings"
)

// rankShares is the part of Limits.MaxGroups, one in rankShares, that groups of stronger ranks leave to those of each
// weaker rank.
const rankShares = 8

// groupStore holds the groups of one correlation within the limits, which are its own: no other correlation takes its room.
//
// When there is no room for a new group, groups whose events are all too old to count with a new one go first. Then the
// weakest rank of which there are more than its share gives way; of that rank the groups with the fewest events, counted
// in powers of two; of those the least recently updated one. So many groups of one event push out no group that counts
// towards its condition, and events of a weak rank push out none of a stronger one.
type groupStore struct {
	limits Limits
	byKey  map[string]*group
	queues map[evictionClass]*list.List // of *group, the least recently updated first; none is empty
	events int                          // of all groups

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
// another. now is the time of the event in ns since 1970.
func (s *groupStore) group(k *compiledCorrelation, values []string, now int64) *group {
	key := groupKey(values)
	if g, ok := s.byKey[key]; ok {
		return g
	}
	s.makeRoom(now)
	g := &group{correlation: k, key: key}
	for _, v := range values {
		g.values = append(g.values, strings.Clone(cut(v, maxGroupValue)))
	}
	s.byKey[key] = g
	return g
}

// addEntry adds an entry to a group, evaluates it (see group.evaluate) and then enforces the limits.
func (s *groupStore) addEntry(g *group, e entry, sample Sample) (fire, holds *window) {
	s.events -= g.dropDistant(e.at)
	i := g.insert(e)
	g.topRank = max(g.topRank, e.rank)
	g.samples = append(g.samples, sample)
	if over := len(g.samples) - s.limits.MaxSamples; over > 0 {
		g.samples = slices.Delete(g.samples, 0, over)
	}
	fire, holds = g.evaluate(i)
	s.events++
	if g.correlation.temporal() {
		s.events -= g.compact()
	}
	dropped := g.dropOldest()
	s.events -= dropped
	s.evictedEvents += uint64(dropped)
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
	g.recency = q.PushBack(g)
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
	g.recency = nil
}

func (s *groupStore) drop(g *group) {
	s.unqueue(g)
	delete(s.byKey, g.key)
	s.events -= len(g.entries)
}

// makeRoom drops groups until there is room for one more. now is the time of its event in ns since 1970.
func (s *groupStore) makeRoom(now int64) {
	if len(s.byKey) < s.limits.MaxGroups {
		return
	}
	s.dropExpired(now)
	for len(s.byKey) >= s.limits.MaxGroups {
		s.drop(s.weakest())
		s.evictedGroups++
	}
}

// dropExpired drops groups to which an event at now would leave no other entry.
func (s *groupStore) dropExpired(now int64) {
	for _, q := range s.queues {
		for q.Len() > 0 {
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
	var held [256]int // by rank
	for class, q := range s.queues {
		held[class.rank] += q.Len()
	}
	rank := -1
	for r, n := range held {
		if n > s.limits.MaxGroups/rankShares {
			rank = r
			break
		}
		if n > 0 && rank < 0 {
			rank = r
		}
	}
	fewest := evictionClass{rank: uint8(rank), size: bits.UintSize}
	for class := range s.queues {
		if class.rank == fewest.rank {
			fewest.size = min(fewest.size, class.size)
		}
	}
	return s.queues[fewest].Front().Value.(*group)
}

// limitEvents drops the older half of the largest groups until all events fit.
func (s *groupStore) limitEvents() {
	for s.events > s.limits.MaxEvents {
		var largest evictionClass
		for class := range s.queues {
			if class.size > largest.size || class.size == largest.size && class.rank < largest.rank {
				largest = class
			}
		}
		g := s.queues[largest].Front().Value.(*group)
		if len(g.entries) == 1 {
			s.drop(g)
			s.evictedGroups++
			continue
		}
		half := len(g.entries) / 2
		g.slice(half, len(g.entries))
		s.events -= half
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

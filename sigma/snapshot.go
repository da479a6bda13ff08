package sigma

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"sort"
)

// snapshotVersion changes when older snapshots can no longer be read.
const snapshotVersion = 1

// snapshot is the state of a Correlator. Of the groups of one class (see groupStore) the least recently updated is first.
type snapshot struct {
	Version int             `json:"version"`
	Groups  []groupSnapshot `json:"groups"`
}

// groupSnapshot stores the entries by column, because most correlations have one
// rule and no values.
type groupSnapshot struct {
	Correlation string     `json:"correlation"`
	Key         string     `json:"key"`
	Group       []string   `json:"group,omitempty"`
	Times       []int64    `json:"times"`
	Rules       []int      `json:"rules,omitempty"`
	Values      []string   `json:"values,omitempty"`
	Ranks       []int      `json:"ranks,omitempty"`   // missing: 0, as of a version without ranks
	Repeats     []int      `json:"repeats,omitempty"` // Event.Times; missing: 1, as of a version without them
	Samples     []Sample   `json:"samples,omitempty"`
	Fired       [][2]int64 `json:"fired,omitempty"`
	Quiet       bool       `json:"quiet,omitempty"`
	TopRank     int        `json:"top_rank,omitempty"`   // missing: 0, or that of Ranks, as of a version without it
	FiredRank   *int       `json:"fired_rank,omitempty"` // while quiet; missing: of a version that fired once for all ranks
}

// Snapshot returns the state as JSON. Equal states give equal bytes.
func (c *Correlator) Snapshot() ([]byte, error) {
	s := snapshot{Version: snapshotVersion, Groups: []groupSnapshot{}}
	for _, store := range c.groups {
		for _, g := range store.all() {
			s.Groups = append(s.Groups, g.snapshot())
		}
	}
	return json.Marshal(s)
}

func (g *group) snapshot() groupSnapshot {
	s := groupSnapshot{
		Correlation: g.correlation.identity,
		Key:         g.key,
		Group:       g.values,
		Samples:     g.samples,
		Quiet:       g.quiet,
		TopRank:     int(g.topRank),
	}
	severalRules := len(g.correlation.correlation.Rules) > 1
	for _, e := range g.entries {
		s.Times = append(s.Times, e.at)
		if severalRules {
			s.Rules = append(s.Rules, e.rule)
		}
		if g.correlation.correlation.Type == ValueCount {
			s.Values = append(s.Values, e.value)
		}
	}
	if slices.ContainsFunc(g.entries, func(e entry) bool { return e.rank > 0 }) {
		for _, e := range g.entries {
			s.Ranks = append(s.Ranks, int(e.rank))
		}
	}
	if slices.ContainsFunc(g.entries, func(e entry) bool { return e.times > 1 }) {
		for _, e := range g.entries {
			s.Repeats = append(s.Repeats, int(e.times))
		}
	}
	if g.quiet {
		rank := int(g.firedRank)
		s.FiredRank = &rank
	}
	for _, f := range g.fired {
		s.Fired = append(s.Fired, [2]int64{f.first, f.last})
	}
	return s
}

// Restore replaces the state by that of a snapshot, also one of another rule set:
// the state of correlations that were removed, or that aggregate differently
// now, is dropped. On an error the state is unchanged.
func (c *Correlator) Restore(data []byte) error {
	var s snapshot
	if err := json.Unmarshal(data, &s); err != nil {
		return fmt.Errorf("read correlation snapshot: %w", err)
	}
	if s.Version != snapshotVersion {
		return fmt.Errorf("correlation snapshot has version %d, supported is %d", s.Version, snapshotVersion)
	}
	known := make(map[string]int, len(c.rs.compiledCorrelations))
	for i := range c.rs.compiledCorrelations {
		known[c.rs.compiledCorrelations[i].identity] = i
	}
	fresh := c.rs.NewCorrelator()
	fresh.seq, fresh.ungrouped, fresh.untimed = c.seq, c.ungrouped, c.untimed
	for i, store := range c.groups {
		fresh.groups[i].evictedGroups, fresh.groups[i].evictedEvents = store.evictedGroups, store.evictedEvents
	}
	for i := range s.Groups {
		if err := fresh.restoreGroup(&s.Groups[i], known); err != nil {
			return fmt.Errorf("correlation snapshot, group %d: %w", i, err)
		}
	}
	*c = *fresh
	return nil
}

func (c *Correlator) restoreGroup(s *groupSnapshot, known map[string]int) error {
	i, ok := known[s.Correlation]
	if !ok {
		return nil
	}
	k := &c.rs.compiledCorrelations[i]
	if err := s.check(k); err != nil {
		return err
	}
	store := c.groups[i]
	if _, twice := store.byKey[s.Key]; twice {
		return fmt.Errorf("key %q occurs twice", s.Key)
	}
	g := &group{correlation: k, key: s.Key, values: s.Group, samples: s.Samples, quiet: s.Quiet, topRank: uint8(s.TopRank)}
	for j, at := range s.Times {
		e := entry{at: at, times: 1}
		if len(s.Rules) > 0 {
			e.rule = s.Rules[j]
		}
		if len(s.Values) > 0 {
			e.value = s.Values[j]
		}
		if len(s.Ranks) > 0 {
			e.rank = uint8(s.Ranks[j])
		}
		if len(s.Repeats) > 0 {
			e.times = uint16(s.Repeats[j])
		}
		g.topRank = max(g.topRank, e.rank)
		g.entries = append(g.entries, e)
	}
	for _, f := range s.Fired {
		g.fired = append(g.fired, interval{f[0], f[1]})
	}
	if s.FiredRank != nil {
		g.firedRank = uint8(*s.FiredRank)
	} else if s.Quiet {
		if newest := g.newestWindow(); newest != nil {
			g.firedRank = g.rank(newest)
		}
	}
	store.restore(g)
	return nil
}

// restore inserts g within the limits, which may be lower than before.
func (s *groupStore) restore(g *group) {
	s.evictedEvents += uint64(g.dropOldest())
	g.samples = g.samples[max(0, len(g.samples)-s.limits.MaxSamples):]
	s.makeRoom(g.entries[len(g.entries)-1].at, g.topRank)
	s.byKey[g.key] = g
	s.queue(g)
	s.limitEvents()
}

var errShape = errors.New("its columns have different lengths")

func (s *groupSnapshot) check(k *compiledCorrelation) error {
	rules := len(k.correlation.Rules)
	switch {
	case len(s.Group) != len(k.correlation.GroupBy),
		len(s.Times) == 0,
		(rules > 1) != (len(s.Rules) > 0),
		len(s.Rules) > 0 && len(s.Rules) != len(s.Times),
		(k.correlation.Type == ValueCount) != (len(s.Values) > 0),
		len(s.Values) > 0 && len(s.Values) != len(s.Times),
		len(s.Ranks) > 0 && len(s.Ranks) != len(s.Times),
		len(s.Repeats) > 0 && len(s.Repeats) != len(s.Times),
		len(s.Fired) > maxIntervals:
		return errShape
	case !sort.SliceIsSorted(s.Times, func(a, b int) bool { return s.Times[a] < s.Times[b] }):
		return errors.New("its times are not in order")
	}
	for _, rule := range s.Rules {
		if rule < 0 || rule >= rules {
			return fmt.Errorf("it refers to rule %d of %d", rule, rules)
		}
	}
	for _, times := range s.Repeats {
		if times < 1 || times > MaxTimes {
			return fmt.Errorf("an event is counted %d times", times)
		}
	}
	ranks := append(slices.Clone(s.Ranks), s.TopRank)
	if s.FiredRank != nil {
		ranks = append(ranks, *s.FiredRank)
	}
	for _, rank := range ranks {
		if rank < 0 || rank > math.MaxUint8 {
			return fmt.Errorf("rank %d is out of range", rank)
		}
	}
	return nil
}

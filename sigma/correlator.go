package sigma

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"strings"
	"time"
)

// Bounds in bytes of the texts that a group keeps.
const (
	maxSampleText = 1024
	maxRef        = 256
	maxGroupValue = 256
)

// CorrelationMatch is a correlation whose condition became true for a group.
type CorrelationMatch struct {
	Correlation *Correlation
	// Key identifies the group: equal for equal group values, 32 hexadecimal
	// digits, stable over restarts.
	Key string
	// Group holds the group-by names (aliases stay aliases) and their values,
	// each cut at 256 bytes. Several values of one field are joined by commas.
	Group map[string]string
	// Count is what the condition was compared with: events, distinct values,
	// or distinct rules (for temporal_ordered: those that came in order).
	Count int
	// First and Last are the event times of the window that satisfied it.
	First, Last time.Time
	// QuietUntil is the event time from which the group can fire again if no
	// further event keeps the condition true: Last plus the timespan.
	QuietUntil time.Time
	// Rank is the highest Event.Rank whose events in that window, with those of higher
	// ranks, satisfy the condition by themselves; what an inner correlation counts has its Rank.
	Rank uint8
	// Samples are the newest events of the window, in order of arrival.
	Samples []Sample
	// Silent is set for a correlation that only serves other correlations
	// (their generate is false).
	Silent bool
}

// Sample is one of the events behind a correlation.
type Sample struct {
	Time time.Time `json:"time"`
	Rule string    `json:"rule"`           // as in Correlation.Rules
	Ref  string    `json:"ref,omitempty"`  // Event.Ref
	Text string    `json:"text,omitempty"` // the field raw, else message
}

// CorrelatorStats counts what a Correlator holds and what it dropped.
type CorrelatorStats struct {
	Groups        int               // held now
	Events        int               // held now
	EvictedGroups uint64            // dropped for MaxGroups, with their events
	EvictedEvents uint64            // dropped for MaxGroupEvents or MaxEvents
	Evicted       map[string]uint64 // groups and events dropped, by Meta.Key of the correlation
	Ungrouped     uint64            // not counted: a group-by field or counted field was missing
	Untimed       uint64            // not counted: no time, or one outside of 1678 to 2261
}

// Correlator counts matches over time. It is not safe for concurrent use.
//
// A window slides in event time: it holds the events that lie at most one
// timespan apart, both ends included. It is evaluated for every event of its
// group; a late event is inserted at its time. A group fires once, when the
// condition becomes true, and is then quiet until an event comes with which the
// condition is no longer true; so an attack that goes on is one match, and one
// that comes back is another. A condition with only an upper bound (lt, lte) is
// therefore true from the first event on. The absence of events is never
// reported. A quiet group fires once more when events of a higher rank than it
// fired with satisfy the condition by themselves: those of a lower rank hide
// nothing. Its rank falls, and it may fire with the higher one again, when the
// events of that rank no longer satisfy the condition by themselves.
//
// An event that matches several rules of one event_count counts once. Events
// that lack a group-by field are not counted: they have no value to compare.
//
// Correlations can refer to correlations: event_count and value_count count how
// often the inner one fired; for the temporal types it is present as long as its
// condition is true. The outer one reads its fields from the group values of
// the inner one, else from the event.
type Correlator struct {
	rs     *RuleSet
	groups []*groupStore // as RuleSet.compiledCorrelations
	seq    uint64        // number of Observe calls

	ungrouped, untimed uint64
}

// NewCorrelator returns an empty Correlator for the correlations of rs.
func (rs *RuleSet) NewCorrelator() *Correlator {
	c := &Correlator{rs: rs}
	for range rs.compiledCorrelations {
		c.groups = append(c.groups, newGroupStore(rs.limits))
	}
	return c
}

// Stats returns the counters.
func (c *Correlator) Stats() CorrelatorStats {
	s := CorrelatorStats{Ungrouped: c.ungrouped, Untimed: c.untimed, Evicted: make(map[string]uint64)}
	for i, store := range c.groups {
		s.Groups += len(store.byKey)
		s.Events += store.events
		s.EvictedGroups += store.evictedGroups
		s.EvictedEvents += store.evictedEvents
		s.Evicted[c.rs.correlations[i].Key()] += store.evictedGroups + store.evictedEvents
	}
	return s
}

// Observe counts the matches of ev, as RuleSet.Match returned them, and returns
// the correlations that became true by it, silent ones included. An inner
// correlation comes before those that refer to it. ongoing are those that were
// true before and still are, silent ones left out: of each, Rank is at most that of
// ev, and Samples holds ev alone.
func (c *Correlator) Observe(ev Event, matches []Match) (began, ongoing []CorrelationMatch) {
	if len(matches) == 0 || len(c.rs.compiledCorrelations) == 0 {
		return nil, nil
	}
	if ev.Time.Year() < 1678 || ev.Time.Year() > 2261 { // what int64 nanoseconds can hold
		c.untimed++
		return nil, nil
	}
	c.seq++
	o := observation{c: c, event: ev, at: ev.Time.UnixNano()}
	for _, m := range matches {
		for _, d := range c.rs.ruleDependents[m.Rule] {
			o.count(d, nil, ev.Rank)
		}
	}
	return o.began, o.ongoing
}

// observation is the processing of one event by the correlations.
type observation struct {
	c              *Correlator
	event          Event
	at             int64 // ns since 1970
	began, ongoing []CorrelationMatch
}

// count adds the event to one correlation, and to the correlations that refer
// to that one if it is true. inner is the group of the correlation that d
// belongs to, nil if d belongs to a rule; rank is that of what is counted.
func (o *observation) count(d dependent, inner *group, rank uint8) {
	k := &o.c.rs.compiledCorrelations[d.correlation]
	values, grouped := o.fieldValues(k.groupBy[d.rule], inner)
	counted, complete := o.fieldValues(k.fields[d.rule], inner)
	if !grouped || !complete {
		o.c.ungrouped++
		return
	}
	store := o.c.groups[d.correlation]
	g := store.group(k, values, o.at, rank)
	if k.correlation.Type == EventCount && g.lastSeq == o.c.seq && inner == nil {
		return // counted already, for another of its rules
	}
	g.lastSeq = o.c.seq
	e := entry{at: o.at, rule: d.rule, value: valueKey(counted), rank: rank, times: 1}
	if inner == nil {
		e.times = uint16(min(max(o.event.Times, 1), MaxTimes))
	}
	fire, holds := store.addEntry(g, e, o.sample(k.correlation.Rules[d.rule]))
	switch {
	case fire != nil:
		o.began = append(o.began, g.match(fire))
	case holds == nil:
		return
	case !g.correlation.silent:
		o.ongoing = append(o.ongoing, g.ongoing(holds, rank))
	}
	if len(k.dependents) > 0 {
		rank = g.rank(cmp.Or(fire, holds))
	}
	for _, outer := range k.dependents {
		if fire != nil || o.c.rs.compiledCorrelations[outer.correlation].temporal() {
			o.count(outer, g, rank)
		}
	}
}

// fieldValues reads fields from the group values of the inner correlation, else
// from the event. It returns false if one is missing.
func (o *observation) fieldValues(names []string, inner *group) ([]string, bool) {
	var innerValues map[string]string
	if inner != nil {
		innerValues = inner.named()
	}
	values := make([]string, len(names))
	for i, name := range names {
		if v, ok := innerValues[name]; ok {
			values[i] = v
			continue
		}
		var f field
		f.resolve(&o.event.Fields, name)
		if f.isNull() || len(f.values) == 0 {
			return nil, false
		}
		for j := range f.values {
			if j > 0 {
				values[i] += ","
			}
			values[i] += f.values[j].text
		}
	}
	return values, true
}

func (o *observation) sample(rule string) Sample {
	text := ""
	for _, name := range []string{"raw", "message"} {
		if text = o.event.Fields.Text(name); text != "" {
			break
		}
	}
	return Sample{
		Time: time.Unix(0, o.at).UTC(),
		Rule: rule,
		Ref:  strings.Clone(cut(o.event.Ref, maxRef)),
		Text: strings.Clone(cut(text, maxSampleText)),
	}
}

// groupKey returns 32 hexadecimal digits that are equal only for equal values.
// The lengths in it tell ("a", "bc") from ("ab", "c").
func groupKey(values []string) string {
	h := sha256.New()
	for _, v := range values {
		h.Write(binary.AppendUvarint(nil, uint64(len(v))))
		h.Write([]byte(v))
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// valueKey returns the value itself if there is one and it is short, else a
// digest.
func valueKey(values []string) string {
	switch {
	case len(values) == 0:
		return ""
	case len(values) == 1 && len(values[0]) <= maxGroupValue:
		return strings.Clone(values[0])
	}
	return groupKey(values)
}

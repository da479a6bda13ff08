package sigma

import (
	"container/list"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"strings"
	"time"
)

// Bounds of the texts that a group keeps.
const (
	maxSampleText = 1024
	maxRef        = 256
	maxGroupValue = 256
)

// Limits bound the memory of one Correlator. When a limit is reached, the
// oldest goes, and CorrelatorStats counts it.
type Limits struct {
	// MaxGroups is the number of groups over all correlations (default
	// 10,000). The group that was seen least recently goes first.
	MaxGroups int
	// MaxGroupEvents is the number of events in one group (default 10,000).
	// Compile refuses conditions that need more.
	MaxGroupEvents int
	// MaxEvents is the number of events over all groups (default 500,000).
	MaxEvents int
	// MaxSamples is the number of samples kept for a group (default 5), each
	// with at most 1 KiB of text.
	MaxSamples int
	// Lateness is how far, beyond the timespan, events of one group may lie
	// apart and still be counted (default one timespan, at least 10 min).
	Lateness time.Duration
}

const (
	defaultMaxGroups      = 10_000
	defaultMaxGroupEvents = 10_000
	defaultMaxEvents      = 500_000
	defaultMaxSamples     = 5
)

func (l Limits) withDefaults() Limits {
	l.MaxGroups = orDefault(l.MaxGroups, defaultMaxGroups)
	l.MaxEvents = orDefault(l.MaxEvents, defaultMaxEvents)
	l.MaxGroupEvents = min(orDefault(l.MaxGroupEvents, defaultMaxGroupEvents), l.MaxEvents)
	l.MaxSamples = orDefault(l.MaxSamples, defaultMaxSamples)
	return l
}

func orDefault(n, fallback int) int {
	if n <= 0 {
		return fallback
	}
	return n
}

// CorrelationMatch says that a correlation became true for a group.
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
	// Samples are the newest events of the window, in order of arrival.
	Samples []Sample
	// Silent is set for a correlation that only serves other correlations.
	Silent bool
}

// Sample is one of the events behind a correlation.
type Sample struct {
	Time time.Time `json:"time"`
	Rule string    `json:"rule"`           // as in Correlation.Rules
	Ref  string    `json:"ref,omitempty"`  // Event.Ref
	Text string    `json:"text,omitempty"` // the field raw, else message
}

// CorrelatorStats counts what a Correlator holds and what it had to drop.
type CorrelatorStats struct {
	Groups        int    // held now
	Events        int    // held now
	EvictedGroups uint64 // for MaxGroups or MaxEvents, with their events
	EvictedEvents uint64 // for MaxGroupEvents
	Ungrouped     uint64 // not counted: a group-by field or counted field was missing
	Untimed       uint64 // not counted: no time, or one outside of 1678 to 2262
}

// Correlator counts matches over time. One goroutine may use it at a time.
//
// A window slides in event time: it holds the events that lie at most one
// timespan apart, both ends included. It is judged whenever an event of its
// group comes, also a late one, which is put in its place. A group fires once,
// when the condition becomes true, and is then quiet until an event comes with
// which the condition no longer holds; so an attack that goes on is one match,
// and one that comes back is another. A condition with only an upper bound
// (lt, lte) is thus true from the first event on. Absence is never reported.
//
// An event that matches several rules of one event_count counts once. Events
// that lack a group-by field are not counted: they have no value that could
// be the same.
//
// Correlations can be built on correlations: event_count and value_count count
// how often the inner one fired; the temporal types take it as present as long
// as it holds. The outer one finds the inner one's group values, then the
// fields of the event by which it held.
type Correlator struct {
	rs     *RuleSet
	groups []map[string]*group // as RuleSet.counters
	order  *list.List          // of *group, least recently seen first
	events int
	seq    uint64
	stats  CorrelatorStats
}

// NewCorrelator returns an empty Correlator for the correlations of rs.
func (rs *RuleSet) NewCorrelator() *Correlator {
	c := &Correlator{rs: rs}
	c.clear()
	return c
}

func (c *Correlator) clear() {
	c.groups = make([]map[string]*group, len(c.rs.compiledCorrelations))
	for i := range c.groups {
		c.groups[i] = make(map[string]*group)
	}
	c.order = list.New()
	c.events = 0
}

// Stats returns the counters.
func (c *Correlator) Stats() CorrelatorStats {
	s := c.stats
	s.Groups, s.Events = c.order.Len(), c.events
	return s
}

// Observe counts the matches of ev, which RuleSet.Match returned, and returns
// the correlations that became true by it, inner ones before those built on
// them, silent ones included.
func (c *Correlator) Observe(ev Event, matches []Match) []CorrelationMatch {
	if len(matches) == 0 || len(c.rs.compiledCorrelations) == 0 {
		return nil
	}
	if ev.Time.Year() < 1678 || ev.Time.Year() > 2261 {
		c.stats.Untimed++
		return nil
	}
	c.seq++
	o := observation{c: c, event: ev, at: ev.Time.UnixNano()}
	for _, m := range matches {
		for _, f := range c.rs.ruleDependents[m.Rule] {
			o.count(f, nil, false)
		}
	}
	return o.out
}

// observation is one event on its way through the correlations.
type observation struct {
	c     *Correlator
	event Event
	at    int64
	out   []CorrelationMatch
}

// count adds the event to one correlation, and the correlation's own match to
// those built on it. inner holds the group values of the correlation that
// brought it here, if one did.
func (o *observation) count(f dependent, inner map[string]string, chained bool) {
	k := &o.c.rs.compiledCorrelations[f.correlation]
	values, ok := o.lookup(k.groupBy[f.rule], inner)
	counted, has := o.lookup(k.fields[f.rule], inner)
	if !ok || !has {
		o.c.stats.Ungrouped++
		return
	}
	g := o.c.group(f.correlation, values)
	if k.correlation.Type == EventCount && g.lastSeq == o.c.seq && !chained {
		return
	}
	g.lastSeq = o.c.seq
	fire, holds := o.c.addEntry(g, entry{at: o.at, rule: f.rule, value: valueKey(counted)}, o.sample(k.correlation.Rules[f.rule]))
	if holds == nil && fire == nil {
		return
	}
	if fire != nil {
		o.out = append(o.out, g.match(fire))
	}
	o.notifyDependents(k, g, fire != nil)
}

// notifyDependents hands a correlation that holds to those built on it.
func (o *observation) notifyDependents(k *compiledCorrelation, g *group, fired bool) {
	if len(k.dependents) == 0 {
		return
	}
	for _, f := range k.dependents {
		if fired || o.c.rs.compiledCorrelations[f.correlation].temporal() {
			o.count(f, g.named(), true)
		}
	}
}

// lookup reads fields of the inner correlation's group, else of the event.
func (o *observation) lookup(names []string, inner map[string]string) ([]string, bool) {
	values := make([]string, len(names))
	for i, name := range names {
		if v, ok := inner[name]; ok {
			values[i] = v
			continue
		}
		var f field
		f.resolve(o.event.Fields, name)
		if f.isNull() || len(f.values) == 0 {
			return nil, false
		}
		values[i] = joined(f.values)
	}
	return values, true
}

func joined(values []value) string {
	if len(values) == 1 {
		return values[0].text
	}
	texts := make([]string, len(values))
	for i := range values {
		texts[i] = values[i].text
	}
	return strings.Join(texts, ",")
}

func (o *observation) sample(rule string) Sample {
	text := ""
	for _, name := range []string{"raw", "message"} {
		if s, ok := o.event.Fields[name].(string); ok {
			text = s
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

// group returns the group with these values, which becomes the one seen last.
func (c *Correlator) group(i int, values []string) *group {
	key := groupKey(values)
	if g, ok := c.groups[i][key]; ok {
		c.order.MoveToBack(g.seen)
		return g
	}
	for c.order.Len() >= c.rs.limits.MaxGroups {
		c.evict()
	}
	g := &group{correlation: &c.rs.compiledCorrelations[i], key: key}
	for _, v := range values {
		g.values = append(g.values, strings.Clone(cut(v, maxGroupValue)))
	}
	c.insertGroup(i, g)
	return g
}

func (c *Correlator) insertGroup(i int, g *group) {
	c.groups[i][g.key] = g
	g.seen = c.order.PushBack(g)
	c.events += len(g.entries)
}

// evict drops the group that was seen least recently.
func (c *Correlator) evict() {
	g := c.order.Remove(c.order.Front()).(*group)
	for i := range c.rs.compiledCorrelations {
		if &c.rs.compiledCorrelations[i] == g.correlation {
			delete(c.groups[i], g.key)
		}
	}
	c.events -= len(g.entries)
	c.stats.EvictedGroups++
}

// addEntry counts one entry of a group.
func (c *Correlator) addEntry(g *group, e entry, s Sample) (fire, holds *window) {
	c.events -= g.dropDistant(e.at)
	i := g.insert(e)
	g.samples = append(g.samples, s)
	if over := len(g.samples) - c.rs.limits.MaxSamples; over > 0 {
		g.samples = slices.Delete(g.samples, 0, over)
	}
	fire, holds = g.evaluate(i)
	c.events++
	if g.correlation.temporal() {
		c.events -= g.compact()
	}
	dropped := g.dropOldest()
	c.events -= dropped
	c.stats.EvictedEvents += uint64(dropped)
	for c.events > c.rs.limits.MaxEvents && c.order.Len() > 1 {
		c.evict()
	}
	return fire, holds
}

func (g *group) match(v *window) CorrelationMatch {
	first, last := time.Unix(0, v.first).UTC(), time.Unix(0, v.last).UTC()
	m := CorrelationMatch{
		Correlation: g.correlation.correlation,
		Key:         g.key,
		Group:       g.named(),
		Count:       v.count,
		First:       first,
		Last:        last,
		QuietUntil:  last.Add(g.correlation.correlation.Timespan),
		Silent:      g.correlation.silent,
	}
	for _, s := range g.samples {
		if !s.Time.Before(first) && !s.Time.After(last) {
			m.Samples = append(m.Samples, s)
		}
	}
	return m
}

// named returns the group-by names with their values.
func (g *group) named() map[string]string {
	out := make(map[string]string, len(g.values))
	for i, name := range g.correlation.correlation.GroupBy {
		out[name] = g.values[i]
	}
	return out
}

// groupKey is short, and equal for equal values only: lengths keep ("a", "bc")
// and ("ab", "c") apart.
func groupKey(values []string) string {
	h := sha256.New()
	for _, v := range values {
		h.Write(binary.AppendUvarint(nil, uint64(len(v))))
		h.Write([]byte(v))
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// valueKey makes one text of counted values, by digest if it would be long.
func valueKey(values []string) string {
	switch {
	case len(values) == 0:
		return ""
	case len(values) == 1 && len(values[0]) <= maxGroupValue:
		return strings.Clone(values[0])
	}
	return groupKey(values)
}

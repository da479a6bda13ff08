package sigma

import (
	"cmp"
	"time"
)

// Limits bound the memory of one Correlator, for each of its correlations. What is dropped for a limit is counted in
// CorrelatorStats.
type Limits struct {
	// MaxGroups is the number of groups of one correlation (default 5,000). The
	// groups of the weakest rank with the fewest events are dropped first; but
	// each rank keeps an eighth.
	MaxGroups int
	// MaxGroupEvents is the number of events in one group (default 10,000).
	// Compile refuses conditions that need more. The oldest event of the weakest rank
	// is dropped first; but each rank keeps an eighth.
	MaxGroupEvents int
	// MaxEvents is the number of events over all groups of one correlation
	// (default 100,000). The largest group of the weakest rank loses half of them
	// first; but each rank keeps an eighth.
	MaxEvents int
	// MaxSamples is the number of samples kept for a group (default 5; the log pipeline sets event.MaxEvidence), each
	// with at most 1 KiB of text.
	MaxSamples int
	// Lateness is how far, beyond the timespan, events of one group may lie
	// apart and still be counted together (default one timespan, at least 10 min).
	// Older ones are dropped with the next newer event, unless that has a lower rank.
	Lateness time.Duration
}

const (
	defaultMaxGroups      = 5_000
	defaultMaxGroupEvents = 10_000
	defaultMaxEvents      = 100_000
	defaultMaxSamples     = 5
)

func (l Limits) withDefaults() Limits {
	l.MaxGroups = cmp.Or(max(0, l.MaxGroups), defaultMaxGroups)
	l.MaxEvents = cmp.Or(max(0, l.MaxEvents), defaultMaxEvents)
	l.MaxGroupEvents = min(cmp.Or(max(0, l.MaxGroupEvents), defaultMaxGroupEvents), l.MaxEvents)
	l.MaxSamples = cmp.Or(max(0, l.MaxSamples), defaultMaxSamples)
	return l
}

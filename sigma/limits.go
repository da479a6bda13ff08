package sigma

import (
	"cmp"
	"time"
)

// Limits bound the memory of one Correlator. When a limit is reached, the oldest
// group or event is dropped, and CorrelatorStats counts it.
type Limits struct {
	// MaxGroups is the number of groups over all correlations (default
	// 10,000). The group that got an event least recently is dropped first.
	MaxGroups int
	// MaxGroupEvents is the number of events in one group (default 10,000).
	// Compile refuses conditions that need more.
	MaxGroupEvents int
	// MaxEvents is the number of events over all groups (default 500,000).
	MaxEvents int
	// MaxSamples is the number of samples kept for a group (default 5; the log pipeline sets event.MaxEvidence), each
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
	l.MaxGroups = cmp.Or(max(0, l.MaxGroups), defaultMaxGroups)
	l.MaxEvents = cmp.Or(max(0, l.MaxEvents), defaultMaxEvents)
	l.MaxGroupEvents = min(cmp.Or(max(0, l.MaxGroupEvents), defaultMaxGroupEvents), l.MaxEvents)
	l.MaxSamples = cmp.Or(max(0, l.MaxSamples), defaultMaxSamples)
	return l
}

package health

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// IsLoss reports by its name whether a counter counts losses. A closed connection is a loss only if it was closed for bad framing or a
// limit: idle and reset connections are normal.
func IsLoss(counter string) bool {
	for _, suffix := range []string{"_closed_framing", "_closed_limit", "_closed_peer_limit"} {
		if strings.HasSuffix(counter, suffix) {
			return true
		}
	}
	return counter == "dead_lettered" || slices.ContainsFunc(strings.Split(counter, "_"), func(word string) bool {
		return slices.Contains([]string{"dropped", "lost", "missed", "evicted", "refused"}, word)
	})
}

// named begin the counters of losses that a module has a reason of its own for, which names the one that lost the most.
var named = []string{"syslog_dropped_", "lost_bytes_", "correlation_evicted", "series_evicted"}

// CounterLosses watches the counters of a module for losses. The zero value has seen none. It is for one goroutine at a time.
type CounterLosses struct {
	losses Losses
	before map[string]uint64
}

// Observe notes what was lost since the last call, and returns a reason for 10 minutes after the last loss, "" for none. Counters of single
// interfaces (name:interface) are in their sum. Counters begin at zero when a module starts again.
func (c *CounterLosses) Observe(counters map[string]uint64, now time.Time) string {
	for name, n := range counters {
		if !IsLoss(name) || strings.Contains(name, ":") || slices.ContainsFunc(named, func(prefix string) bool { return strings.HasPrefix(name, prefix) }) {
			continue
		}
		before := c.before[name]
		if n < before {
			before = 0
		}
		c.losses.Add(name, "", int64(n-before), now)
	}
	if counters != nil { // a module that does not answer has none
		c.before = maps.Clone(counters)
	}
	text := c.losses.Reason("losses were counted", now)
	if text == "" {
		return ""
	}
	return fmt.Sprintf("%d %s", c.losses.total(), text)
}

// total returns how much was lost since the first of the losses that are a reason.
func (l *Losses) total() (n int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, amount := range l.causes {
		n += amount
	}
	return n
}

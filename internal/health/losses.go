package health

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// lossesShown is how long the last loss is a reason.
	lossesShown = 10 * time.Minute
	// maxLosers bounds whose losses are counted apart; who comes later is not named.
	maxLosers = 1000
)

// Losses remembers what was lost lately, so that it is a reason for 10 minutes after the last loss. The zero value has none. Its methods
// may be called concurrently.
type Losses struct {
	mu          sync.Mutex
	since, last time.Time
	causes      map[string]int64 // amounts since then
	losers      map[string]int64
}

// Add notes that n of what loser sent or wrote were lost, and why. loser is "" if it is not known.
func (l *Losses) Add(cause, loser string, n int64, now time.Time) {
	if n <= 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.last.IsZero() || now.Sub(l.last) >= lossesShown {
		l.since, l.causes, l.losers = now, map[string]int64{}, map[string]int64{}
	}
	l.last = now
	l.causes[cause] += n
	if _, known := l.losers[loser]; loser != "" && (known || len(l.losers) < maxLosers) {
		l.losers[loser] += n
	}
}

// Reason returns a sentence about the losses: what they are, how many by cause, and who lost the most; "" if the last one was more than 10
// minutes ago.
func (l *Losses) Reason(what string, now time.Time) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.last.IsZero() || now.Sub(l.last) >= lossesShown {
		return ""
	}
	causes := make([]string, 0, len(l.causes))
	for _, cause := range slices.Sorted(maps.Keys(l.causes)) {
		causes = append(causes, fmt.Sprintf("%s %d", cause, l.causes[cause]))
	}
	text := fmt.Sprintf("%s since %s: %s", what, l.since.UTC().Format(time.RFC3339), strings.Join(causes, ", "))
	most := ""
	for _, loser := range slices.Sorted(maps.Keys(l.losers)) {
		if l.losers[loser] > l.losers[most] {
			most = loser
		}
	}
	if most != "" {
		text += fmt.Sprintf("; the most, %d, of %s", l.losers[most], most)
	}
	return text
}

package containerguard

import (
	"maps"
	"strings"
	"sync"
	"time"
	"unicode"
)

const (
	repeatInterval = time.Minute
	maxReported    = 4096 // matters remembered; beyond it all are forgotten, and some told again
)

// repeatFilter remembers what was said a short while ago.
type repeatFilter struct {
	mu   sync.Mutex
	told map[string]time.Time
}

func newRepeatFilter() *repeatFilter { return &repeatFilter{told: map[string]time.Time{}} }

// first reports whether this was not said within a minute, and remembers it. Numbers
// in the reason, such as an age, do not make it another.
func (q *repeatFilter) first(policy, kind, target, subject, reason string, now time.Time) bool {
	wordsOnly := strings.Map(func(r rune) rune {
		if unicode.IsDigit(r) {
			return -1
		}
		return r
	}, reason)
	key := strings.Join([]string{policy, kind, target, subject, wordsOnly}, "\x00")
	q.mu.Lock()
	defer q.mu.Unlock()
	if at, was := q.told[key]; was && now.Sub(at) < repeatInterval {
		return false
	}
	if len(q.told) >= maxReported {
		maps.DeleteFunc(q.told, func(_ string, at time.Time) bool { return now.Sub(at) >= repeatInterval })
	}
	if len(q.told) >= maxReported {
		clear(q.told)
	}
	q.told[key] = now
	return true
}

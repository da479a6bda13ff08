package containerguard

import (
	"maps"
	"strings"
	"sync"
	"time"
	"unicode"
)

const (
	quietSpan = time.Minute
	maxQuiet  = 4096 // matters remembered; beyond it all are forgotten, and some told again
)

// quiet remembers what was said a short while ago.
type quiet struct {
	mu   sync.Mutex
	told map[string]time.Time
}

func newQuiet() *quiet { return &quiet{told: map[string]time.Time{}} }

// first reports whether this was not said within a minute, and remembers it. Numbers
// in the reason, such as an age, do not make it another.
func (q *quiet) first(policy, kind, target, subject, reason string, now time.Time) bool {
	wordsOnly := strings.Map(func(r rune) rune {
		if unicode.IsDigit(r) {
			return -1
		}
		return r
	}, reason)
	key := strings.Join([]string{policy, kind, target, subject, wordsOnly}, "\x00")
	q.mu.Lock()
	defer q.mu.Unlock()
	if at, was := q.told[key]; was && now.Sub(at) < quietSpan {
		return false
	}
	if len(q.told) >= maxQuiet {
		maps.DeleteFunc(q.told, func(_ string, at time.Time) bool { return now.Sub(at) >= quietSpan })
	}
	if len(q.told) >= maxQuiet {
		clear(q.told)
	}
	q.told[key] = now
	return true
}

// Package backoff spaces repeated attempts at something that failed: the wait
// doubles with each failure up to a cap. It is a leaf that every package, bus
// included, may import; callers count their own failures and do the waiting.
package backoff

import (
	"math/rand/v2"
	"time"
)

// Delay returns how long to wait after failure number attempt, counted from 0: first,
// doubled for each attempt, at most limit. Up to a quarter is taken off at random, so that
// clients that lost the same server do not all return at the same moment. A negative
// attempt counts as 0. first and limit must be positive.
func Delay(attempt int, first, limit time.Duration) time.Duration {
	d := min(first, limit)
	for ; attempt > 0 && d < limit; attempt-- {
		d = min(d, limit-d) + d // doubled, without overflow
	}
	return d - rand.N(d/4+1) //nolint:gosec // spreads load, protects nothing
}

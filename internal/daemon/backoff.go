package daemon

import (
	"math/rand/v2"
	"time"
)

// backoff doubles the wait before each restart. The zero value starts at minRestart.
type backoff struct{ failures int }

// next returns the wait after one more failure of something that had run for
// ran: minRestart doubled for each failure, a quarter more or less so that
// modules that failed together do not return together, at most maxRestart.
func (b *backoff) next(ran time.Duration) time.Duration {
	if ran >= calm {
		b.failures = 0
	}
	wait := maxRestart
	if b.failures < 6 {
		wait = min(minRestart<<b.failures, maxRestart)
		b.failures++
	}
	return min(jitter(wait), maxRestart)
}

func jitter(d time.Duration) time.Duration {
	return d*3/4 + rand.N(d/2) //nolint:gosec // spreads load, protects nothing
}

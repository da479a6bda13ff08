package quarantine

import (
	"math/rand/v2"
	"time"
)

// Waits between attempts of what can pass by itself.
const (
	firstRetry = 100 * time.Millisecond
	lastRetry  = 5 * time.Second
)

// backoff says when to try again: soon, then ever later, never all at once.
type backoff struct {
	next time.Time // zero: nothing to try
	wait time.Duration
}

// note takes the outcome of an attempt.
func (b *backoff) note(err error) {
	if err == nil {
		*b = backoff{}
		return
	}
	b.wait = min(max(2*b.wait, firstRetry), lastRetry)
	b.next = time.Now().Add(b.wait/2 + rand.N(b.wait)) //nolint:gosec // jitter needs no secret
}

func (b *backoff) due(now time.Time) bool { return !now.Before(b.next) }

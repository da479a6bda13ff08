package safety

import (
	"fmt"
	"time"

	"github.com/ironpost/ironpost/event"
)

// maxFuture is how far in the future an alert may be: clocks differ a little.
const maxFuture = time.Minute

// Stale returns why a must not be acted on at now: what happened is longer ago than
// limit, by the alert's own times, or in the future. It returns "" for one that is
// fresh. An address or a process id means something else a while later.
func Stale(a *event.Alert, now time.Time, limit time.Duration) string {
	oldest, newest := a.Time, a.Time
	if !a.LastSeen.IsZero() && a.LastSeen.Before(oldest) {
		oldest = a.LastSeen
	}
	if a.LastSeen.After(newest) {
		newest = a.LastSeen
	}
	switch age := now.Sub(oldest); {
	case age > limit:
		return fmt.Sprintf("the alert is %s old, the limit is %s", age.Round(time.Second), limit)
	case newest.Sub(now) > maxFuture:
		return fmt.Sprintf("the alert is %s in the future", newest.Sub(now).Round(time.Second))
	}
	return ""
}

// Deadline is when a becomes stale.
func Deadline(a *event.Alert, limit time.Duration) time.Time {
	oldest := a.Time
	if !a.LastSeen.IsZero() && a.LastSeen.Before(oldest) {
		oldest = a.LastSeen
	}
	return oldest.Add(limit)
}

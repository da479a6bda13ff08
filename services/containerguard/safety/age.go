package safety

import (
	"fmt"
	"time"

	"github.com/ironpost/ironpost/event"
)

// maxFuture is how far in the future an alert may be: clocks differ a little.
const maxFuture = time.Minute

// Stale says why a must not be acted on at now, or returns "": by the alert's own times
// it was received longer ago than limit, when addresses and process ids may have meant
// something else, or it is in the future.
func Stale(a *event.Alert, now time.Time, limit time.Duration) string {
	newest := a.Time
	if received := a.ReceivedAt(); received.After(newest) {
		newest = received
	}
	switch age := now.Sub(Deadline(a, 0)); {
	case age > limit:
		return fmt.Sprintf("the alert is %s old, the limit is %s", age.Round(time.Second), limit)
	case newest.Sub(now) > maxFuture:
		return fmt.Sprintf("the alert is %s in the future", newest.Sub(now).Round(time.Second))
	}
	return ""
}

// Deadline returns when a becomes stale: limit after the older of its times.
func Deadline(a *event.Alert, limit time.Duration) time.Time {
	oldest := a.Time
	if received := a.ReceivedAt(); !received.IsZero() && received.Before(oldest) {
		oldest = received
	}
	return oldest.Add(limit)
}

package task

import (
	"context"
	"time"
)

// Pause waits for d or the end of ctx, whichever comes first. It may be called
// concurrently.
func Pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

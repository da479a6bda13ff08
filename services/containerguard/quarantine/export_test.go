package quarantine

import (
	"context"
	"time"
)

// Sweep applies the limits on evidence, as Run does every minute.
func (m *Manager) Sweep(ctx context.Context) { m.evidence.sweep(ctx, time.Now()) }

// RestartOnRelease makes a release restart containers, as it does where entering their
// network namespace fails.
func RestartOnRelease(o *Options) { o.restartOnRelease = true }

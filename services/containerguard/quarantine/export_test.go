package quarantine

import (
	"context"
	"time"
)

// Sweep does what Run does from time to time.
func (m *Manager) Sweep(ctx context.Context) { m.archive.sweep(ctx, time.Now()) }

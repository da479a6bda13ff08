package bus

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/sirupsen/logrus"
)

// MaintenanceConfig configures stream maintenance.
type MaintenanceConfig struct {
	// Durables are those of the table: only they may stop a producer.
	Durables []Durable
	// Interval is the time between two passes (default 1 s). After a pass that purged, the
	// next one follows ten times as soon; while every stream has much room and every
	// durable of the table is there, five times as late.
	Interval time.Duration
	// StaleAfter is how long a durable that is not of the table stays when it is not used
	// (default 7 days).
	StaleAfter time.Duration
	Log        logrus.FieldLogger
}

// MaintenanceReport is what one pass did.
type MaintenanceReport struct {
	// Purged counts messages.
	Purged map[StreamName]uint64
	// Removed names the stale durables that were removed.
	Removed []string
	// Restored are durables of the table that had been deleted and were made again.
	Restored []Durable
	// Reasons says, for people and by the module that consumes them, which durables are
	// missing or keep a stream nearly full.
	Reasons map[string][]string
}

// maintenance is one call of RunMaintenance.
type maintenance struct {
	c       *Conn
	cfg     MaintenanceConfig
	started time.Time

	calm         bool                 // the last pass found much room, and every durable of the table
	staleChecked time.Time            // when stale durables were last looked for
	doneThrough  map[string]uint64    // by durable of the table: what it last was done with
	missingSince map[string]time.Time // by durable of the table
}

// RunMaintenance purges streams that are nearly full, restores durables of the table that
// were deleted, and removes stale ones, until ctx ends; then it returns nil. It calls
// each, which may be nil, with the report of every pass; a pass that failed is logged
// and repeated.
func (c *Conn) RunMaintenance(ctx context.Context, cfg MaintenanceConfig, each func(MaintenanceReport)) error {
	m := c.newMaintenance(cfg)
	ticker := time.NewTicker(m.cfg.Interval)
	defer ticker.Stop()
	for {
		report, err := m.pass(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			m.cfg.Log.WithError(err).Warn("stream maintenance failed, trying again")
		case each != nil:
			each(report)
		}
		ticker.Reset(m.pause(report))
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		}
	}
}

func (c *Conn) newMaintenance(cfg MaintenanceConfig) *maintenance {
	if cfg.Interval <= 0 {
		cfg.Interval = time.Second
	}
	if cfg.StaleAfter <= 0 {
		cfg.StaleAfter = 7 * 24 * time.Hour
	}
	if cfg.Log == nil {
		cfg.Log = c.log
	}
	return &maintenance{c: c, cfg: cfg, started: time.Now(), doneThrough: map[string]uint64{}, missingSince: map[string]time.Time{}}
}

// muchRoom is more than producers fill between two passes of a calm maintenance: 50 MB/s.
const muchRoom = 256 << 20

// pause returns how long to wait after a pass.
func (m *maintenance) pause(report MaintenanceReport) time.Duration {
	switch {
	case len(report.Purged) > 0: // the room may soon be used up, and the producers of a small stream wait
		return max(m.cfg.Interval/10, 1)
	case m.calm:
		return 5 * m.cfg.Interval
	default:
		return m.cfg.Interval
	}
}

func (m *maintenance) pass(ctx context.Context) (MaintenanceReport, error) {
	m.calm = false
	tight := false
	report := MaintenanceReport{Purged: map[StreamName]uint64{}, Reasons: map[string][]string{}}
	for _, name := range []StreamName{Packets, Alerts, Actions} {
		s, err := m.c.streamState(ctx, name, m.cfg.Durables)
		if err != nil {
			return report, fmt.Errorf("state of %s: %w", name, err)
		}
		if name != Packets { // which drops its oldest by itself
			if err := m.purge(ctx, s, &report); err != nil {
				return report, fmt.Errorf("purge %s: %w", name, err)
			}
			tight = tight || s.highMark()-float64(s.Bytes) < muchRoom
		}
		if err := m.restoreDurables(ctx, s, &report); err != nil {
			return report, err
		}
	}
	err := m.removeStale(ctx, &report)
	m.calm = err == nil && !tight && len(m.missingSince) == 0
	return report, err
}

// inTable reports whether the table of this host has the durable.
func (m *maintenance) inTable(stream StreamName, name string) bool {
	return slices.ContainsFunc(m.cfg.Durables, func(d Durable) bool { return d.Stream == stream && d.Name == name })
}

// addReason adds a reason for the module that consumes the durable.
func (m *maintenance) addReason(report *MaintenanceReport, durable, reason string) {
	module := Daemon
	for _, d := range m.cfg.Durables {
		if d.Name == durable {
			module = d.Module
		}
	}
	report.Reasons[module] = append(report.Reasons[module], reason)
}

package bus

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/sirupsen/logrus"
)

// MaintenanceConfig says what the janitor goes by. Durables are those of the table: only
// they may stop a producer. Every is how often it looks (default 1 s; after a look that
// made room ten times as often), Unseen after how long a durable that is not of the table is removed (default 7 days).
type MaintenanceConfig struct {
	Durables   []Durable
	Interval   time.Duration
	StaleAfter time.Duration
	Log        logrus.FieldLogger
}

// MaintenanceReport is what one look did. Purged counts messages; Removed are durables of
// nobody, Restored those of the table that somebody had deleted and that were made again.
// Reasons name, for people, by the module that is to blame, the durables that are
// missing or that hold up a stream that is nearly full.
type MaintenanceReport struct {
	Purged   map[StreamName]uint64
	Removed  []string
	Restored []Durable
	Reasons  map[string][]string
}

// A stream is nearly full above nearlyFull of its bytes; then room for that much of
// them is made, so far as its durables allow.
const (
	nearlyFull = 0.90
	room       = 0.15
)

// RunMaintenance looks after the streams until ctx ends; then it returns nil. Each look
// is told to tell, which may be nil; a look that failed is logged and tried again.
func (c *Conn) RunMaintenance(ctx context.Context, cfg MaintenanceConfig, tell func(MaintenanceReport)) error {
	cfg = cfg.filled(c)
	ticker := time.NewTicker(cfg.Interval)
	defer ticker.Stop()
	seen := newSightings()
	for {
		report, err := c.look(ctx, cfg, seen)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			cfg.Log.WithError(err).Warn("streams not looked after")
		case tell != nil:
			tell(report)
		}
		ticker.Reset(cfg.after(report))
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// after returns when to look again. Where room had to be made it may soon be used up: the
// producers of a small stream shall not wait for it.
func (cfg MaintenanceConfig) after(report MaintenanceReport) time.Duration {
	if len(report.Purged) > 0 {
		return max(cfg.Interval/10, 1)
	}
	return cfg.Interval
}

// PurgeNearlyFull purges once what nearly full streams can do without, and reports.
func (c *Conn) PurgeNearlyFull(ctx context.Context, cfg MaintenanceConfig) (MaintenanceReport, error) {
	return c.shed(ctx, cfg.filled(c))
}

func (c *Conn) look(ctx context.Context, cfg MaintenanceConfig, seen *sightings) (MaintenanceReport, error) {
	report, err := c.shed(ctx, cfg)
	if err != nil {
		return report, err
	}
	if report.Restored, err = c.restore(ctx, cfg, seen); err != nil {
		return report, err
	}
	report.Removed, err = c.removeUnseen(ctx, cfg, seen)
	return report, err
}

func (c *Conn) shed(ctx context.Context, cfg MaintenanceConfig) (MaintenanceReport, error) {
	report := MaintenanceReport{Purged: map[StreamName]uint64{}, Reasons: map[string][]string{}}
	for _, name := range []StreamName{Alerts, Actions} {
		s, err := c.streamState(ctx, name, cfg.Durables)
		if err != nil {
			return report, fmt.Errorf("state of %s: %w", name, err)
		}
		report.missing(s, cfg)
		if !s.nearlyFull() {
			continue
		}
		others, err := c.elsewhere(ctx, name)
		if err != nil {
			return report, fmt.Errorf("durables of %s: %w", name, err)
		}
		s.Durables = append(s.Durables, unlisted(others, cfg, name)...)
		n, err := c.purge(ctx, s)
		if err != nil {
			return report, fmt.Errorf("purge %s: %w", name, err)
		}
		report.tell(cfg, s, n)
	}
	return report, nil
}

// purge removes the oldest messages that no durable of a table needs, enough to
// make room, and returns how many. Deliveries that failed and wait to come again may
// come up to ackWait later for it: the server forgets its queue of them.
func (c *Conn) purge(ctx context.Context, s StreamState) (uint64, error) {
	upTo := min(s.needless(), s.FirstSeq+s.surplus()-1)
	if s.Messages == 0 || upTo < s.FirstSeq {
		return 0, nil
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	stream, err := c.js.Stream(ctx, string(s.Name))
	if err != nil {
		return 0, err
	}
	before := stream.CachedInfo().State.FirstSeq
	if err := stream.Purge(ctx, jetstream.WithPurgeSequence(upTo+1)); err != nil {
		return 0, err
	}
	return upTo + 1 - min(before, upTo+1), nil
}

// needless returns the last sequence that no durable needs, 0 if one is missing.
func (s StreamState) needless() uint64 {
	upTo := s.LastSeq
	for _, d := range s.Durables {
		if !d.Present {
			return 0
		}
		upTo = min(upTo, d.done(s.LastSeq))
	}
	return upTo
}

// surplus estimates how many of the oldest messages to remove, at least one.
func (s StreamState) surplus() uint64 {
	excess := float64(s.Bytes) - s.high() + room*float64(s.MaxBytes)
	average := float64(s.Bytes) / float64(max(s.Messages, 1))
	return uint64(max(1, excess/max(average, 1)))
}

// high is how many bytes make the stream nearly full. It leaves room for at least
// two of the largest messages.
func (s StreamState) high() float64 {
	return max(0, min(nearlyFull*float64(s.MaxBytes), float64(s.MaxBytes-2*maxMessage)))
}

func (s StreamState) nearlyFull() bool { return s.MaxBytes > 0 && float64(s.Bytes) > s.high() }

func (r *MaintenanceReport) missing(s StreamState, cfg MaintenanceConfig) {
	for _, d := range s.Durables {
		if !d.Present {
			r.blame(cfg, d, fmt.Sprintf("%s has lost its durable %s", s.Name, d.Name))
		}
	}
}

// tell reports a look at a nearly full stream.
func (r *MaintenanceReport) tell(cfg MaintenanceConfig, s StreamState, purged uint64) {
	if purged > 0 {
		r.Purged[s.Name] += purged
		cfg.Log.WithFields(logrus.Fields{"stream": s.Name, "purged": purged, "bytes": s.Bytes, "max_bytes": s.MaxBytes}).
			Warn("stream nearly full, oldest history removed")
		return
	}
	for _, d := range s.Durables {
		if d.Present && d.done(s.LastSeq) < s.LastSeq {
			r.blame(cfg, d, cfg.holdsUp(s.Name, d))
		}
	}
}

// holdsUp says that d keeps a stream full, and, where its host may be gone for good,
// what to do.
func (cfg MaintenanceConfig) holdsUp(stream StreamName, d DurableState) string {
	reason := fmt.Sprintf("%s is nearly full and %s is behind by %d", stream, d.Name, d.Pending+uint64(d.AckPending))
	if cfg.lists(stream, d.Name) || d.Waiting > 0 || time.Since(d.LastUsed) < atWork {
		return reason
	}
	return fmt.Sprintf("%s, and nobody consumes it: start Ironpost on that host, or, if the host is gone for good, remove what waits for it with: "+
		"nats consumer rm %s %s (comes by itself %s after it was last seen)", reason, stream, d.Name, spoken(cfg.StaleAfter))
}

// atWork is how long a consumer that pulls nothing may be busy with what it has.
const atWork = 5 * time.Minute

// spoken says d in days if it is some, else in hours.
func spoken(d time.Duration) string {
	const day = 24 * time.Hour
	if d >= day {
		return fmt.Sprintf("%d days", d/day)
	}
	return fmt.Sprintf("%.3g hours", d.Hours())
}

func (r *MaintenanceReport) blame(cfg MaintenanceConfig, d DurableState, reason string) {
	module := cfg.owner(d.Name)
	r.Reasons[module] = append(r.Reasons[module], reason)
}

// unlisted leaves out what the table has.
func unlisted(all []DurableState, cfg MaintenanceConfig, stream StreamName) []DurableState {
	return slices.DeleteFunc(all, func(d DurableState) bool { return cfg.lists(stream, d.Name) })
}

// owner returns the module that consumes durable.
func (cfg MaintenanceConfig) owner(durable string) string {
	for _, d := range cfg.Durables {
		if d.Name == durable {
			return d.Module
		}
	}
	return Daemon
}

func (cfg MaintenanceConfig) filled(c *Conn) MaintenanceConfig {
	if cfg.Interval <= 0 {
		cfg.Interval = time.Second
	}
	if cfg.StaleAfter <= 0 {
		cfg.StaleAfter = 7 * 24 * time.Hour
	}
	if cfg.Log == nil {
		cfg.Log = c.log
	}
	return cfg
}

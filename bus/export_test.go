package bus

import (
	"context"
	"time"

	"github.com/nats-io/nats.go"
)

// WithDuplicates shortens how long the streams remember ids.
func (l Limits) WithDuplicates(d time.Duration) Limits {
	l.duplicates = d
	return l
}

// ForgetAfter tells p that its stream remembers ids for d.
func (p *Publisher) ForgetAfter(d time.Duration) { p.window = d }

// BeforePause has f called before each pause of p.
func (p *Publisher) BeforePause(f func()) {
	pause := p.pause
	p.pause = func(n int) time.Duration { f(); return pause(n) }
}

// Unconfirmed reports whether p has attempts that were not answered.
func (p *Publisher) Unconfirmed() bool { return !p.unconfirmed.since.IsZero() }

// StoredIDs returns how many ids p remembers.
func (p *Publisher) StoredIDs() int { return len(p.stored) }

// OpenPublishers returns how many publishers of c are not closed.
func (c *Conn) OpenPublishers() int { return len(c.openPublishers()) }

// AddViolation makes c remember a violation that happened at.
func (c *Conn) AddViolation(message string, at time.Time) { c.violations.add(message, at) }

// The parsers of what comes from outside.
var (
	ReadGreeting  = readGreeting
	ReadLine      = readLine
	ServiceSemver = semver
)

// PurgeNearlyFull makes the purges of one maintenance pass.
func (c *Conn) PurgeNearlyFull(ctx context.Context, cfg MaintenanceConfig) (MaintenanceReport, error) {
	m := c.newMaintenance(cfg)
	report := MaintenanceReport{Purged: map[StreamName]uint64{}, Reasons: map[string][]string{}}
	for _, name := range []StreamName{Alerts, Actions} {
		s, err := c.streamState(ctx, name, m.cfg.Durables)
		if err != nil {
			return report, err
		}
		if err := m.purge(ctx, s, &report); err != nil {
			return report, err
		}
	}
	return report, nil
}

// PauseOfMaintenance makes one maintenance pass and returns the pause after it.
func (c *Conn) PauseOfMaintenance(ctx context.Context, cfg MaintenanceConfig) (time.Duration, error) {
	m := c.newMaintenance(cfg)
	report, err := m.pass(ctx)
	return m.pause(report), err
}

// Apply takes over what the watch of the hub's bucket brings.
func (l *HubBlocklist) Apply(e KVEvent) { l.apply(e) }

// All reports whether the next write compares the whole bucket.
func (l *HubBlocklist) All() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all
}

// Changes returns what the next write would change.
func (l *HubBlocklist) Changes(ctx context.Context, list *Blocklist) ([]Block, []string, error) {
	return l.changes(ctx, list)
}

// HeldAfter has a consumer with a backlog handle m, and returns how many deliveries it extends then.
func (c *Conn) HeldAfter(ctx context.Context, d Durable, m *nats.Msg) int {
	w := c.newConsumer(d, ConsumeOptions{Concurrency: 2, Rank: func(Delivery) (int, string) { return 0, "" }}, nil)
	w.dispatch(ctx, []*nats.Msg{m})
	w.handle(ctx, []*nats.Msg{w.backlog.take(ctx)})
	return len(w.inHand)
}

package suite

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/ironpost/ironpost/bus"
)

// restoredFor is how long a durable that was deleted stays a reason after it was made
// again, so that the deletion is seen in the health.
const restoredFor = 10 * time.Minute

// streamMaintenance runs the maintenance of the bus's streams and keeps its reports for
// the health. Its methods may be called concurrently.
type streamMaintenance struct {
	conn *bus.Conn
	log  logrus.FieldLogger

	mu       sync.Mutex
	durables []bus.Durable
	restart  context.CancelFunc  // ends the current run, for other durables
	newest   map[string][]string // reasons of the newest report, by module
	restored map[string]restored // by durable
}

type restored struct {
	durable bus.Durable
	at      time.Time
	skipped bool // it starts with new records
}

func newStreamMaintenance(b *connections, log logrus.FieldLogger) *streamMaintenance {
	m := &streamMaintenance{conn: b.admin, durables: b.durables, log: log, restored: map[string]restored{}}
	for _, d := range b.skipping {
		m.restored[d.Name] = restored{durable: d, at: time.Now(), skipped: true}
	}
	return m
}

// run maintains the streams until ctx ends.
func (m *streamMaintenance) run(ctx context.Context) error {
	for ctx.Err() == nil {
		if err := m.runOnce(ctx); err != nil {
			return err
		}
	}
	return nil
}

// runOnce maintains the streams until ctx ends or setDurables is called.
func (m *streamMaintenance) runOnce(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	m.mu.Lock()
	m.restart = cancel
	durables := m.durables
	m.mu.Unlock()
	return m.conn.RunMaintenance(ctx, bus.MaintenanceConfig{Durables: durables, Log: m.log}, m.record)
}

// setDurables has m maintain other durables from now on.
func (m *streamMaintenance) setDurables(durables []bus.Durable) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.durables = durables
	if m.restart != nil {
		m.restart()
	}
}

func (m *streamMaintenance) record(report bus.MaintenanceReport) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.newest = report.Reasons
	for _, d := range report.Restored {
		m.restored[d.Name] = restored{durable: d, at: time.Now()}
	}
}

// reasons returns the reasons of the newest report, by the module they concern.
func (m *streamMaintenance) reasons() map[string][]string {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := map[string][]string{}
	for module, reasons := range m.newest {
		if module == bus.Daemon { // no module of ours causes it
			module = busName
		}
		out[module] = append(out[module], reasons...)
	}
	for name, r := range m.restored {
		if time.Since(r.at) > restoredFor {
			delete(m.restored, name)
			continue
		}
		reason := "%s %s on %s was deleted at %s and made again"
		if r.skipped {
			reason = "%s %s on %s was deleted and made again at %s: what was stored in between is not handled"
		}
		module, which := r.durable.Module, "its durable"
		if module == bus.Daemon {
			module, which = busName, "the durable"
		}
		out[module] = append(out[module], fmt.Sprintf(reason, which, name, r.durable.Stream, r.at.UTC().Format(time.RFC3339)))
	}
	return out
}

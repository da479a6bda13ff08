package bus

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/sirupsen/logrus"
)

// lastUsedKey is the metadata of a durable that says when it was last used, so that
// the time the daemon was stopped counts, too.
const lastUsedKey = "ironpost-seen"

const (
	// staleInterval bounds how often all durables are listed.
	staleInterval = time.Minute
	// saveLastUsedEvery is how often the last use of a durable is saved.
	saveLastUsedEvery = time.Hour
	// staleGrace is how long after its start maintenance removes nothing, so that consumers
	// on other hosts can connect first.
	staleGrace = 10 * time.Minute
)

// removeStale removes durables that are not of the table and were not used for
// StaleAfter.
func (m *maintenance) removeStale(ctx context.Context, report *MaintenanceReport) error {
	if time.Since(m.staleChecked) < min(staleInterval, m.cfg.StaleAfter) {
		return nil
	}
	for _, name := range []StreamName{Packets, Alerts, Actions} {
		if err := m.removeStaleOf(ctx, name, report); err != nil {
			return fmt.Errorf("stale durables of %s: %w", name, err)
		}
	}
	m.staleChecked = time.Now()
	return nil
}

func (m *maintenance) removeStaleOf(ctx context.Context, name StreamName, report *MaintenanceReport) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	stream, err := m.c.js.Stream(ctx, string(name))
	if err != nil {
		return err
	}
	list := stream.ListConsumers(ctx)
	for info := range list.Info() {
		if info.Config.Durable == "" || m.inTable(name, info.Name) {
			continue
		}
		saved, used := savedLastUse(info), lastUsed(info)
		if info.NumWaiting > 0 { // a pull request waits
			used = time.Now()
		}
		if used.Sub(saved) >= saveLastUsedEvery {
			if err := saveLastUse(ctx, stream, info, used); err != nil {
				return err
			}
			continue
		}
		used = latest(saved, used)
		if time.Since(used) < m.cfg.StaleAfter || time.Since(m.started) < min(staleGrace, m.cfg.StaleAfter) {
			continue
		}
		// Deliveries that are not acknowledged do not keep it: its consumer may have died.
		if err := stream.DeleteConsumer(ctx, info.Name); err != nil {
			return err
		}
		m.cfg.Log.WithFields(logrus.Fields{"stream": info.Stream, "durable": info.Name, "last_used": used}).
			Error("stale durable removed")
		report.Removed = append(report.Removed, info.Name)
	}
	return list.Err()
}

// savedLastUse returns the last use that was saved, at first the creation.
func savedLastUse(info *jetstream.ConsumerInfo) time.Time {
	at, err := time.Parse(time.RFC3339, info.Config.Metadata[lastUsedKey])
	if err != nil {
		return info.Created
	}
	return at
}

func saveLastUse(ctx context.Context, stream jetstream.Stream, info *jetstream.ConsumerInfo, used time.Time) error {
	cfg := info.Config
	cfg.Metadata = maps.Clone(cfg.Metadata)
	if cfg.Metadata == nil {
		cfg.Metadata = map[string]string{}
	}
	cfg.Metadata[lastUsedKey] = used.UTC().Format(time.RFC3339)
	_, err := stream.UpdateConsumer(ctx, cfg)
	return err
}

// lastUsed returns when the durable last delivered something or was acknowledged; the
// server forgets it when it restarts.
func lastUsed(info *jetstream.ConsumerInfo) (at time.Time) {
	for _, last := range []*time.Time{info.Delivered.Last, info.AckFloor.Last} {
		if last != nil {
			at = latest(at, *last)
		}
	}
	return at
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

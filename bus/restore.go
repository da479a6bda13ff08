package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/sirupsen/logrus"
)

// restoreAfter is how long a durable must be missing before it is made again: the server
// forgets a deleted one before it removes its files, and would remove those of the new one.
const restoreAfter = 500 * time.Millisecond

// restoreDurables makes durables of the table again that were deleted from s: without its
// durable a module gets nothing, and its producers stop once the stream is full.
func (m *maintenance) restoreDurables(ctx context.Context, s StreamState, report *MaintenanceReport) error {
	states := map[string]DurableState{}
	for _, state := range s.Durables {
		states[state.Name] = state
	}
	for _, d := range m.cfg.Durables {
		if d.Stream != s.Name {
			continue
		}
		if state := states[d.Name]; state.Present {
			delete(m.missingSince, d.Name)
			m.doneThrough[d.Name] = state.doneThrough(s.LastSeq)
			continue
		}
		if m.missingSince[d.Name].IsZero() {
			m.missingSince[d.Name] = time.Now()
		}
		if time.Since(m.missingSince[d.Name]) < restoreAfter {
			continue
		}
		if err := m.restoreDurable(ctx, d); err != nil {
			return fmt.Errorf("restore durable %s of %s: %w", d.Name, d.Stream, err)
		}
		report.Restored = append(report.Restored, d)
	}
	return nil
}

// restoreDurable makes d as Provision would, but starts it where it was in the last pass,
// if that is known. What was handled since then is delivered once more.
func (m *maintenance) restoreDurable(ctx context.Context, d Durable) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	cfg := d.config()
	start := "all records"
	if d.FromNew {
		start = "new records"
	}
	if done, known := m.doneThrough[d.Name]; known {
		start = fmt.Sprintf("sequence %d", done+1)
		cfg.DeliverPolicy, cfg.OptStartSeq = jetstream.DeliverByStartSequencePolicy, done+1
	}
	_, err := m.c.js.CreateConsumer(ctx, string(d.Stream), cfg)
	if errors.Is(err, jetstream.ErrConsumerExists) { // it only seemed to be missing, as when the server lacked file descriptors
		return nil
	}
	if err != nil {
		return err
	}
	m.cfg.Log.WithFields(logrus.Fields{"stream": d.Stream, "durable": d.Name, "module": d.Module, "start": start}).
		Error("durable was deleted, made again")
	return nil
}

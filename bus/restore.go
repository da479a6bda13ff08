package bus

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/sirupsen/logrus"
)

// restoreAfter is how long a durable must be missing: the server forgets a deleted
// one before it removes its files, and would take those of the new one with them.
const restoreAfter = 500 * time.Millisecond

// restore makes durables of the table again that somebody deleted, from where they
// were when last seen: without one its module gets nothing, and its producers stop
// once the stream is full.
func (c *Conn) restore(ctx context.Context, cfg MaintenanceConfig, seen *sightings) ([]Durable, error) {
	var restored []Durable
	for _, d := range cfg.Durables {
		gone, err := c.goneDurable(ctx, d, seen)
		if err == nil && gone {
			err = c.restoreDurable(ctx, d, cfg.Log, seen)
		}
		if err != nil {
			return restored, fmt.Errorf("durable %s of %s: %w", d.Name, d.Stream, err)
		}
		if gone {
			restored = append(restored, d)
		}
	}
	return restored, nil
}

// goneDurable reports whether d has been missing for a while, and otherwise notes how far it is.
func (c *Conn) goneDurable(ctx context.Context, d Durable, seen *sightings) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	stream, err := c.js.Stream(ctx, string(d.Stream))
	if err != nil {
		return false, err
	}
	state, err := durableState(ctx, stream, d.Name)
	if err != nil {
		return false, err
	}
	if !state.Present {
		return seen.missingFor(d.Name) >= restoreAfter, nil
	}
	delete(seen.gone, d.Name)
	seen.done[d.Name] = state.done(stream.CachedInfo().State.LastSeq)
	return false, nil
}

// missingFor notes that durable is missing and returns for how long it has been.
func (s *sightings) missingFor(durable string) time.Duration {
	if s.gone[durable].IsZero() {
		s.gone[durable] = time.Now()
	}
	return time.Since(s.gone[durable])
}

// restoreDurable makes d as Provision would, but has it start where it was, if that
// is known. What was handled after the last look comes once more.
func (c *Conn) restoreDurable(ctx context.Context, d Durable, log logrus.FieldLogger, seen *sightings) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	cfg := d.config()
	done, known := seen.done[d.Name]
	if known {
		cfg.DeliverPolicy, cfg.OptStartSeq = jetstream.DeliverByStartSequencePolicy, done+1
	}
	if _, err := c.js.CreateOrUpdateConsumer(ctx, string(d.Stream), cfg); err != nil {
		return err
	}
	log.WithFields(logrus.Fields{"stream": d.Stream, "durable": d.Name, "module": d.Module, "after_seq": done}).
		Error("durable was deleted, made again")
	return nil
}

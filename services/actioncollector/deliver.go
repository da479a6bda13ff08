package actioncollector

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/task"
	"github.com/ironpost/ironpost/services/actioncollector/audit"
)

// pending is a delivered action and where it belongs in the batch it came with.
type pending struct {
	at     int
	action event.Action
	entry  audit.Entry
}

// handle audits the actions that arrived together, with one write to the disk: under load
// that is many more a second than one by one. It returns when their records are there.
func (s *Service) handle(ctx context.Context, ds []bus.Delivery) []error {
	errs := make([]error, len(ds))
	batch := make([]pending, 0, len(ds))
	for i, d := range ds {
		p := pending{at: i}
		if err := readAction(d, &p.action); err != nil {
			s.metrics.rejected.Inc()
			s.health.count(func(c *counters) { c.rejected++ })
			errs[i] = bus.Reject(err)
			continue
		}
		p.entry = audit.Entry{ID: p.action.ID, StreamSeq: d.Sequence, Action: d.Data}
		batch = append(batch, p)
	}
	if err := s.audit(ctx, batch); err != nil {
		for _, p := range batch {
			errs[p.at] = err
		}
	}
	return errs
}

// readAction decodes d. What the record says of its origin must be what the server
// enforced.
func readAction(d bus.Delivery, a *event.Action) error {
	if err := event.Decode(d.Data, a); err != nil {
		return err
	}
	if module, host := d.Origin(); a.Module != module || a.Host != host {
		return fmt.Errorf("an action of %s on %q, published by %s on %q", a.Module, a.Host, module, host)
	}
	return nil
}

// audit writes batch to the trail and logs what was not there already. While
// that cannot be done it waits and tries again, so nothing more is pulled; it
// gives up when ctx ends, and the actions come again.
func (s *Service) audit(ctx context.Context, batch []pending) error {
	for len(batch) > 0 {
		fresh, last, err := s.try(ctx, batch)
		if err == nil {
			for i := range fresh {
				logAction(s.log, &fresh[i].action, last-uint64(len(fresh)-1-i), fresh[i].entry.StreamSeq)
			}
			return nil
		}
		task.Pause(ctx, retry)
		if ctx.Err() != nil {
			return err
		}
	}
	return nil
}

// try returns what of batch it wrote, and the seq of the last record.
func (s *Service) try(ctx context.Context, batch []pending) ([]pending, uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fresh, last, err := s.append(ctx, batch)
	if errors.Is(err, audit.ErrTampered) { // declared when opened anew, then the actions have their place
		s.drop()
		fresh, last, err = s.append(ctx, batch)
	}
	if err != nil {
		s.writeFailed(err)
		return nil, 0, err
	}
	s.health.clear(reasonWrite)
	return fresh, last, nil
}

func (s *Service) append(ctx context.Context, batch []pending) ([]pending, uint64, error) {
	if err := s.open(ctx); err != nil {
		return nil, 0, err
	}
	fresh, err := s.unknown(ctx, batch)
	if err != nil {
		return nil, 0, err
	}
	last, err := s.record(fresh)
	if err != nil {
		return nil, 0, err
	}
	known := len(batch) - len(fresh)
	s.metrics.duplicates.Add(float64(known))
	s.health.count(func(c *counters) { c.duplicates += uint64(known) })
	return fresh, last, nil
}

// unknown returns the actions of batch that are not in the trail, each once.
func (s *Service) unknown(ctx context.Context, batch []pending) ([]pending, error) {
	fresh, ids := make([]pending, 0, len(batch)), make(map[string]bool, len(batch))
	for _, p := range batch {
		known, err := s.trail.Known(ctx, p.entry.ID, p.entry.StreamSeq)
		if err != nil {
			return nil, err
		}
		if !known && !ids[p.entry.ID] {
			ids[p.entry.ID] = true
			fresh = append(fresh, p)
		}
	}
	return fresh, nil
}

// record appends fresh to the trail and returns the seq of the last record.
func (s *Service) record(fresh []pending) (uint64, error) {
	if len(fresh) == 0 {
		return 0, nil
	}
	entries := make([]audit.Entry, len(fresh))
	for i, p := range fresh {
		entries[i] = p.entry
	}
	began := time.Now()
	head, err := s.trail.Append(entries...)
	if err != nil {
		return 0, err
	}
	s.metrics.append.Observe(time.Since(began).Seconds())
	s.moved(head)
	s.metrics.records.Add(float64(len(fresh)))
	s.health.count(func(c *counters) { c.audited += uint64(len(fresh)) })
	return head.Seq, nil
}

// moved takes note of a new head.
func (s *Service) moved(head audit.Head) {
	s.head = head
	s.metrics.head.Set(float64(head.Seq))
	s.health.count(func(c *counters) { c.head = head.Seq })
	s.keep.put(head)
}

// writeFailed is called with mu held. What is not a full disk may have left the trail in
// doubt: it is opened anew before the next action.
func (s *Service) writeFailed(err error) {
	s.metrics.failures.Inc()
	s.health.count(func(c *counters) { c.failures++ })
	if s.health.set(reasonWrite, "actions wait: "+err.Error()) {
		s.log.WithError(err).WithField("path", s.cfg.AuditPath).Error("action not audited, trying again")
	}
	if !errors.Is(err, audit.ErrFull) {
		s.drop()
	}
}

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

// delivered is an action and the index of its delivery in the batch.
type delivered struct {
	index  int
	action event.Action
	entry  audit.Entry
}

// handle records the actions that arrived together with one write to the disk: under load that is many more
// per second than one by one. It implements bus.BatchHandler and returns when the records are on the disk.
func (s *Service) handle(ctx context.Context, ds []bus.Delivery) []error {
	errs := make([]error, len(ds))
	batch := make([]delivered, 0, len(ds))
	for i, d := range ds {
		p := delivered{index: i}
		if err := readAction(d, &p.action); err != nil {
			s.rejected.Add(1)
			errs[i] = bus.Reject(err)
			continue
		}
		p.entry = audit.Entry{ID: p.action.ID, StreamSeq: d.Sequence, Action: d.Data}
		batch = append(batch, p)
	}
	if err := s.record(ctx, batch); err != nil {
		for _, p := range batch {
			errs[p.index] = err
		}
	}
	return errs
}

// readAction decodes d and checks that the origin in the record is the one that the server enforced.
func readAction(d bus.Delivery, a *event.Action) error {
	if err := event.Decode(d.Data, a); err != nil {
		return err
	}
	if module, host := d.Origin(); a.Module != module || a.Host != host {
		return fmt.Errorf("an action of %s on %q, published by %s on %q", a.Module, a.Host, module, host)
	}
	return nil
}

// record writes batch to the trail and logs the actions that were not in it yet. While that fails it waits
// and tries again, so that no more is consumed. It returns an error when ctx ends; then the actions are
// delivered again.
func (s *Service) record(ctx context.Context, batch []delivered) error {
	for len(batch) > 0 {
		added, last, err := s.tryRecord(ctx, batch)
		if err == nil {
			for i := range added {
				logAction(s.log, &added[i].action, last-uint64(len(added)-1-i), added[i].entry.StreamSeq)
			}
			return nil
		}
		task.Pause(ctx, retryInterval)
		if ctx.Err() != nil {
			return err
		}
	}
	return nil
}

// tryRecord returns the actions of batch that it added to the trail, and the seq of the last record. If the
// trail was changed while in use, it is opened again, which declares the damage, and written once more.
func (s *Service) tryRecord(ctx context.Context, batch []delivered) (added []delivered, last uint64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	added, last, err = s.append(ctx, batch)
	if errors.Is(err, audit.ErrTampered) {
		s.closeTrail()
		added, last, err = s.append(ctx, batch)
	}
	if err == nil {
		s.reasons.Clear(topicWrite)
		return added, last, nil
	}
	s.writeFailures.Add(1)
	if ctx.Err() == nil && s.reasons.Set(topicWrite, "actions wait: "+err.Error()) {
		s.log.WithError(err).WithField("path", s.cfg.AuditPath).Error("cannot write actions to the audit trail, trying again")
	}
	if !errors.Is(err, audit.ErrFull) { // the trail may be in an unknown state
		s.closeTrail()
	}
	return nil, 0, err
}

// append adds the actions of batch that are not in the trail, each once. s.mu is held.
func (s *Service) append(ctx context.Context, batch []delivered) (added []delivered, last uint64, err error) {
	if err := s.open(ctx); err != nil {
		return nil, 0, err
	}
	var entries []audit.Entry
	ids := make(map[string]bool, len(batch))
	for _, p := range batch {
		known, err := s.trail.Known(ctx, p.entry.ID, p.entry.StreamSeq)
		if err != nil {
			return nil, 0, err
		}
		if known || ids[p.entry.ID] {
			continue
		}
		ids[p.entry.ID] = true
		added, entries = append(added, p), append(entries, p.entry)
	}
	if len(entries) > 0 {
		began := time.Now()
		head, err := s.trail.Append(entries...)
		if err != nil {
			return nil, 0, err
		}
		s.appendSeconds.Observe(time.Since(began).Seconds())
		s.setHead(head)
		s.audited.Add(uint64(len(entries)))
		last = head.Seq
	}
	s.duplicates.Add(uint64(len(batch) - len(added)))
	return added, last, nil
}

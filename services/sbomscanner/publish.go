package sbomscanner

import (
	"context"
	"errors"
	"time"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
)

// maxBatch is how many alerts are published at once.
const maxBatch = 100

// batch is alerts on their way from the outbox to the bus.
type batch struct {
	alerts []*event.Alert
	forget uint64 // what the stream has up to here is out of the outbox
	seq    uint64 // after publishing: the newest of ours in the stream
}

// publish takes batches from the loop and returns them when the bus has stored them, however long that takes. What was stored before
// a crash is read back first, so that nothing is stored twice.
func (s *Service) publish(ctx context.Context, pub *bus.Publisher, l *loop, after uint64) error {
	if err := pub.Resume(ctx, after, nil); err != nil {
		return unlessEnded(ctx, err)
	}
	for {
		var b *batch
		select {
		case <-ctx.Done():
			return nil
		case b = <-l.offers:
		}
		pub.Forget(b.forget)
		records := make([]event.Record, len(b.alerts))
		for i, a := range b.alerts {
			copied := *a // Encode shortens in place
			records[i] = &copied
		}
		err := pub.Publish(ctx, records...)
		if errors.Is(err, bus.ErrInvalid) { // the others are stored
			s.log.WithError(err).Error("alert is no valid record, dropped")
			err = nil
		}
		if err != nil {
			return unlessEnded(ctx, err)
		}
		b.seq = pub.LastSeq()
		select {
		case <-ctx.Done():
			return nil
		case l.published <- b:
		}
	}
}

// unlessEnded returns err, nil if ctx has ended.
func unlessEnded(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// nextBatch returns alerts for the publisher, nil while it has some, or some are stored and still in the outbox.
func (l *loop) nextBatch() *batch {
	if l.batch != nil || l.stored != nil || l.findings.WaitingCount() == 0 {
		return nil
	}
	return &batch{alerts: l.findings.Waiting(maxBatch), forget: l.findings.LastSeq()}
}

// takeStored takes what the bus has stored from the outbox. If the disk refuses, it is tried again, and nothing is published
// meanwhile.
func (l *loop) takeStored(ctx context.Context) {
	if l.stored == nil {
		return
	}
	ids := map[string]bool{}
	for _, a := range l.stored.alerts {
		ids[a.ID] = true
	}
	err := l.findings.Published(ids, time.Now())
	if err == nil {
		err = l.findings.Reached(l.stored.seq)
	}
	if err != nil {
		if l.s.reasons.Set(topicOutbox, "alerts are published, which cannot be saved: "+err.Error()) {
			l.s.log.WithError(err).Error("outbox not saved, trying again")
		}
		return
	}
	l.s.reasons.Clear(topicOutbox)
	l.s.alerts.Add(uint64(len(ids)))
	for _, a := range l.stored.alerts {
		l.s.tally.Add(a)
	}
	l.stored, l.waitingSince = nil, time.Time{}
	l.assessWaiting(ctx)
}

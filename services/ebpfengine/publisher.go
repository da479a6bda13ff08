package ebpfengine

import (
	"context"
	"errors"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/services/ebpfengine/outbox"
)

const (
	// maxInFlight bounds the records that are sent and not yet stored. It is small on purpose: while the bus is slow, windows
	// are better merged in the outbox than queued.
	maxInFlight = 32
	// maxPerSecond bounds the records published by this module, whatever arrives. Records beyond it wait in the outbox, which
	// gives out detections first.
	maxPerSecond = 500
	// samplesInterval is how often the outbox is checked for samples, which fall due by time.
	samplesInterval = 250 * time.Millisecond
	// stopTimeout is how long a stop goes on publishing.
	stopTimeout = 2 * time.Second
)

// publisher publishes the records of the outbox.
type publisher struct {
	bus   *bus.Publisher
	box   *outbox.Outbox
	log   logrus.FieldLogger
	limit rateLimit

	stopped chan struct{} // closed when nothing is added to the outbox any more
}

func newPublisher(pub *bus.Publisher, box *outbox.Outbox, log logrus.FieldLogger) *publisher {
	return &publisher{bus: pub, box: box, log: log, stopped: make(chan struct{})}
}

// run publishes until stopped is closed and the outbox is empty, or ctx ends. The error is a connection closed for good.
func (p *publisher) run(ctx context.Context) error {
	for last := false; !last; {
		select {
		case <-p.stopped:
			last = true
		case <-p.box.Ready():
		case <-time.After(samplesInterval):
		}
		err := p.publishDue(ctx)
		if ctx.Err() != nil {
			p.log.WithField("records", p.box.Stats().Pending).Warn("packet records not published before the stop")
			return nil //nolint:nilerr // the stop took too long
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// publishDue publishes the due records and waits until they are stored. Send and Flush block while the bus is slow; records
// that come meanwhile are merged in the outbox.
func (p *publisher) publishDue(ctx context.Context) error {
	for record := p.box.Take(time.Now()); record != nil; record = p.box.Take(time.Now()) {
		if err := p.limit.wait(ctx); err != nil {
			return err
		}
		err := p.bus.Send(ctx, record)
		if errors.Is(err, bus.ErrInvalid) {
			p.log.WithError(err).WithField("kind", record.Kind).Error("packet record is invalid, dropped")
			continue
		}
		if err != nil {
			return err
		}
	}
	return p.bus.Flush(ctx)
}

// rateLimit allows maxPerSecond events in each second. It is for one goroutine.
type rateLimit struct {
	second time.Time // when the current one began
	used   int
}

// wait returns when the next event is allowed, or an error when ctx ends.
func (r *rateLimit) wait(ctx context.Context) error {
	if now := time.Now(); now.Sub(r.second) >= time.Second {
		r.second, r.used = now, 0
	}
	if r.used < maxPerSecond {
		r.used++
		return nil
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(time.Until(r.second.Add(time.Second))):
		r.second, r.used = time.Now(), 1
		return nil
	}
}

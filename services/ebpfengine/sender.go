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
	// maxInFlight bounds what is sent and not yet stored. It is small on purpose: a bus that does not answer for
	// more than that is slow, and then windows shall merge in the outbox.
	maxInFlight = 32
	// maxPerSecond bounds the messages of this module, all kinds together, whatever arrives. What is due beyond it
	// waits in the outbox, where detections go first.
	maxPerSecond = 500
	// lookEvery is how often samples, which fall due by time, are looked for.
	lookEvery = 250 * time.Millisecond
	// lastWords is how long a stop goes on publishing.
	lastWords = 2 * time.Second
)

// sender publishes what is due in the outbox.
type sender struct {
	pub   *bus.Publisher
	box   *outbox.Outbox
	log   logrus.FieldLogger
	quota quota

	stopped chan struct{} // closed when nothing more comes
}

func newSender(pub *bus.Publisher, box *outbox.Outbox, log logrus.FieldLogger) *sender {
	return &sender{pub: pub, box: box, log: log, stopped: make(chan struct{})}
}

// run publishes until stopped is closed and everything is out. It ends with ctx in any case, and with an error
// if the connection is closed for good.
func (s *sender) run(ctx context.Context) error {
	for last := false; !last; {
		select {
		case <-s.stopped:
			last = true
		case <-s.box.Ready():
		case <-time.After(lookEvery):
		}
		err := s.publish(ctx)
		if ctx.Err() != nil {
			s.log.WithField("records", s.box.Stats().Pending).Warn("packet records not published before the stop")
			return nil //nolint:nilerr // the stop took too long
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// publish sends what is due and waits until it is stored. Send and Flush block while the bus is slow; what comes
// meanwhile merges in the outbox.
func (s *sender) publish(ctx context.Context) error {
	for record := s.box.Take(time.Now()); record != nil; record = s.box.Take(time.Now()) {
		if err := s.quota.wait(ctx); err != nil {
			return err
		}
		err := s.pub.Send(ctx, record)
		if errors.Is(err, bus.ErrInvalid) {
			s.log.WithError(err).WithField("kind", record.Kind).Error("packet record refused")
			continue
		}
		if err != nil {
			return err
		}
	}
	return s.pub.Flush(ctx)
}

// quota lets maxPerSecond go in each second. It is for one goroutine.
type quota struct {
	second time.Time // began
	spent  int
}

// wait returns when one more may go, or ctx ends.
func (q *quota) wait(ctx context.Context) error {
	if now := time.Now(); now.Sub(q.second) >= time.Second {
		q.second, q.spent = now, 0
	}
	if q.spent < maxPerSecond {
		q.spent++
		return nil
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(time.Until(q.second.Add(time.Second))):
		q.second, q.spent = time.Now(), 1
		return nil
	}
}

package bus

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/ironpost/ironpost/event"
)

// pendingPublish is a record that was sent and is not known to be stored. after is
// a sequence that is lower than the one it gets.
type pendingPublish struct {
	outgoing
	ack    jetstream.PubAckFuture
	failed bool // refused or not answered
	sent   time.Time
	after  uint64
}

// blockedAfter is how long a full window is ordinary back-pressure.
const blockedAfter = 100 * time.Millisecond

// Send publishes rec without waiting for it to be stored. While InFlight records are
// pending it waits for the oldest, and publishes it again, with the same id, if it was
// refused or not answered, until ctx ends. Flush returns when everything is stored. Order may
// change where a record has to be published again. Use Send or Publish on a Publisher,
// not both.
func (p *Publisher) Send(ctx context.Context, rec event.Record) error {
	defer p.stats.unblock()
	o, err := p.encode(rec)
	if err != nil {
		return err
	}
	if err := p.send(ctx, o); err != nil {
		return fmt.Errorf("send to %s: %w", p.cfg.Stream, err)
	}
	return nil
}

func (p *Publisher) send(ctx context.Context, o outgoing) error {
	for len(p.pending) >= p.cfg.InFlight {
		if err := p.confirmOldest(ctx); err != nil {
			return err
		}
	}
	if !p.endKnown {
		if err := p.syncWithStream(ctx); err != nil {
			return err
		}
	}
	sent, after := time.Now(), p.LastSeq()
	ack, err := p.js.PublishMsgAsync(o.msg)
	if err != nil { // such as a connection that is closed, or whose buffer is full
		return p.storeOne(ctx, o)
	}
	p.pending = append(p.pending, pendingPublish{outgoing: o, ack: ack, sent: sent, after: after})
	return nil
}

// Flush returns when everything that Send took is stored. If ctx ends before, the rest
// stays pending, and a later Flush goes on with it.
func (p *Publisher) Flush(ctx context.Context) error {
	defer p.stats.unblock()
	for len(p.pending) > 0 {
		if err := p.confirmOldest(ctx); err != nil {
			return fmt.Errorf("flush to %s: %w", p.cfg.Stream, err)
		}
	}
	clear(p.stored) // what was sent is not offered again
	return nil
}

// confirmOldest waits until the oldest pending record is stored, and publishes it again
// if need be. It returns an error, and leaves it pending, when ctx ends.
func (p *Publisher) confirmOldest(ctx context.Context) error {
	oldest := &p.pending[0]
	if !oldest.failed {
		if err := p.awaitAck(ctx, oldest); err != nil {
			return err
		}
	}
	if oldest.failed {
		if err := p.sendAgain(ctx, oldest); err != nil {
			return err
		}
	}
	p.stats.unblock()
	*oldest = pendingPublish{} // the slice keeps its array for a while
	p.pending = p.pending[1:]
	return nil
}

// awaitAck waits for the ack of a record, and notes if it was refused or not answered.
func (p *Publisher) awaitAck(ctx context.Context, pending *pendingPublish) error {
	select {
	case ack := <-pending.ack.Ok(): // spares the timer
		p.stats.stored(ack)
		return nil
	default:
	}
	late := time.NewTimer(blockedAfter)
	defer late.Stop()
	for {
		select {
		case ack := <-pending.ack.Ok():
			p.stats.stored(ack)
			return nil
		case <-pending.ack.Err(): //nolint:errcheck // whatever it is, it is sent again
			pending.failed = true
			return nil
		case <-late.C:
			p.stats.block()
		case <-p.c.closed:
			return p.c.closeReason()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// sendAgain stores a record whose first attempt failed.
func (p *Publisher) sendAgain(ctx context.Context, failed *pendingPublish) error {
	p.stats.retries.Add(1)
	before := p.unconfirmed
	p.markUnconfirmed(failed.sent, failed.after)
	err := p.storeOne(ctx, failed.outgoing)
	p.unconfirmed = before // if it is still pending, it still has sent and after
	return err
}

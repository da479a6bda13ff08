package bus

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/jetstreamext"
)

// MaxBatch is how many records go in one atomic batch, which share one sync of the
// disk. A larger one gains little and is sent in vain when one record is refused.
const MaxBatch = 100

// batchPrefix starts the headers that make a message part of a batch. They are
// not copied elsewhere.
const batchPrefix = "Nats-Batch-"

// storeChunk stores at most MaxBatch records. An attempt of it that was not answered
// is no more unconfirmed when all of them are stored; one from before still is.
func (p *Publisher) storeChunk(ctx context.Context, out []outgoing) error {
	if err := p.syncWithStream(ctx); err != nil {
		return err
	}
	out = p.withoutStored(out)
	before := p.unconfirmed
	if n, err := p.storeAll(ctx, out); err != nil {
		p.markStored(out[:n])
		return err
	}
	p.unconfirmed = before
	return nil
}

// withoutStored leaves out what is stored already, and what is there twice.
func (p *Publisher) withoutStored(out []outgoing) []outgoing {
	kept := make([]outgoing, 0, len(out))
	seen := make(map[string]struct{}, len(out))
	for _, o := range out {
		_, twice := seen[o.id]
		if twice || p.isStored(o.id) {
			p.found.offered(o.id)
			p.stats.duplicates.Add(1)
			continue
		}
		seen[o.id] = struct{}{}
		kept = append(kept, o)
	}
	return kept
}

func (p *Publisher) isStored(id string) bool {
	if len(p.stored) == 0 { // spares the digest
		return false
	}
	_, stored := p.stored[digestOf(id)]
	return stored
}

func (p *Publisher) markStored(out []outgoing) {
	for _, o := range out {
		p.stored[digestOf(o.id)] = p.LastSeq()
	}
}

// storeAll stores out, as a batch where that is possible, and returns how many of
// the first are stored. A refused batch is halved: one id that is stored already, or
// a lack of room, refuses all of it.
func (p *Publisher) storeAll(ctx context.Context, out []outgoing) (int, error) {
	if !p.batches || len(out) < 2 {
		return p.storeSingly(ctx, out)
	}
	switch p.storeBatch(ctx, out) {
	case batchStored:
		return len(out), nil
	case batchUnconfirmed:
		return p.storeSingly(ctx, out)
	}
	half := len(out) / 2
	n, err := p.storeAll(ctx, out[:half])
	if err != nil {
		return n, err
	}
	n, err = p.storeAll(ctx, out[half:])
	return half + n, err
}

// batchResult is the outcome of an atomic batch.
type batchResult int

const (
	batchStored batchResult = iota
	batchRefused
	batchUnconfirmed
)

func (p *Publisher) storeBatch(ctx context.Context, out []outgoing) batchResult {
	msgs := make([]*nats.Msg, len(out))
	for i, o := range out {
		msgs[i] = o.msg
	}
	if !p.c.Connected() {
		return batchUnconfirmed // singly, when there is a connection
	}
	sent, after := time.Now(), p.LastSeq()
	call, cancel := p.c.callContext(ctx)
	defer cancel()
	ack, err := jetstreamext.PublishMsgBatch(call, p.c.js, msgs)
	for _, m := range msgs {
		for key := range m.Header {
			if strings.HasPrefix(key, batchPrefix) {
				delete(m.Header, key)
			}
		}
	}
	if err == nil {
		p.stats.reached(ack.Sequence)
		p.stats.published.Add(uint64(len(out)))
		p.stats.unblock()
		return batchStored
	}
	p.stats.retries.Add(1)
	if codeOf(err) != 0 {
		return batchRefused
	}
	p.stats.block()
	p.markUnconfirmed(sent, after)
	return batchUnconfirmed
}

func (p *Publisher) storeSingly(ctx context.Context, out []outgoing) (int, error) {
	for i, o := range out {
		if err := p.storeOne(ctx, o); err != nil {
			return i, err
		}
	}
	return len(out), nil
}

// storeOne publishes o until it is stored or ctx ends.
func (p *Publisher) storeOne(ctx context.Context, o outgoing) error {
	for n := 0; ; n++ {
		err := p.attempt(ctx, o)
		if err == nil {
			p.stats.unblock()
			return nil
		}
		p.stats.block()
		if err := p.waitRetry(ctx, n, err); err != nil {
			return err
		}
		p.stats.retries.Add(1)
	}
}

// errNotConnected is the result of an attempt without a connection. The library would keep the message
// and send it with the next connection, when the stream may have forgotten that it has its id.
var errNotConnected = fmt.Errorf("%w: not connected", ErrUnreachable)

// attempt publishes o once, unless it turns out to be stored.
func (p *Publisher) attempt(ctx context.Context, o outgoing) error {
	if err := p.syncWithStream(ctx); err != nil {
		return err
	}
	if p.isStored(o.id) {
		p.stats.duplicates.Add(1)
		return nil
	}
	if !p.c.Connected() {
		return errNotConnected
	}
	sent, after := time.Now(), p.LastSeq()
	ack, err := p.c.publish(ctx, o.msg)
	if err == nil {
		p.stats.stored(ack)
	} else if codeOf(err) == 0 {
		p.markUnconfirmed(sent, after)
	}
	return err
}

// publish publishes m to a stream and waits for its ack. An error with a code, see
// codeOf, means that m was refused; after any other it may be stored.
func (c *Conn) publish(ctx context.Context, m *nats.Msg) (*jetstream.PubAck, error) {
	ctx, cancel := c.callContext(ctx)
	defer cancel()
	return c.js.PublishMsg(ctx, m, jetstream.WithRetryAttempts(0)) // the caller retries
}

// markUnconfirmed notes that an attempt at since was not answered.
func (p *Publisher) markUnconfirmed(since time.Time, after uint64) {
	if p.unconfirmed.since.IsZero() {
		p.unconfirmed = unconfirmed{since: since, after: after}
	}
}

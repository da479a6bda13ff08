package bus

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/ironpost/ironpost/event"
)

// A refused or unanswered record is sent again after a pause that doubles between
// these.
const (
	firstPause = 10 * time.Millisecond
	lastPause  = 500 * time.Millisecond
)

// PublisherConfig says what a Publisher publishes: to which stream, as whom.
// InFlight bounds Send's window; zero means 256.
type PublisherConfig struct {
	Stream   StreamName
	Module   string
	Host     string
	InFlight int
}

// Publisher publishes the records of one module on one host to one stream, in
// order. Publish, Send, Flush and Resume are for one goroutine at a time; LastSeq
// and Stats may be called by any.
type Publisher struct {
	c       *Conn
	cfg     PublisherConfig
	subject string
	batches bool
	window  time.Duration // how long the stream remembers ids
	counts  counts
	flight  *flight // of Send, made when first used

	based bool                // the newest sequence of ours is known
	known map[digest]struct{} // ids that are stored and may be offered again
	doubt doubt               // attempts that nobody answered
	pause func(n int) time.Duration
}

// digest stands for an id: what was read back may be many.
type digest [16]byte

func digestOf(id string) digest {
	sum := sha256.Sum256([]byte(id))
	return digest(sum[:16])
}

// doubt is the time of the oldest attempt without an answer, and a sequence that
// what it may have stored comes after.
type doubt struct {
	since time.Time
	after uint64
}

// Publisher returns a publisher for cfg. It sends nothing yet.
func (c *Conn) Publisher(cfg PublisherConfig) (*Publisher, error) {
	if cfg.Stream != Packets && cfg.Stream != Alerts && cfg.Stream != Actions {
		return nil, fmt.Errorf("publisher of %s: no stream %q for records", cfg.Module, cfg.Stream)
	}
	cfg.InFlight = orDefault(cfg.InFlight, 256)
	p := &Publisher{
		c: c, cfg: cfg, subject: subjectOf(cfg.Stream, cfg.Module, cfg.Host),
		batches: cfg.Stream != Packets, window: DuplicatesWindow,
		known: map[digest]struct{}{}, pause: pauseBefore,
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.publishers = append(c.publishers, p)
	return p, nil
}

// Publish stores recs, in order, and returns when all of them are stored: a full
// stream, a timeout or a lost server make it wait and send again with the same id,
// until ctx ends. What Resume found is not sent again. A record that event.Encode
// refuses is not sent; the others are, and the error is ErrInvalid. Any other error
// means that a tail of recs may not be stored: offer them all again.
func (p *Publisher) Publish(ctx context.Context, recs ...event.Record) error {
	out, invalid := p.encodeAll(recs)
	for at := 0; at < len(out); at += maxBatch {
		if err := p.storeChunk(ctx, out[at:min(len(out), at+maxBatch)]); err != nil {
			p.remember(out[:at])
			return fmt.Errorf("publish to %s: %w", p.cfg.Stream, err)
		}
	}
	return invalid
}

// outgoing is an encoded record.
type outgoing struct {
	id  string
	msg *nats.Msg
}

// encodeAll encodes what is valid and not known to be stored.
func (p *Publisher) encodeAll(recs []event.Record) ([]outgoing, error) {
	out := make([]outgoing, 0, len(recs))
	var invalid []error
	for _, rec := range recs {
		o, err := p.encode(rec)
		if err != nil {
			invalid = append(invalid, err)
			continue
		}
		out = append(out, o)
	}
	return out, errors.Join(invalid...)
}

func (p *Publisher) encode(rec event.Record) (outgoing, error) {
	data, err := event.Encode(rec)
	if err != nil {
		p.counts.refused.Add(1)
		return outgoing{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	meta := rec.Meta()
	return outgoing{id: meta.ID, msg: &nats.Msg{Subject: p.subject, Header: headers(meta), Data: data}}, nil
}

// storeChunk stores at most maxBatch records. The doubt it raised is over when all
// of them have been answered; one raised before is not.
func (p *Publisher) storeChunk(ctx context.Context, out []outgoing) error {
	if err := p.settle(ctx); err != nil {
		return err
	}
	out = p.fresh(out)
	before := p.doubt
	if n, err := p.storeAll(ctx, out); err != nil {
		p.remember(out[:n])
		return err
	}
	p.doubt = before
	return nil
}

// storeAll stores out, as a batch where that is possible, and returns how many of
// the first are stored. A refused batch is halved: one id that is stored, or a lack
// of room, refuses all of it.
func (p *Publisher) storeAll(ctx context.Context, out []outgoing) (int, error) {
	if !p.batches || len(out) < 2 {
		return p.storeSingly(ctx, out)
	}
	switch p.storeBatch(ctx, out) {
	case accepted:
		return len(out), nil
	case unanswered:
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

func (p *Publisher) storeSingly(ctx context.Context, out []outgoing) (int, error) {
	for i, o := range out {
		if err := p.storeOne(ctx, o); err != nil {
			return i, err
		}
	}
	return len(out), nil
}

// fresh leaves out what is stored already, and what comes twice.
func (p *Publisher) fresh(out []outgoing) []outgoing {
	kept := make([]outgoing, 0, len(out))
	seen := make(map[string]struct{}, len(out))
	for _, o := range out {
		_, twice := seen[o.id]
		if twice || p.isKnown(o.id) {
			p.counts.duplicates.Add(1)
			continue
		}
		seen[o.id] = struct{}{}
		kept = append(kept, o)
	}
	return kept
}

func (p *Publisher) isKnown(id string) bool {
	if len(p.known) == 0 {
		return false
	}
	_, known := p.known[digestOf(id)]
	return known
}

func (p *Publisher) remember(out []outgoing) {
	for _, o := range out {
		p.known[digestOf(o.id)] = struct{}{}
	}
}

// storeOne sends o until it is stored or ctx ends.
func (p *Publisher) storeOne(ctx context.Context, o outgoing) error {
	for n := 0; ; n++ {
		err := p.attempt(ctx, o)
		if err == nil {
			p.counts.unblock()
			return nil
		}
		if n == 0 {
			p.counts.block()
		}
		if err := p.wait(ctx, n, err); err != nil {
			p.counts.unblock()
			return err
		}
		p.counts.retries.Add(1)
	}
}

// attempt sends o once, unless it turns out to be stored.
func (p *Publisher) attempt(ctx context.Context, o outgoing) error {
	if err := p.settle(ctx); err != nil {
		return err
	}
	if p.isKnown(o.id) {
		p.counts.duplicates.Add(1)
		return nil
	}
	sent, after := time.Now(), p.LastSeq()
	ack, err := p.c.call(ctx, o.msg)
	if err != nil {
		p.unsure(sent, after)
		return err
	}
	if ack.Error != nil {
		return ack.Error
	}
	p.counts.stored(ack)
	return nil
}

func (p *Publisher) unsure(since time.Time, after uint64) {
	if p.doubt.since.IsZero() {
		p.doubt = doubt{since: since, after: after}
	}
}

// wait pauses before attempt n+1. It returns an error when there is no point in one.
func (p *Publisher) wait(ctx context.Context, n int, why error) error {
	if p.c.nc.IsClosed() {
		return p.c.closeReason()
	}
	timer := time.NewTimer(p.pause(n))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w, last answer: %w", ctx.Err(), why)
	}
}

// pauseBefore returns the pause after n failures, with jitter.
func pauseBefore(n int) time.Duration {
	d := min(firstPause<<min(n, 10), lastPause)
	return d/2 + rand.N(d/2+1) //nolint:gosec // jitter is no secret
}

package bus

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/backoff"
)

// maxPublishers bounds the open publishers of one connection: a module has one or two,
// more are a Close forgotten.
const maxPublishers = 64

// A record that was refused or not answered is published again after a pause that
// grows from firstPause to lastPause.
const (
	firstPause = 10 * time.Millisecond
	lastPause  = 500 * time.Millisecond
)

// PublisherConfig says what a Publisher publishes: to which stream, as whom.
// InFlight bounds the pending publishes of Send; zero means 256. Remember makes Publish leave out
// what it stored before, until Forget, and longer than the stream itself remembers ids: for records
// whose cause may be delivered again after any time.
type PublisherConfig struct {
	Stream   StreamName
	Module   string
	Host     string
	InFlight int
	Remember bool
}

// maxRemembered bounds the ids that Remember keeps, some 50 MB.
const maxRemembered = 1 << 20

// Publisher publishes the records of one module on one host to one stream, in
// order. Close it when it is not used any more. LastSeq and Stats may be called
// concurrently; everything else is for one goroutine at a time.
type Publisher struct {
	c       *Conn
	cfg     PublisherConfig
	subject string
	batches bool                    // the stream takes atomic batches
	window  time.Duration           // how long the stream remembers ids
	pause   func(int) time.Duration // before a retry, by number of failures
	stats   stats

	js      jetstream.JetStream // of Send: its acks come through a subscription of its own
	pending []pendingPublish    // of Send, oldest first

	endKnown    bool              // LastSeq is the newest sequence of ours in the stream
	readStored  readStored        // what attempts that were not answered have stored
	stored      map[digest]uint64 // ids that are stored and may be offered again, with the sequence they have at most
	found       foundRecords      // by Resume
	unconfirmed unconfirmed
}

// digest stands for an id in a map that may hold many.
type digest [16]byte

func digestOf(id string) digest {
	sum := sha256.Sum256([]byte(id))
	return digest(sum[:16])
}

// readStored marks what is stored after the sequence after, which may be more than needed.
type readStored func(ctx context.Context, after uint64) error

// unconfirmed is the oldest attempt that was not answered: when it was sent, and
// a sequence that is lower than that of anything it may have stored. Zero for none.
type unconfirmed struct {
	since time.Time
	after uint64
}

// Publisher returns a publisher for cfg. It sends nothing yet.
func (c *Conn) Publisher(cfg PublisherConfig) (*Publisher, error) {
	if cfg.Stream != Packets && cfg.Stream != Alerts && cfg.Stream != Actions {
		return nil, fmt.Errorf("publisher of %s: %q is not a stream of records", cfg.Module, cfg.Stream)
	}
	cfg.InFlight = orDefault(cfg.InFlight, 256)
	js, err := jetstream.New(c.nc, jetstream.WithPublishAsyncMaxPending(cfg.InFlight), jetstream.WithPublishAsyncTimeout(callTimeout))
	if err != nil {
		return nil, fmt.Errorf("publisher of %s: %w", cfg.Module, err)
	}
	p := &Publisher{
		c: c, cfg: cfg, subject: subjectOf(cfg.Stream, cfg.Module, cfg.Host), js: js,
		batches: cfg.Stream != Packets, window: DuplicatesWindow,
		stored: map[digest]uint64{}, pause: retryPause,
	}
	p.readStored = func(ctx context.Context, after uint64) error {
		_, err := p.readBack(ctx, after, nil)
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.publishers) >= maxPublishers {
		return nil, fmt.Errorf("publisher of %s: %d publishers are open on this connection", cfg.Module, maxPublishers)
	}
	c.publishers[p] = struct{}{}
	return p, nil
}

// Close ends p, which must not be used any more; only LastSeq and Stats still work.
// What Flush did not see stored may or may not be stored. It may be called again.
func (p *Publisher) Close() {
	p.c.mu.Lock()
	delete(p.c.publishers, p)
	p.c.mu.Unlock()
	p.js.CleanupPublisher()
}

// Publish stores recs, in order, and returns when all of them are stored: a full
// stream, a timeout or a lost server make it wait and publish again with the same id,
// until ctx ends. What Resume found stored is left out. A record that event.Encode
// refuses is left out, too, and the error is ErrInvalid. Any other error means that
// a tail of recs may not be stored: offer them all again.
func (p *Publisher) Publish(ctx context.Context, recs ...event.Record) error {
	defer p.stats.unblock()
	out, invalid := p.encodeAll(recs)
	for at := 0; at < len(out); at += MaxBatch {
		if err := p.storeChunk(ctx, out[at:min(len(out), at+MaxBatch)]); err != nil {
			p.markStored(out[:at])
			return fmt.Errorf("publish to %s: %w", p.cfg.Stream, err)
		}
	}
	if p.cfg.Remember {
		p.remember(out)
	}
	return invalid
}

// remember marks out as stored. When ids are too many it keeps those of the newest records.
func (p *Publisher) remember(out []outgoing) {
	p.markStored(out)
	if len(p.stored) > maxRemembered {
		p.Forget(max(p.LastSeq(), maxRemembered/2) - maxRemembered/2)
	}
}

// outgoing is an encoded record.
type outgoing struct {
	id  string
	msg *nats.Msg
}

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
		p.stats.refused.Add(1)
		return outgoing{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	meta := rec.Meta()
	return outgoing{id: meta.ID, msg: &nats.Msg{Subject: p.subject, Header: headers(meta), Data: data}}, nil
}

// waitRetry pauses before the attempt that follows failure number n, which was err.
// It returns an error when another attempt is pointless.
func (p *Publisher) waitRetry(ctx context.Context, n int, err error) error {
	if p.c.nc.IsClosed() {
		return p.c.closeReason()
	}
	if !sleep(ctx, p.pause(n)) {
		return fmt.Errorf("%w, last error: %w", ctx.Err(), err)
	}
	return nil
}

func retryPause(n int) time.Duration { return backoff.Delay(n, firstPause, lastPause) }

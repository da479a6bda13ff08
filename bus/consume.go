package bus

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/sirupsen/logrus"
)

// How a durable is read. A pull that ends soon and a quick heartbeat keep a stalled
// one from lasting 30 s; ackWait is when a delivery nobody answered comes again.
const (
	ackWait       = 30 * time.Second
	pullExpiry    = 5 * time.Second
	pullHeartbeat = 500 * time.Millisecond
	drainLook     = 100 * time.Millisecond
	lastRetry     = 30 * time.Second
)

// Delivery is one message of a stream. Subject is where it was published, Attempt
// counts from 1, Stored is the server's time.
type Delivery struct {
	Stream   StreamName
	Durable  string
	Subject  string
	ID       string
	Header   map[string][]string
	Data     []byte
	Sequence uint64
	Attempt  int
	Stored   time.Time
}

// Origin returns the module and the host that published d, as the server enforced
// it; what the record itself says must agree.
func (d Delivery) Origin() (module, host string) { return origin(d.Subject) }

// Handler handles one delivery. nil acknowledges it, so the effect must be done by
// then; an error made by Reject moves it to the dead letters; after any other error
// it is delivered again. The context outlives Consume's by the time to drain. It is
// called by one goroutine at a time, the one that called Consume.
type Handler func(ctx context.Context, d Delivery) error

// ConsumeOptions tunes Consume. Host is where the consumer runs, for its dead
// letters. Drain bounds how long it goes on after its context ended. Prefetch
// bounds what waits here (default 64): set it so that the handler is through with
// that many within 30 s, else they come twice. Retry is the pause before a failed
// delivery comes again (default 1 s), doubled each time up to 30 s.
type ConsumeOptions struct {
	Host     string
	Drain    time.Duration
	Prefetch int
	Retry    time.Duration
	Log      logrus.FieldLogger
}

// Consume hands the deliveries of d to h until ctx ends, and then until nothing of
// d is pending or o.Drain has passed; then it returns nil. It survives a lost server
// and a durable that is missing for a while. It returns an error only when the
// connection is closed for good. A panic of h passes through.
func (c *Conn) Consume(ctx context.Context, d Durable, o ConsumeOptions, h Handler) error {
	w := c.newWorker(d, o, h)
	defer w.keep.Stop()
	work, stop := outlive(ctx, o.Drain)
	defer stop()
	for n := 0; ; n++ {
		err := w.session(ctx, work)
		if err == nil || work.Err() != nil {
			return c.flushAcks()
		}
		if c.nc.IsClosed() {
			return fmt.Errorf("consume %s: %w", d.Name, c.closeReason())
		}
		w.log.WithError(err).Warn("consumer interrupted")
		if !sleep(work, pauseBefore(n)) {
			return nil
		}
	}
}

// worker consumes one durable.
type worker struct {
	c   *Conn
	d   Durable
	o   ConsumeOptions
	h   Handler
	log logrus.FieldLogger

	current atomic.Pointer[jetstream.Msg]
	keep    *time.Timer // tells the server that current is being worked on
}

func (c *Conn) newWorker(d Durable, o ConsumeOptions, h Handler) *worker {
	if o.Log == nil {
		o.Log = c.log
	}
	if o.Retry <= 0 {
		o.Retry = time.Second
	}
	o.Prefetch = orDefault(o.Prefetch, 64)
	w := &worker{c: c, d: d, o: o, h: h, log: o.Log.WithField("durable", d.Name)}
	w.keep = time.AfterFunc(time.Hour, w.inProgress)
	w.keep.Stop()
	return w
}

// session reads until drained (nil) or interrupted.
func (w *worker) session(ctx, work context.Context) error {
	consumer, err := w.bind(work)
	if ctx.Err() != nil && errors.Is(err, jetstream.ErrConsumerNotFound) {
		return nil // being stopped, and nothing to drain
	}
	if err != nil {
		return err
	}
	messages, err := consumer.Messages(
		jetstream.PullMaxMessages(w.o.Prefetch),
		jetstream.PullExpiry(pullExpiry), jetstream.PullHeartbeat(pullHeartbeat),
	)
	if err != nil {
		return err
	}
	defer messages.Stop()
	if err := w.serve(ctx, work, messages); err != nil || ctx.Err() == nil {
		return err
	}
	return w.drain(work, consumer, messages)
}

func (w *worker) bind(work context.Context) (jetstream.Consumer, error) {
	call, cancel := context.WithTimeout(work, callTimeout)
	defer cancel()
	return w.c.js.Consumer(call, string(w.d.Stream), w.d.Name)
}

// serve hands on deliveries until ctx ends.
func (w *worker) serve(ctx, work context.Context, messages jetstream.MessagesContext) error {
	for ctx.Err() == nil {
		m, err := messages.Next(jetstream.NextContext(ctx))
		switch {
		case err == nil:
			w.handle(work, m)
		case errors.Is(err, jetstream.ErrNoHeartbeat):
			w.missed()
		case ctx.Err() == nil:
			return err
		}
	}
	return nil
}

// drain hands on deliveries until the durable has nothing pending.
func (w *worker) drain(work context.Context, consumer jetstream.Consumer, messages jetstream.MessagesContext) error {
	for work.Err() == nil {
		m, err := messages.Next(jetstream.NextMaxWait(drainLook))
		switch {
		case err == nil:
			w.handle(work, m)
		case errors.Is(err, jetstream.ErrNoHeartbeat):
			w.missed()
		case !errors.Is(err, nats.ErrTimeout):
			return err
		case w.empty(work, consumer):
			return nil
		}
	}
	return nil
}

func (w *worker) empty(work context.Context, consumer jetstream.Consumer) bool {
	call, cancel := context.WithTimeout(work, callTimeout)
	defer cancel()
	info, err := consumer.Info(call)
	return err == nil && info.NumPending == 0 && info.NumAckPending == 0
}

// missed counts a missing heartbeat. The iterator pulls again by itself.
func (w *worker) missed() {
	w.c.heartbeats.Add(1)
	w.log.Warn("no heartbeat from the bus")
}

// handle runs the handler on m and tells the server what came of it.
func (w *worker) handle(work context.Context, m jetstream.Msg) {
	d, err := w.delivery(m)
	if err == nil {
		err = w.run(work, m, d)
	}
	if err := w.answer(work, m, d, err); err != nil {
		w.log.WithError(err).WithField("sequence", d.Sequence).Warn("delivery not answered")
	}
}

func (w *worker) run(work context.Context, m jetstream.Msg, d Delivery) error {
	w.current.Store(&m)
	w.keep.Reset(ackWait / 3)
	defer w.keep.Stop()
	return w.h(work, d)
}

func (w *worker) inProgress() {
	if err := (*w.current.Load()).InProgress(); err == nil {
		w.keep.Reset(ackWait / 3)
	}
}

func (w *worker) delivery(m jetstream.Msg) (Delivery, error) {
	meta, err := m.Metadata()
	if err != nil {
		return Delivery{}, Reject(fmt.Errorf("delivery without metadata: %w", err))
	}
	d := Delivery{
		Stream: w.d.Stream, Durable: w.d.Name, Subject: m.Subject(), Header: m.Headers(), Data: m.Data(),
		ID: m.Headers().Get(HeaderID), Sequence: meta.Sequence.Stream,
		Attempt: int(meta.NumDelivered), Stored: meta.Timestamp,
	}
	return d, reflected(m.Headers())
}

// answer acknowledges, rejects or postpones.
func (w *worker) answer(work context.Context, m jetstream.Msg, d Delivery, err error) error {
	if err == nil {
		return m.Ack()
	}
	if r, ok := errors.AsType[*rejection](err); ok {
		err = w.c.bury(work, w.d.Module, w.o.Host, d, r)
		if err == nil {
			return m.TermWithReason(r.reason())
		}
	}
	w.log.WithError(err).WithFields(logrus.Fields{"sequence": d.Sequence, "attempt": d.Attempt}).Warn("delivery failed, comes again")
	return m.NakWithDelay(min(w.o.Retry<<min(max(d.Attempt-1, 0), 16), lastRetry))
}

// flushAcks gives the last acknowledgements a chance to arrive.
func (c *Conn) flushAcks() error {
	if !c.Connected() {
		return nil
	}
	_ = c.nc.FlushTimeout(time.Second) // at worst they come again
	return nil
}

// outlive returns a context that ends by after ctx does.
func outlive(ctx context.Context, by time.Duration) (context.Context, func()) {
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var timer atomic.Pointer[time.Timer]
	stop := context.AfterFunc(ctx, func() { timer.Store(time.AfterFunc(by, cancel)) })
	return work, func() {
		stop()
		cancel()
		if t := timer.Load(); t != nil {
			t.Stop()
		}
	}
}

func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

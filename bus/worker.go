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

// worker consumes one durable.
type worker struct {
	c    *Conn
	d    Durable
	o    ConsumeOptions
	h    BatchHandler
	most int // deliveries in one call of h
	log  logrus.FieldLogger

	until   time.Time // of a stop: then nothing more is asked for
	current atomic.Pointer[[]*nats.Msg]
	keep    *time.Timer // tells the server that current is being worked on
}

func (c *Conn) newWorker(d Durable, o ConsumeOptions, h BatchHandler) *worker {
	if o.Log == nil {
		o.Log = c.log
	}
	if o.Retry <= 0 {
		o.Retry = time.Second
	}
	o.Prefetch = orDefault(o.Prefetch, 64)
	w := &worker{c: c, d: d, o: o, h: h, most: o.Prefetch, log: o.Log.WithField("durable", d.Name)}
	w.keep = time.AfterFunc(time.Hour, w.inProgress)
	w.keep.Stop()
	return w
}

func (w *worker) consume(ctx context.Context) error {
	defer w.keep.Stop()
	work, stop := outlive(ctx, w.o.Drain+handleTime)
	defer stop()
	for n := 0; ; n++ {
		err := w.session(ctx, work)
		switch {
		case err == nil, work.Err() != nil:
			return w.c.flushAcks()
		case w.c.nc.IsClosed():
			return fmt.Errorf("consume %s: %w", w.d.Name, w.c.closeReason())
		case errors.Is(err, errReconnected):
			n = 0
			continue
		}
		w.log.WithError(err).Warn("consumer interrupted")
		if !sleep(work, pauseBefore(n)) {
			return nil
		}
	}
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
	from, err := w.open()
	if err != nil {
		return err
	}
	defer from.close()
	for ctx.Err() == nil {
		if _, err := w.serve(ctx, work, from, pullExpiry); err != nil {
			return err
		}
	}
	return w.drain(ctx, work, consumer, from)
}

func (w *worker) bind(work context.Context) (jetstream.Consumer, error) {
	call, cancel := context.WithTimeout(work, callTimeout)
	defer cancel()
	return w.c.js.Consumer(call, string(w.d.Stream), w.d.Name)
}

// drain goes on until the durable has nothing pending or the time for it has passed.
// It ends between two requests: what is given back just before the server stops comes
// again after ackWait only.
func (w *worker) drain(ctx, work context.Context, consumer jetstream.Consumer, from *pull) error {
	if w.until.IsZero() {
		w.until = time.Now().Add(w.o.Drain)
	}
	for time.Now().Before(w.until) && work.Err() == nil {
		n, err := w.serve(ctx, work, from, drainExpiry)
		if err != nil {
			return err
		}
		if n == 0 && w.empty(work, consumer) {
			return nil
		}
	}
	return nil
}

func (w *worker) empty(work context.Context, consumer jetstream.Consumer) bool {
	if !w.c.Connected() {
		return false
	}
	call, cancel := context.WithTimeout(work, callTimeout)
	defer cancel()
	info, err := consumer.Info(call)
	return err == nil && info.NumPending == 0 && info.NumAckPending == 0
}

// serve makes one request and handles what it delivers, unless work ends. It returns
// how many deliveries there were. Without a server it waits for one until ctx ends.
func (w *worker) serve(ctx, work context.Context, from *pull, expires time.Duration) (n int, err error) {
	if err := from.ask(w.o.Prefetch, expires); err != nil {
		return 0, err
	}
	for work.Err() == nil {
		m, err := from.next()
		if errors.Is(err, errUnanswered) {
			w.missed()
			return n, from.reconnected(ctx.Done())
		}
		if m == nil {
			return n, err
		}
		batch := w.gather(from, m)
		n += len(batch)
		w.handle(work, batch)
	}
	return n, nil
}

// gather adds to first what has arrived as well.
func (w *worker) gather(from *pull, first *nats.Msg) []*nats.Msg {
	batch := []*nats.Msg{first}
	for len(batch) < w.most {
		m := from.soon()
		if m == nil {
			break
		}
		batch = append(batch, m)
	}
	return batch
}

func (w *worker) missed() {
	w.c.unanswered.Add(1)
	w.log.Warn("no answer from the bus, asking again")
}

// handle runs the handler on batch and tells the server what came of each.
func (w *worker) handle(work context.Context, batch []*nats.Msg) {
	messages, deliveries := w.readable(work, batch)
	if len(messages) == 0 {
		return
	}
	errs := w.run(work, messages, deliveries)
	for i, m := range messages {
		var err error
		if i < len(errs) {
			err = errs[i]
		}
		w.answer(work, m, deliveries[i], err)
	}
}

// readable answers what is no delivery and returns the others.
func (w *worker) readable(work context.Context, batch []*nats.Msg) ([]*nats.Msg, []Delivery) {
	messages, deliveries := batch[:0], make([]Delivery, 0, len(batch))
	for _, m := range batch {
		d, err := w.delivery(m)
		if err != nil {
			w.answer(work, m, d, err)
			continue
		}
		messages, deliveries = append(messages, m), append(deliveries, d)
	}
	return messages, deliveries
}

func (w *worker) run(work context.Context, messages []*nats.Msg, ds []Delivery) []error {
	w.current.Store(&messages)
	w.keep.Reset(ackWait / 3)
	defer w.keep.Stop()
	return w.h(work, ds)
}

func (w *worker) inProgress() {
	for _, m := range *w.current.Load() {
		if m.InProgress() != nil {
			return // answered, or no connection
		}
	}
	w.keep.Reset(ackWait / 3)
}

func (w *worker) delivery(m *nats.Msg) (Delivery, error) {
	meta, err := m.Metadata()
	if err != nil {
		return Delivery{}, Reject(fmt.Errorf("delivery without metadata: %w", err))
	}
	d := Delivery{
		Stream: w.d.Stream, Durable: w.d.Name, Subject: m.Subject, Header: m.Header, Data: m.Data,
		ID: m.Header.Get(HeaderID), Sequence: meta.Sequence.Stream,
		Attempt: int(meta.NumDelivered), StoredAt: meta.Timestamp,
	}
	return d, reflected(m.Header)
}

// answer acknowledges, rejects or postpones.
func (w *worker) answer(work context.Context, m *nats.Msg, d Delivery, err error) {
	if err := w.respond(work, m, d, err); err != nil {
		w.log.WithError(err).WithField("sequence", d.Sequence).Warn("delivery not answered")
	}
}

func (w *worker) respond(work context.Context, m *nats.Msg, d Delivery, err error) error {
	if err == nil {
		return m.Ack()
	}
	if r, ok := errors.AsType[*rejection](err); ok {
		err = w.c.bury(work, w.d.Module, w.o.Host, d, r)
		if err == nil {
			return m.Respond([]byte("+TERM " + r.reason()))
		}
	}
	w.log.WithError(err).WithFields(logrus.Fields{"sequence": d.Sequence, "attempt": d.Attempt}).Warn("delivery failed, comes again")
	return m.NakWithDelay(min(w.o.Retry<<min(max(d.Attempt-1, 0), 16), lastRetry))
}

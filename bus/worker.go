package bus

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

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

	current atomic.Pointer[[]jetstream.Msg]
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
	work, stop := outlive(ctx, w.o.Drain)
	defer stop()
	for n := 0; ; n++ {
		err := w.session(ctx, work)
		if err == nil || work.Err() != nil {
			return w.c.flushAcks()
		}
		if w.c.nc.IsClosed() {
			return fmt.Errorf("consume %s: %w", w.d.Name, w.c.closeReason())
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
	from, err := w.open(consumer)
	if err != nil {
		return err
	}
	defer w.giveBack(from)
	if err := w.serve(ctx, work, from); err != nil || ctx.Err() == nil {
		return err
	}
	return w.drain(work, consumer, from)
}

func (w *worker) bind(work context.Context) (jetstream.Consumer, error) {
	call, cancel := context.WithTimeout(work, callTimeout)
	defer cancel()
	return w.c.js.Consumer(call, string(w.d.Stream), w.d.Name)
}

// serve hands on deliveries until ctx ends.
func (w *worker) serve(ctx, work context.Context, from *delivering) error {
	for ctx.Err() == nil {
		select {
		case m := <-from.arrived:
			w.handle(work, w.gather(from, m))
		case <-from.pull.Closed():
			return from.reason()
		case <-ctx.Done():
		}
	}
	return nil
}

// drain hands on deliveries until the durable has nothing pending.
func (w *worker) drain(work context.Context, consumer jetstream.Consumer, from *delivering) error {
	look := time.NewTicker(drainLook)
	defer look.Stop()
	for {
		select {
		case m := <-from.arrived:
			w.handle(work, w.gather(from, m))
			look.Reset(drainLook)
		case <-from.pull.Closed():
			return from.reason()
		case <-work.Done():
			return nil
		case <-look.C:
			if w.empty(work, consumer) {
				return nil
			}
		}
	}
}

func (w *worker) empty(work context.Context, consumer jetstream.Consumer) bool {
	call, cancel := context.WithTimeout(work, callTimeout)
	defer cancel()
	info, err := consumer.Info(call)
	return err == nil && info.NumPending == 0 && info.NumAckPending == 0
}

// gather adds to first what has arrived as well.
func (w *worker) gather(from *delivering, first jetstream.Msg) []jetstream.Msg {
	batch := []jetstream.Msg{first}
	for len(batch) < w.most {
		m, ok := from.next(gatherLook)
		if !ok {
			break
		}
		batch = append(batch, m)
	}
	return batch
}

// missed counts a missing heartbeat. The library pulls again by itself.
func (w *worker) missed() {
	w.c.heartbeats.Add(1)
	w.log.Warn("no heartbeat from the bus")
}

// handle runs the handler on batch and tells the server what came of each.
func (w *worker) handle(work context.Context, batch []jetstream.Msg) {
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
func (w *worker) readable(work context.Context, batch []jetstream.Msg) ([]jetstream.Msg, []Delivery) {
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

func (w *worker) run(work context.Context, messages []jetstream.Msg, ds []Delivery) []error {
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
func (w *worker) answer(work context.Context, m jetstream.Msg, d Delivery, err error) {
	if err := w.respond(work, m, d, err); err != nil {
		w.log.WithError(err).WithField("sequence", d.Sequence).Warn("delivery not answered")
	}
}

func (w *worker) respond(work context.Context, m jetstream.Msg, d Delivery, err error) error {
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

package bus

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/sirupsen/logrus"

	"github.com/ironpost/ironpost/internal/task"
)

// consumer is one call of Consume or ConsumeBatches.
type consumer struct {
	c        *Conn
	durable  Durable
	o        ConsumeOptions
	handler  BatchHandler
	batch    int // most deliveries in one call of handler
	request  int // most deliveries requested or in hand
	log      logrus.FieldLogger
	handlers *task.Group // running handlers
	backlog  *backlog    // deliveries for them; nil if handlers run one at a time

	drainEnd time.Time // when draining ends; zero before ctx ended

	mu     sync.Mutex
	inHand map[*nats.Msg]struct{} // being handled; nil after run
	extend *time.Timer            // postpones their redelivery
}

func (c *Conn) newConsumer(d Durable, o ConsumeOptions, h BatchHandler) *consumer {
	if o.Log == nil {
		o.Log = c.log
	}
	if o.Retry <= 0 {
		o.Retry = time.Second
	}
	o.Prefetch = orDefault(o.Prefetch, 64)
	w := &consumer{
		c: c, durable: d, o: o, handler: h, batch: o.Prefetch, request: o.Prefetch,
		log: o.Log.WithField("durable", d.Name), inHand: map[*nats.Msg]struct{}{},
	}
	if o.Concurrency > 1 {
		w.request = max(o.Concurrency, min(o.Ahead, d.MaxAckPending))
		w.backlog = newBacklog(w.request, o.Urgent)
	}
	return w
}

// run consumes until ctx ends and draining is over, or the connection is closed. A
// session that fails is followed by another.
func (w *consumer) run(ctx context.Context) error {
	work, cancel := outlive(ctx, w.o.Drain+handleTime)
	defer cancel()
	w.handlers = task.New(work)
	defer w.extendInHand()()
	if w.backlog != nil {
		for range w.o.Concurrency {
			w.handlers.Go("handler of "+w.durable.Name, w.work)
		}
	}
	err := w.sessions(ctx, w.handlers.Context())
	if w.backlog != nil {
		for _, m := range w.backlog.close() {
			nakDelivery(m)
		}
	}
	if panicked := w.handlers.Wait(); panicked != nil {
		return fmt.Errorf("consume %s: %w", w.durable.Name, panicked)
	}
	if err == nil && w.c.Connected() {
		_ = w.c.nc.FlushTimeout(time.Second) // the last acks; one that is lost means a redelivery
	}
	return err
}

func (w *consumer) sessions(ctx, work context.Context) error {
	for n := 0; ; n++ {
		err := w.session(ctx, work)
		switch {
		case err == nil, work.Err() != nil:
			return nil
		case w.c.nc.IsClosed():
			return fmt.Errorf("consume %s: %w", w.durable.Name, w.c.closeReason())
		case errors.Is(err, errReconnected):
			n = 0
			continue
		}
		w.log.WithError(err).Warn("consumer interrupted")
		if !sleep(work, retryPause(n)) {
			return nil
		}
	}
}

// session consumes until drained (nil) or interrupted.
func (w *consumer) session(ctx, work context.Context) error {
	call, cancel := context.WithTimeout(work, callTimeout)
	durable, err := w.c.js.Consumer(call, string(w.durable.Stream), w.durable.Name)
	cancel()
	if ctx.Err() != nil && errors.Is(err, jetstream.ErrConsumerNotFound) {
		return nil // stopping, and there is nothing to drain
	}
	if err != nil {
		return err
	}
	if ctx.Err() == nil {
		if err := w.consume(ctx, work); err != nil {
			return err
		}
	}
	return w.drain(work, durable)
}

// consume makes pull requests until ctx ends.
func (w *consumer) consume(ctx, work context.Context) error {
	pull, err := w.c.subscribePull(w.durable, w.request)
	if err != nil {
		return err
	}
	defer pull.close()
	for ctx.Err() == nil && work.Err() == nil {
		if _, err := w.pull(work, pull, pullExpiry, ctx.Done()); err != nil {
			return err
		}
	}
	return nil
}

// drain goes on until nothing of the durable is pending or Drain has passed. What was
// delivered by then is handled: a nak just before the server stops is forgotten by it.
func (w *consumer) drain(work context.Context, durable jetstream.Consumer) error {
	if w.drainEnd.IsZero() {
		w.drainEnd = time.Now().Add(w.o.Drain)
	}
	draining, cancel := context.WithDeadline(work, w.drainEnd)
	defer cancel()
	if draining.Err() != nil {
		return nil
	}
	pull, err := w.c.subscribePull(w.durable, w.request)
	if err != nil {
		return err
	}
	defer pull.close()
	for draining.Err() == nil {
		n, err := w.pull(work, pull, drainPullExpiry, draining.Done())
		if err != nil {
			return err
		}
		if n == 0 && w.empty(draining, durable) {
			return nil
		}
	}
	return nil
}

func (w *consumer) empty(work context.Context, durable jetstream.Consumer) bool {
	if !w.c.Connected() {
		return false
	}
	call, cancel := context.WithTimeout(work, callTimeout)
	defer cancel()
	info, err := durable.Info(call)
	return err == nil && info.NumPending == 0 && info.NumAckPending == 0
}

// pull makes one request, for as many deliveries as there is room, and
// handles what it brings. It returns how many that were.
func (w *consumer) pull(work context.Context, pull *pullSub, expires time.Duration, stop <-chan struct{}) (n int, err error) {
	free, size := w.request, 0
	if w.backlog != nil {
		if free, size = w.backlog.awaitRoom(work, stop); free == 0 {
			return 0, nil
		}
	}
	if err := pull.ask(free, size, expires); err != nil {
		return 0, err
	}
	for work.Err() == nil {
		m, err := pull.next(stop)
		if errors.Is(err, errPullLost) {
			w.c.lostPulls.Add(1)
			w.log.Warn("pull request not answered, asking again")
			return n, w.c.awaitLink(pull.link, stop)
		}
		if m == nil {
			return n, err
		}
		batch := []*nats.Msg{m}
		for len(batch) < w.batch {
			if m = pull.buffered(); m == nil {
				break
			}
			batch = append(batch, m)
		}
		n += len(batch)
		w.dispatch(work, batch)
	}
	return n, nil
}

// dispatch handles batch here, or adds it to the backlog.
func (w *consumer) dispatch(work context.Context, batch []*nats.Msg) {
	if w.backlog == nil {
		w.handle(work, batch)
		return
	}
	for _, m := range batch {
		meta, err := m.Metadata()
		if err != nil {
			w.handle(work, []*nats.Msg{m}) // refuses it
			continue
		}
		rank, source := 0, ""
		if d, err := w.delivery(m); err == nil && w.o.Rank != nil {
			rank, source = w.o.Rank(d)
		}
		_ = w.hold([]*nats.Msg{m}) // until it is handled
		dropped := w.backlog.push(m, meta.Sequence.Stream, rank, source, meta.NumPending > 0)
		if dropped != nil {
			w.release([]*nats.Msg{dropped})
		}
		if dropped == m {
			nakDelivery(m)
		}
	}
}

// work handles deliveries of the backlog until it is closed or ctx ends.
func (w *consumer) work(ctx context.Context) error {
	for {
		m := w.backlog.take(ctx)
		if m == nil {
			return nil
		}
		w.handle(ctx, []*nats.Msg{m})
		w.backlog.done()
	}
}

// handle runs the handler on batch and answers each delivery.
func (w *consumer) handle(work context.Context, batch []*nats.Msg) {
	defer w.hold(batch)()
	messages, deliveries := make([]*nats.Msg, 0, len(batch)), make([]Delivery, 0, len(batch))
	for _, m := range batch {
		d, err := w.delivery(m)
		if err != nil {
			w.answer(work, m, d, err)
			continue
		}
		messages, deliveries = append(messages, m), append(deliveries, d)
	}
	if len(messages) == 0 {
		return
	}
	errs := w.handler(work, deliveries)
	for i, m := range messages {
		var err error
		if i < len(errs) {
			err = errs[i]
		}
		w.answer(work, m, deliveries[i], err)
	}
}

func (w *consumer) delivery(m *nats.Msg) (Delivery, error) {
	meta, err := m.Metadata()
	if err != nil {
		return Delivery{}, Reject(fmt.Errorf("delivery without metadata: %w", err))
	}
	d := Delivery{
		Stream: w.durable.Stream, Durable: w.durable.Name, Subject: m.Subject, Header: m.Header, Data: m.Data,
		ID: m.Header.Get(HeaderID), Sequence: meta.Sequence.Stream,
		Attempt: int(meta.NumDelivered), StoredAt: meta.Timestamp,
	}
	return d, checkReflected(m.Header)
}

// answer acknowledges, dead-letters or naks a delivery.
func (w *consumer) answer(work context.Context, m *nats.Msg, d Delivery, result error) {
	if err := w.respond(work, m, d, result); err != nil {
		w.log.WithError(err).WithField("sequence", d.Sequence).Warn("cannot answer delivery, it will be redelivered")
	}
}

func (w *consumer) respond(work context.Context, m *nats.Msg, d Delivery, result error) error {
	if result == nil {
		return m.Ack()
	}
	if r, ok := errors.AsType[*rejection](result); ok {
		result = w.c.copyToDLQ(work, w.durable.Module, w.o.Host, d, r)
		if result == nil {
			return m.Respond([]byte("+TERM " + r.reason()))
		}
	}
	w.log.WithError(result).WithFields(logrus.Fields{"sequence": d.Sequence, "attempt": d.Attempt}).Warn("delivery failed, will be redelivered")
	return m.NakWithDelay(min(w.o.Retry<<min(max(d.Attempt-1, 0), 16), maxRetry))
}

// extendInHand postpones the redelivery of deliveries that are being handled, until the
// function it returns is called.
func (w *consumer) extendInHand() (stop func()) {
	const every = ackWait / 3
	w.mu.Lock()
	defer w.mu.Unlock()
	w.extend = time.AfterFunc(every, func() {
		w.mu.Lock()
		messages := slices.Collect(maps.Keys(w.inHand))
		w.mu.Unlock()
		for _, m := range messages {
			_ = m.InProgress() // fails if it was answered or there is no connection
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.inHand != nil {
			w.extend.Reset(every)
		}
	})
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.inHand = nil
		w.extend.Stop()
	}
}

// hold has messages extended until the function it returns is called.
func (w *consumer) hold(messages []*nats.Msg) (release func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, m := range messages {
		w.inHand[m] = struct{}{}
	}
	return func() { w.release(messages) }
}

func (w *consumer) release(messages []*nats.Msg) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, m := range messages {
		delete(w.inHand, m)
	}
}

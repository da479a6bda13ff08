package bus

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"
)

// How a durable is read. A request ends after pullExpiry, after drainExpiry in a stop,
// and one whose end was not heard answerGrace later is made again. ackWait is when a
// delivery nobody answered comes again.
const (
	ackWait     = 30 * time.Second
	pullExpiry  = time.Second
	drainExpiry = 100 * time.Millisecond
	answerGrace = time.Second
	handleTime  = 2 * time.Second // for what was delivered when the time to drain has passed
	gatherLook  = time.Millisecond
	lastRetry   = 30 * time.Second
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
	StoredAt time.Time
}

// Origin returns the module and the host that published d, as the server enforced
// it; what the record itself says must agree.
func (d Delivery) Origin() (module, host string) { return origin(d.Subject) }

// Handler handles one delivery. nil acknowledges it, so the effect must be done by
// then; an error made by Reject moves it to the dead letters; after any other error
// it is delivered again. The context outlives Consume's by the time to drain. It is
// called by one goroutine at a time, the one that called Consume.
type Handler func(ctx context.Context, d Delivery) error

// BatchHandler handles deliveries together, where that is cheaper than one by one,
// and returns what came of each: errs[i] is for ds[i] what a Handler's error is; nil
// means that all are done. Otherwise it is called as a Handler is.
type BatchHandler func(ctx context.Context, ds []Delivery) (errs []error)

// ConsumeOptions tunes Consume. Host is where the consumer runs, for its dead
// letters. Drain bounds how long it goes on asking after its context ended; what was
// delivered by then has 2 s more. Prefetch is how many deliveries it asks for, and
// the most in a batch (default 64): set it so that the handler is through with that many
// within 30 s, else they come twice. Retry is the pause before a failed delivery comes
// again (default 1 s), doubled each time up to 30 s.
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
	w := c.newWorker(d, o, func(ctx context.Context, ds []Delivery) []error { return []error{h(ctx, ds[0])} })
	w.most = 1
	return w.consume(ctx)
}

// ConsumeBatches is Consume for a handler of several deliveries: it gets what has
// arrived, one at least and o.Prefetch at most, and never waits for a batch to fill.
func (c *Conn) ConsumeBatches(ctx context.Context, d Durable, o ConsumeOptions, h BatchHandler) error {
	return c.newWorker(d, o, h).consume(ctx)
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

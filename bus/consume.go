package bus

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"
)

const (
	// ackWait is when an unanswered delivery is redelivered.
	ackWait = 30 * time.Second
	// maxRetry is the longest pause before a failed delivery is redelivered.
	maxRetry = 30 * time.Second
	// handleTime is what handlers get, after Drain has passed, for what was delivered before.
	handleTime = 2 * time.Second
)

// Delivery is one message of a stream. Subject is where it was published, Attempt
// counts from 1, StoredAt is the server's time.
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

// Origin returns the module and the host that published d. The server enforced them;
// compare what the record itself says with them.
func (d Delivery) Origin() (module, host string) { return origin(d.Subject) }

// Handler handles one delivery. nil acknowledges it, so the effect must be done by
// then; an error made by Reject dead-letters it; any other error makes the server
// redeliver it. The context ends when the time to drain, and 2 s more, have passed.
// Handlers run one at a time on the goroutine that called Consume, unless
// ConsumeOptions.Concurrency is set.
type Handler func(ctx context.Context, d Delivery) error

// BatchHandler handles several deliveries in one call. errs[i] is the result for ds[i],
// as of a Handler; a nil errs acknowledges all. It is called as a Handler is.
type BatchHandler func(ctx context.Context, ds []Delivery) (errs []error)

// ConsumeOptions tunes Consume.
type ConsumeOptions struct {
	// Host is where the consumer runs, for its dead letters.
	Host string
	// Drain bounds how long pending deliveries are still requested after the context
	// ended. Handlers get 2 s more for what was delivered by then.
	Drain time.Duration
	// Prefetch is how many deliveries are requested at a time, and the most in a batch
	// (default 64). The handler must be able to handle that many within 30 s, or they
	// are redelivered. Unused with Concurrency.
	Prefetch int
	// Concurrency is how many handlers run at the same time (default 1).
	Concurrency int
	// Ahead is how many deliveries are requested, those in hand included, with Concurrency
	// above 1 (default and least: Concurrency; at most MaxAckPending of the durable). Rank,
	// which may be nil, says which of them are handled first: those of the highest rank, in
	// turn by source; of 16, one is of the rank served the longest ago. Those below Urgent wait until what
	// the stream has was requested, or Ahead is reached.
	Ahead  int
	Urgent int
	Rank   func(Delivery) (rank int, source string)
	// Retry is the pause before a failed delivery is redelivered (default 1 s), doubled
	// each time up to 30 s.
	Retry time.Duration
	Log   logrus.FieldLogger
}

// Consume calls h for the deliveries of d. After ctx has ended it goes on until no
// delivery is pending or o.Drain has passed, and returns nil. It reconnects, and waits
// for a durable that is missing. It returns an error when the connection is closed
// for good. A panic of h passes through; with Concurrency it is returned as
// a *task.PanicError when the other handlers have returned.
func (c *Conn) Consume(ctx context.Context, d Durable, o ConsumeOptions, h Handler) error {
	w := c.newConsumer(d, o, func(ctx context.Context, ds []Delivery) []error { return []error{h(ctx, ds[0])} })
	w.batch = 1
	return w.run(ctx)
}

// ConsumeBatches is Consume for a handler of several deliveries: it gets those that
// have arrived, at least one and at most o.Prefetch, and never waits for a batch to
// fill. o.Concurrency is not used.
func (c *Conn) ConsumeBatches(ctx context.Context, d Durable, o ConsumeOptions, h BatchHandler) error {
	o.Concurrency = 1
	return c.newConsumer(d, o, h).run(ctx)
}

// outlive returns a context that ends the duration by after ctx does.
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

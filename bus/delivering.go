package bus

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// delivering is what the server delivers in one session. A delivery that nobody takes
// when the session ends is given back.
type delivering struct {
	pull    jetstream.ConsumeContext
	arrived chan jetstream.Msg
	over    chan struct{} // closed with the session
	failure atomic.Pointer[error]
}

// open asks for deliveries. It takes them by a callback: the library's iterator drops,
// for ackWait, what does not fit its buffer, in which there are heartbeats as well.
func (w *worker) open(consumer jetstream.Consumer) (*delivering, error) {
	from := &delivering{arrived: make(chan jetstream.Msg), over: make(chan struct{})}
	take := func(m jetstream.Msg) {
		select {
		case from.arrived <- m:
		case <-from.over:
			_ = m.Nak() // fails without a server only, and then comes again later
		}
	}
	var err error
	from.pull, err = consumer.Consume(take,
		jetstream.PullMaxMessages(w.o.Prefetch), jetstream.PullExpiry(pullExpiry), jetstream.PullHeartbeat(pullHeartbeat),
		jetstream.ConsumeErrHandler(func(_ jetstream.ConsumeContext, err error) {
			from.failure.Store(&err)
			if errors.Is(err, jetstream.ErrNoHeartbeat) {
				w.missed()
			}
		}),
	)
	return from, err
}

// reason returns why the server delivers no more.
func (d *delivering) reason() error {
	if err := d.failure.Load(); err != nil {
		return *err
	}
	return errNoMore
}

var errNoMore = errors.New("the server delivers no more")

// giveBack ends a session, also one whose handler panicked: what had arrived and was
// not handled comes again at once, to whoever consumes then, and not after ackWait.
func (w *worker) giveBack(from *delivering) {
	close(from.over)
	defer from.pull.Stop()
	if !w.c.Connected() {
		return
	}
	from.pull.Drain()
	late := time.NewTimer(giveBackTime)
	defer late.Stop()
	select {
	case <-from.pull.Closed():
	case <-late.C:
	}
}

// next returns what arrives within a time.
func (d *delivering) next(within time.Duration) (jetstream.Msg, bool) {
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case m := <-d.arrived:
		return m, true
	case <-timer.C:
		return nil, false
	}
}

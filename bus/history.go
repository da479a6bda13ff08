package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
)

// HistoryOptions selects what History and HistoryBack read. The zero Since and After are the beginning;
// Filter is a subject that may have wildcards, empty for all; the zero Limit is none.
type HistoryOptions struct {
	Since  time.Time // stored since then; not looked at if After is set
	After  uint64    // after this sequence
	Filter string
	Limit  int
}

var errStopReading = errors.New("stop reading")

// History calls each for the messages of stream, oldest first, until the end, the limit,
// or until each returns false. It holds one page in memory. Each Delivery has Attempt 1 and
// no Durable.
func (c *Conn) History(ctx context.Context, stream StreamName, o HistoryOptions, each func(Delivery) bool) error {
	req := pageRequest{Subject: o.Filter, Seq: o.After + 1}
	if o.After == 0 && !o.Since.IsZero() {
		req.Seq, req.Start = 0, &o.Since
	}
	n := 0
	err := c.readRaw(ctx, stream, req, func(m *nats.Msg) error {
		d, err := deliveryOf(stream, m)
		if err != nil {
			return err
		}
		n++
		if !each(d) || n == o.Limit {
			return errStopReading
		}
		return nil
	})
	if err != nil && !errors.Is(err, errStopReading) {
		return fmt.Errorf("read %s: %w", stream, c.explain(err))
	}
	return nil
}

func deliveryOf(stream StreamName, m *nats.Msg) (Delivery, error) {
	s, err := storedOf(m)
	return Delivery{
		Stream: stream, Subject: s.Subject, ID: s.ID, Header: m.Header, Data: s.Data,
		Sequence: s.Sequence, Attempt: 1, StoredAt: s.Time,
	}, err
}

// followBuffer bounds how many messages wait for a slow caller of Follow; then new ones are
// dropped, with a warning in the log.
const followBuffer = 4096

// Follow calls each for every message published on subject from now on, until ctx ends;
// then it returns nil. On an operator's connection it returns ErrDaemonRestarted when
// the daemon was restarted.
func (c *Conn) Follow(ctx context.Context, subject string, each func(subject string, header map[string][]string, data []byte)) error {
	messages := make(chan *nats.Msg, followBuffer)
	sub, err := c.nc.ChanSubscribe(subject, messages)
	if err != nil {
		return fmt.Errorf("follow %s: %w", subject, c.explain(err))
	}
	defer func() { _ = sub.Unsubscribe() }() // gone with the connection at the latest
	for {
		select {
		case m := <-messages:
			if m == nil { // closed with the subscription
				return fmt.Errorf("follow %s: %w", subject, c.closeReason())
			}
			each(m.Subject, m.Header, m.Data)
		case <-ctx.Done():
			return nil
		case <-c.closed:
			return fmt.Errorf("follow %s: %w", subject, c.closeReason())
		}
	}
}

// explain maps errors of the library to ours where callers test for them.
func (c *Conn) explain(err error) error {
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		return fmt.Errorf("%w: %w", ErrUnreachable, err)
	case errors.Is(err, nats.ErrConnectionClosed):
		return c.closeReason()
	}
	return err
}

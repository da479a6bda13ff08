package bus

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/nats-io/nats.go"
)

// A stream is read backwards in windows of sequences, each forwards.
const (
	maxWindow      = 4096    // sequences, of which a filter may select few
	maxWindowBytes = 8 << 20 // of a window that is larger than a page
)

// HistoryBack is History, newest first. It costs what it reads, not what the stream holds: a caller that wants the
// newest stops after those. It holds one window in memory.
func (c *Conn) HistoryBack(ctx context.Context, stream StreamName, o HistoryOptions, each func(Delivery) bool) error {
	filter := o.Filter
	if filter == "" {
		filter = ">"
	}
	end, err := c.lastSequence(ctx, stream, filter)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	n, size := 0, uint64(pageMessages)
	for err == nil && end > o.After {
		begin := max(o.After, end-min(end, size)) + 1
		var found []Delivery
		if found, err = c.window(ctx, stream, pageRequest{Subject: filter, Seq: begin, end: end}); errors.Is(err, errLargeWindow) {
			size, err = max(size/4, pageMessages), nil
			continue
		}
		for _, d := range slices.Backward(found) {
			if o.After == 0 && d.StoredAt.Before(o.Since) {
				return nil
			}
			n++
			if !each(d) || n == o.Limit {
				return nil
			}
		}
		size = pageMessages
		if len(found) < pageMessages/4 {
			size = min(2*(end-begin+1), maxWindow)
		}
		end = begin - 1
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", stream, c.explain(err))
	}
	return nil
}

var errLargeWindow = errors.New("the window is large")

// window returns the messages of req, or errLargeWindow if it has more than a page of sequences and they hold too many bytes.
func (c *Conn) window(ctx context.Context, stream StreamName, req pageRequest) (found []Delivery, err error) {
	bytes := 0
	err = c.readRaw(ctx, stream, req, func(m *nats.Msg) error {
		d, err := deliveryOf(stream, m)
		switch {
		case err != nil:
			return err
		case d.Sequence > req.end: // a filter selects few
			return errStopReading
		}
		found = append(found, d)
		if bytes += len(d.Data); bytes > maxWindowBytes && req.end-req.Seq >= pageMessages {
			return errLargeWindow
		}
		return nil
	})
	if errors.Is(err, errStopReading) {
		err = nil
	}
	return found, err
}

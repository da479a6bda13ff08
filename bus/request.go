package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/ironpost/ironpost/event"
)

// Request sends req as JSON to subject and decodes the answer into resp; a nil req
// sends nothing, a nil resp ignores the answer. Without a deadline in ctx it waits
// 5 s. It returns ErrUnreachable at once if nobody listens, and the words of a verb
// that failed.
func (c *Conn) Request(ctx context.Context, subject string, req, resp any) error {
	err := c.request(ctx, subject, req, resp)
	if err != nil {
		return fmt.Errorf("ask %s: %w", subject, c.explain(err))
	}
	return nil
}

func (c *Conn) request(ctx context.Context, subject string, req, resp any) error {
	var body []byte
	if req != nil {
		var err error
		if body, err = json.Marshal(req); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, timeoutOf(ctx, callTimeout))
	defer cancel()
	m, err := c.nc.RequestWithContext(ctx, subject, body)
	if err != nil {
		return err
	}
	if m.Header.Get(micro.ErrorCodeHeader) == notServed {
		return nats.ErrNoResponders // the module is connected, but does not run
	}
	if words := m.Header.Get(micro.ErrorHeader); words != "" {
		return errors.New(event.PrintableASCII(words, maxHeader))
	}
	if resp == nil {
		return nil
	}
	return json.Unmarshal(m.Data, resp)
}

// PublishHealth publishes v as JSON on HealthSubject. No stream stores it.
func (c *Conn) PublishHealth(v any) error {
	data, err := json.Marshal(v)
	if err == nil {
		err = c.nc.Publish(HealthSubject, event.PrintableJSON(data))
	}
	if err != nil {
		return fmt.Errorf("publish on %s: %w", HealthSubject, err)
	}
	return nil
}

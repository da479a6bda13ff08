package bus

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/ironpost/ironpost/event"
)

// Request sends req as JSON to subject and decodes the answer into resp; a nil req
// sends nothing, a nil resp ignores the answer. Without a deadline in ctx it waits
// 5 s. It returns ErrUnreachable at once if the verb is not served, and the text of
// a verb's error.
func (c *Conn) Request(ctx context.Context, subject string, req, resp any) error {
	err := c.request(ctx, subject, req, resp)
	if err != nil {
		return fmt.Errorf("request %s: %w", subject, c.explain(err))
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
	if m.Header.Get(micro.ErrorCodeHeader) == codeNotServed {
		return nats.ErrNoResponders // the module is connected, but does not run
	}
	if text := m.Header.Get(micro.ErrorHeader); text != "" {
		return errors.New(event.PrintableASCII(text, maxHeader))
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

// ServiceStatus is one service that answered Discover.
type ServiceStatus struct {
	Module  string
	Host    string
	Version string
}

// Discover pings all services and returns those that answered within wait, sorted by host
// and module.
func (c *Conn) Discover(ctx context.Context, wait time.Duration) ([]ServiceStatus, error) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	inbox := c.nc.NewInbox()
	sub, err := c.nc.SubscribeSync(inbox)
	if err != nil {
		return nil, fmt.Errorf("discover: %w", c.explain(err))
	}
	defer func() { _ = sub.Unsubscribe() }() // gone with the connection at the latest
	if err := c.nc.PublishRequest("$SRV.PING", inbox, nil); err != nil {
		return nil, fmt.Errorf("discover: %w", c.explain(err))
	}
	return discovered(ctx, sub), nil
}

// maxServices bounds how many answers Discover keeps.
const maxServices = 4096

func discovered(ctx context.Context, sub *nats.Subscription) []ServiceStatus {
	var found []ServiceStatus
	for len(found) < maxServices {
		m, err := sub.NextMsgWithContext(ctx)
		if err != nil {
			break
		}
		var ping micro.Ping
		if json.Unmarshal(m.Data, &ping) != nil {
			continue // not an answer of a service
		}
		if module, ours := strings.CutPrefix(ping.Name, "ironpost-"); ours {
			found = append(found, ServiceStatus{Module: module, Host: ping.Metadata[metaHost], Version: ping.Metadata[metaVersion]})
		}
	}
	slices.SortFunc(found, func(a, b ServiceStatus) int {
		return cmp.Or(strings.Compare(a.Host+" "+a.Module, b.Host+" "+b.Module), strings.Compare(b.Version, a.Version))
	})
	return slices.CompactFunc(found, func(a, b ServiceStatus) bool { // one module may be served on two connections
		return a.Host == b.Host && a.Module == b.Module
	})
}

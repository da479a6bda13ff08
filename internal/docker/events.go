package docker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/client"
)

// Event is one event of a container, a network or an image.
type Event struct {
	Time   time.Time `json:"time"`
	Kind   string    `json:"kind"`   // container, network or image
	Action string    `json:"action"` // such as create, start, die, destroy, pause, unpause, rename, update; connect, disconnect, destroy for networks

	Container string `json:"container,omitempty"` // full id
	Name      string `json:"name,omitempty"`      // of the container; empty for networks
	Image     string `json:"image,omitempty"`     // reference; of images it may be the id
	Network   string `json:"network,omitempty"`   // name, networks only
	NetworkID string `json:"network_id,omitempty"`

	// Attributes has what else Docker says: the container's labels (untrusted text),
	// exitCode, oldName.
	Attributes map[string]string `json:"attributes,omitempty"`
}

// Events calls fn for each event from since on, until ctx ends, fn returns an error
// (which is returned as it is) or the connection fails (ErrUnavailable). since may lie in
// the past, but Docker remembers only 256 events; zero is now. fn is called by one
// goroutine, and nothing is read meanwhile. ready, if not nil, is called once Docker has
// accepted the subscription: no later event is missed. GET /events.
func (c *Client) Events(ctx context.Context, since time.Time, ready func(), fn func(Event) error) error {
	return c.watch(ctx, "watch events", eventOptions(since), ready, fn)
}

func (c *Client) watch(ctx context.Context, what string, o events.ListOptions, ready func(), fn func(Event) error) error {
	s, err := c.openTimed(ctx)
	if err != nil {
		return c.finish(ctx, s, what, err)
	}
	stream, cancel := context.WithCancel(ctx)
	defer cancel()
	messages, errs := s.api.Events(stream, o)
	select { // a refused subscription has its error by now
	case err := <-errs:
		return c.finish(ctx, s, what, err)
	default:
	}
	if ready != nil {
		ready()
	}
	for {
		select {
		case m := <-messages:
			if err := fn(fromMessage(m)); err != nil {
				cancel()
				for range errs { // until the reader has ended
				}
				return err
			}
		case err := <-errs:
			return c.finish(ctx, s, what, err)
		}
	}
}

// PastEvents returns the events in [since, until] that Docker remembers, oldest first. It
// remembers the last 256 of any type. GET /events.
func (c *Client) PastEvents(ctx context.Context, since, until time.Time) ([]Event, error) {
	var out []Event
	err := c.replay(ctx, since, until, func(e Event) (more bool) {
		out = append(out, e)
		return true
	})
	return out, err
}

// RemembersBefore reports whether Docker remembers an event from before until. If so, it
// remembers all later ones. A dockerd that was started after until remembers none. GET /events.
func (c *Client) RemembersBefore(ctx context.Context, until time.Time) (bool, error) {
	anything := false
	err := c.replay(ctx, time.Unix(1, 0), until, func(Event) (more bool) {
		anything = true
		return false
	})
	return anything, err
}

func (c *Client) replay(ctx context.Context, since, until time.Time, fn func(Event) (more bool)) error {
	return c.call(ctx, "replay events", readBudget, func(ctx context.Context, api *client.Client) error {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		o := eventOptions(since)
		o.Until = unixTime(until)
		messages, errs := api.Events(ctx, o)
		for {
			select {
			case m := <-messages:
				if !fn(fromMessage(m)) {
					cancel()
					for range errs { // until the reader has ended
					}
					return nil
				}
			case err := <-errs:
				if errors.Is(err, io.EOF) {
					return nil
				}
				return err
			}
		}
	})
}

// unixTime formats a time as the API wants it, to the nanosecond.
func unixTime(t time.Time) string { return fmt.Sprintf("%d.%09d", t.Unix(), t.Nanosecond()) }

func (c *Client) openTimed(ctx context.Context) (*session, error) {
	timed, cancel := context.WithTimeout(ctx, readBudget)
	defer cancel()
	return c.open(timed)
}

func eventOptions(since time.Time) events.ListOptions {
	o := events.ListOptions{Filters: filters.NewArgs(
		filters.Arg("type", string(events.ContainerEventType)),
		filters.Arg("type", string(events.NetworkEventType)),
	)}
	if !since.IsZero() {
		o.Since = unixTime(since)
	}
	return o
}

func fromMessage(m events.Message) Event {
	action, _, _ := strings.Cut(string(m.Action), ":") // "exec_start: sh -c …", "health_status: healthy"
	e := Event{Time: time.Unix(0, m.TimeNano).UTC(), Kind: string(m.Type), Action: action, Attributes: m.Actor.Attributes}
	if m.Type == events.NetworkEventType {
		e.NetworkID, e.Network, e.Container = m.Actor.ID, m.Actor.Attributes["name"], m.Actor.Attributes["container"]
		return e
	}
	if m.Type == events.ImageEventType {
		e.Image = cmp.Or(m.Actor.Attributes["name"], m.Actor.ID)
		return e
	}
	e.Container, e.Name, e.Image = m.Actor.ID, m.Actor.Attributes["name"], m.Actor.Attributes["image"]
	return e
}

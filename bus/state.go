package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// DurableState is the state of a durable. Its JSON form is part of ironpost status --json.
type DurableState struct {
	Name        string    `json:"name"`
	Present     bool      `json:"present"` // the server has it
	Pending     uint64    `json:"pending"`
	AckPending  int       `json:"ack_pending"`
	Redelivered int       `json:"redelivered"`
	Waiting     int       `json:"-"` // pull requests; 0 if its consumer does not run or is busy
	AckFloor    uint64    `json:"-"`
	LastUsed    time.Time `json:"-"` // last delivery or ack; zero if the server does not remember

	delivered uint64
}

// doneThrough returns the last sequence up to which the durable needs nothing any more,
// given the stream's last sequence, which must have been read before. A durable with
// nothing to do is done with all of it: the ack floor of one with a filter stands still.
func (d DurableState) doneThrough(last uint64) uint64 {
	if d.Pending == 0 && d.AckPending == 0 {
		return last
	}
	return min(last, d.AckFloor)
}

// StreamState is the state of a stream and of its durables of the table, which are never
// nil. Its JSON form is part of ironpost status --json.
type StreamState struct {
	Name     StreamName     `json:"name"`
	Messages uint64         `json:"messages"`
	Bytes    uint64         `json:"bytes"`
	MaxBytes int64          `json:"max_bytes"`
	FirstSeq uint64         `json:"first_seq"`
	LastSeq  uint64         `json:"last_seq"`
	Behind   []string       `json:"behind,omitempty"` // servers of a cluster whose copy is not current
	Durables []DurableState `json:"durables"`
}

// StreamStates returns the state of every stream, with those of durables that belong to it. It returns
// ErrNoLeader as CheckLeaders does.
func (c *Conn) StreamStates(ctx context.Context, durables []Durable) ([]StreamState, error) {
	if err := c.CheckLeaders(ctx); err != nil {
		return nil, err
	}
	states := make([]StreamState, 0, 4)
	for _, name := range []StreamName{Packets, Alerts, Actions, DLQ} {
		s, err := c.streamState(ctx, name, durables)
		if err != nil {
			return nil, fmt.Errorf("state of %s: %w", name, c.explain(err))
		}
		states = append(states, s)
	}
	return states, nil
}

// streamState reads the stream first, then its durables: doneThrough relies on it.
func (c *Conn) streamState(ctx context.Context, name StreamName, durables []Durable) (StreamState, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	stream, err := c.js.Stream(ctx, string(name))
	if err != nil {
		return StreamState{}, err
	}
	info := stream.CachedInfo()
	s := StreamState{
		Name: name, Messages: info.State.Msgs, Bytes: info.State.Bytes, MaxBytes: info.Config.MaxBytes,
		FirstSeq: info.State.FirstSeq, LastSeq: info.State.LastSeq, Durables: []DurableState{}, Behind: behind(info.Cluster),
	}
	for _, d := range durables {
		if d.Stream != name {
			continue
		}
		state, err := durableState(ctx, stream, d.Name)
		if err != nil {
			return s, err
		}
		s.Durables = append(s.Durables, state)
	}
	return s, nil
}

// behind returns the servers whose copy of a stream is not current.
func behind(cluster *jetstream.ClusterInfo) []string {
	if cluster == nil {
		return nil
	}
	var out []string
	for _, r := range cluster.Replicas {
		if r.Offline || !r.Current {
			out = append(out, r.Name)
		}
	}
	return out
}

// Waiting returns how many records d has not handled, which a module may ask of its own durables. It
// returns ErrNotFound if the server does not have d.
func (c *Conn) Waiting(ctx context.Context, d Durable) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	consumer, err := c.js.Consumer(ctx, string(d.Stream), d.Name)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		return 0, ErrNotFound
	}
	if err != nil {
		return 0, fmt.Errorf("state of durable %s: %w", d.Name, c.explain(err))
	}
	info := consumer.CachedInfo()
	return info.NumPending + uint64(info.NumAckPending), nil
}

// Unsent returns how many records d has not handled, and when the oldest of them was stored, by the
// server's clock; zero if there is none. d has one filter. It needs the permission to read the stream.
func (c *Conn) Unsent(ctx context.Context, d Durable) (n uint64, oldest time.Time, err error) {
	call, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	consumer, err := c.js.Consumer(call, string(d.Stream), d.Name)
	if err != nil {
		return 0, oldest, fmt.Errorf("state of durable %s: %w", d.Name, c.explain(err))
	}
	state := stateOf(consumer.CachedInfo())
	n = state.Pending + uint64(state.AckPending)
	if n == 0 {
		return 0, oldest, nil
	}
	body, err := json.Marshal(pageRequest{Seq: state.AckFloor + 1, Subject: d.Filter[0]})
	if err != nil {
		return n, oldest, err
	}
	m, err := c.directGet(ctx, d.Stream, "", body)
	if errors.Is(err, ErrNotFound) { // handled meanwhile
		return n, oldest, nil
	}
	if err != nil {
		return n, oldest, fmt.Errorf("read the oldest record of %s: %w", d.Name, err)
	}
	s, err := storedOf(m)
	return n, s.Time, err
}

func durableState(ctx context.Context, stream jetstream.Stream, name string) (DurableState, error) {
	consumer, err := stream.Consumer(ctx, name)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		return DurableState{Name: name}, nil
	}
	if err != nil {
		return DurableState{}, err
	}
	return stateOf(consumer.CachedInfo()), nil
}

func stateOf(info *jetstream.ConsumerInfo) DurableState {
	return DurableState{
		Name: info.Name, Present: true, Pending: info.NumPending, AckPending: info.NumAckPending,
		Redelivered: info.NumRedelivered, Waiting: info.NumWaiting, AckFloor: info.AckFloor.Stream,
		LastUsed: lastUsed(info), delivered: info.Delivered.Stream,
	}
}

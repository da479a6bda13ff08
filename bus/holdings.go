package bus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Holding is what a stream, or the stream of a bucket, holds.
type Holding struct {
	Stream                StreamName
	First, Last, Messages uint64
	FirstAt               time.Time // when the message First was stored
	MaxAge                time.Duration
	Full                  bool   // so full that its oldest messages may be removed
	Bucket                string // empty for a stream
}

// fullShare is the share of its bytes from which on a stream may lose its oldest messages to others.
const fullShare = 0.7

// Holdings returns what every stream and bucket of the tables holds. One that does not exist holds nothing.
func (c *Conn) Holdings(ctx context.Context) ([]Holding, error) {
	var out []Holding
	for _, s := range Streams(Limits{}) {
		h, err := c.Holding(ctx, s.Name)
		if err != nil {
			return nil, err
		}
		out = append(out, h)
	}
	for _, b := range Buckets(Limits{}) {
		h, err := c.Holding(ctx, bucketStream(b.Name))
		if err != nil {
			return nil, err
		}
		h.Bucket = b.Name
		out = append(out, h)
	}
	return out, nil
}

// Holding returns what a stream holds, nothing if it does not exist.
func (c *Conn) Holding(ctx context.Context, name StreamName) (Holding, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	stream, err := c.js.Stream(ctx, string(name))
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return Holding{Stream: name}, nil
	}
	if err != nil {
		return Holding{}, fmt.Errorf("state of %s: %w", name, c.explain(err))
	}
	s, cfg := stream.CachedInfo().State, stream.CachedInfo().Config
	return Holding{
		Stream: name, First: s.FirstSeq, Last: s.LastSeq, Messages: s.Msgs, FirstAt: s.FirstTime, MaxAge: cfg.MaxAge,
		Full: cfg.MaxBytes > 0 && float64(s.Bytes) > fullShare*float64(cfg.MaxBytes),
	}, nil
}

// Positions returns how far durables are. One that the server does not have is left out.
func (c *Conn) Positions(ctx context.Context, durables []Durable) ([]Position, error) {
	var out []Position
	for _, name := range []StreamName{Packets, Alerts, Actions} {
		s, err := c.streamState(ctx, name, durables)
		if err != nil {
			return nil, fmt.Errorf("durables of %s: %w", name, c.explain(err))
		}
		for _, d := range s.Durables {
			if d.Present {
				out = append(out, Position{Stream: name, Name: d.Name, Done: d.doneThrough(s.LastSeq), Floor: d.AckFloor, Delivered: d.delivered})
			}
		}
	}
	return out, nil
}

// Missing returns those of entries that the bucket lost: it has neither a value for their keys nor the mark that a removal leaves.
func (k *KV) Missing(ctx context.Context, entries []KVEntry) ([]KVEntry, error) {
	have := map[string]bool{}
	if err := k.changes(ctx, 0, func(c change) { have[c.entry.Key] = true }); err != nil {
		return nil, k.wrap("*", err)
	}
	return slices.DeleteFunc(slices.Clone(entries), func(e KVEntry) bool { return have[e.Key] }), nil
}

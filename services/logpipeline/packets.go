package logpipeline

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
)

// packetDrain is how long a stop goes on consuming what the eBPF engine published.
const packetDrain = 2 * time.Second

// errNotStored is the answer to a delivery that a stop left unprocessed; it is delivered again.
var errNotStored = errors.New("stopped before its alerts were stored")

// delivery is a packet record on its way through the pipeline. Its handler waits for the outcome: nil
// acknowledges it.
type delivery struct {
	bus.Delivery

	record  *event.Packet
	outcome chan error // holds one
}

// respond sends an outcome to the handlers of deliveries. The first one sent counts.
func respond(deliveries []*delivery, err error) {
	for _, d := range deliveries {
		select {
		case d.outcome <- err:
		default:
		}
	}
}

// packetSource consumes the packet records of this host. Its handler waits for the outcome of its
// deliveries, so a full alert stream stops the consuming, and the records wait in their stream.
type packetSource struct {
	conn    *bus.Conn
	durable bus.Durable
	options bus.ConsumeOptions
	waker   *waker
	done    chan struct{} // closed when run has returned

	mu      sync.Mutex
	waiting []*delivery // at most one batch of the handler
	oldest  time.Time   // when the first of the batch was stored; zero if there is none
}

func newPacketSource(d Deps, w *waker) (*packetSource, error) {
	durable, ok := bus.DurableOf(Name, bus.Packets, d.Host, d.InFlight)
	if !ok {
		return nil, fmt.Errorf("log pipeline: no durable on %s", bus.Packets)
	}
	return &packetSource{
		conn: d.Bus, durable: durable, waker: w, done: make(chan struct{}),
		options: bus.ConsumeOptions{Host: d.Host, Drain: packetDrain, Log: d.Log},
	}, nil
}

func (s *packetSource) run(ctx context.Context) error {
	defer close(s.done)
	return s.conn.ConsumeBatches(ctx, s.durable, s.options, s.handle)
}

// handle implements bus.BatchHandler.
func (s *packetSource) handle(ctx context.Context, ds []bus.Delivery) []error {
	errs := make([]error, len(ds))
	valid := make(map[int]*delivery, len(ds))
	s.mu.Lock()
	s.oldest = ds[0].StoredAt
	for i, d := range ds {
		record, err := readPacket(d)
		if err != nil {
			errs[i] = bus.Reject(err)
			continue
		}
		valid[i] = &delivery{Delivery: d, record: record, outcome: make(chan error, 1)}
		s.waiting = append(s.waiting, valid[i])
	}
	s.mu.Unlock()
	s.waker.wake()
	for i, d := range valid {
		select {
		case errs[i] = <-d.outcome:
		case <-ctx.Done():
			errs[i] = ctx.Err()
		}
	}
	s.mu.Lock()
	s.oldest = time.Time{}
	s.mu.Unlock()
	return errs
}

// readPacket decodes d and checks that the origin in the record is the one that the server enforced.
func readPacket(d bus.Delivery) (*event.Packet, error) {
	var p event.Packet
	if err := event.Decode(d.Data, &p); err != nil {
		return nil, err
	}
	module, host := d.Origin()
	if module != bus.EBPFEngine || p.Host != host {
		return nil, fmt.Errorf("a packet record of host %q, published by %s on %q", p.Host, module, host)
	}
	return &p, nil
}

// take returns the deliveries that wait.
func (s *packetSource) take() []*delivery {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.waiting
	s.waiting = nil
	return out
}

// age returns how long ago the oldest record was stored that is not processed, 0 if there is none.
func (s *packetSource) age() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.oldest.IsZero() {
		return 0
	}
	return time.Since(s.oldest)
}

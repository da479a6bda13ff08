package logpipeline

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/services/logpipeline/packet"
	"github.com/ironpost/ironpost/sigma"
)

// packetDrain is how long a stop goes on taking what the engine published.
const packetDrain = 2 * time.Second

// delivery is a record of the engine on its way through the pipeline. It is
// acknowledged when settled receives nil: then all alerts it gave are stored, and
// what else it left behind is in the checkpoint.
type delivery struct {
	bus.Delivery

	record  *event.Packet
	settled chan error // holds one
}

// packets hands the engine's records to the pipeline. The handler waits until its
// deliveries are settled, so a full alert stream stops the reading, and the records
// wait in their stream.
type packets struct {
	conn    *bus.Conn
	durable bus.Durable
	options bus.ConsumeOptions
	bell    *bell
	done    chan struct{} // closed when run has returned

	mu      sync.Mutex
	waiting []*delivery // at most what the handler is called with
}

func newPackets(d Deps, b *bell) (*packets, error) {
	durable, ok := bus.DurableOf(Name, bus.Packets, d.Host, d.InFlight)
	if !ok {
		return nil, fmt.Errorf("log pipeline: no durable on %s", bus.Packets)
	}
	return &packets{
		conn: d.Bus, durable: durable, bell: b, done: make(chan struct{}),
		options: bus.ConsumeOptions{Host: d.Host, Drain: packetDrain, Log: d.Log},
	}, nil
}

func (q *packets) run(ctx context.Context) error {
	defer close(q.done)
	return q.conn.ConsumeBatches(ctx, q.durable, q.options, q.handle)
}

// handle implements bus.BatchHandler.
func (q *packets) handle(ctx context.Context, ds []bus.Delivery) []error {
	errs := make([]error, len(ds))
	jobs := make([]*delivery, len(ds))
	for i, d := range ds {
		record, err := readPacket(d)
		if err != nil {
			errs[i] = bus.Reject(err)
			continue
		}
		jobs[i] = &delivery{Delivery: d, record: record, settled: make(chan error, 1)}
	}
	q.offer(jobs)
	for i, job := range jobs {
		if job == nil {
			continue
		}
		select {
		case errs[i] = <-job.settled:
		case <-ctx.Done():
			errs[i] = ctx.Err()
		}
	}
	return errs
}

func (q *packets) offer(jobs []*delivery) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, job := range jobs {
		if job != nil {
			q.waiting = append(q.waiting, job)
		}
	}
	q.bell.ring()
}

// readPacket decodes d. What the record says of its origin must be what the server
// enforced.
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

// take returns what waits.
func (q *packets) take() []*delivery {
	q.mu.Lock()
	defer q.mu.Unlock()
	out := q.waiting
	q.waiting = nil
	return out
}

var errNotStored = errors.New("stopped before its alerts were stored")

// settle answers deliveries; the first answer counts.
func settle(jobs []*delivery, err error) {
	for _, job := range jobs {
		select {
		case job.settled <- err:
		default:
		}
	}
}

// judgeDelivery returns the alerts of a record, none if it was judged before.
func (p *pipeline) judgeDelivery(d *delivery) []*event.Alert {
	if p.handled.has(d.Sequence, d.StoredAt) {
		p.s.packetsAgain.Add(1)
		return nil
	}
	if !p.try("packet." + d.record.ID) {
		p.refused = append(p.refused, d)
		return nil
	}
	var out []*event.Alert
	for _, e := range packet.Read(d.record, p.book.wants) {
		out = append(out, p.conclude(ofPacket(d.record, e))...)
	}
	p.handled.add(d.Sequence, d.StoredAt)
	p.s.packets.Add(1)
	return out
}

// ofPacket is e as the pipeline sees it.
func ofPacket(r *event.Packet, e packet.Event) seen {
	in := seen{
		position: fmt.Sprintf("packet.%s.%d", r.ID, e.Index), raw: e.Raw, entity: e.Entity, trace: r.TraceID,
		time: e.Time, began: e.Began, evidence: []string{e.Message, e.Raw},
	}
	in.Logsource, in.Fields = e.Logsource, e.Fields
	in.SourceIP, in.SourcePort = e.Source.Addr(), e.Source.Port()
	if e.Target.Addr().IsValid() {
		in.target = &event.Endpoint{IP: e.Target.Addr().String(), Port: e.Target.Port()}
	}
	if r.Lost > 0 {
		in.incomplete = []event.Incomplete{{Counter: "packets_lost", Amount: r.Lost}}
	}
	if latest := time.Now().Add(maxAhead); in.time.After(latest) {
		in.time, in.began = latest, latest
	}
	return in
}

// wants reports whether any rule may speak about events of l.
func (b *rulebook) wants(l sigma.Logsource) bool {
	for _, r := range b.set.Rules() {
		if !r.Logsource.Conflicts(l) {
			return true
		}
	}
	return false
}

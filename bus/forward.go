package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// HeaderEdgeSequence is on a record that an edge forwarded: its sequence in the stream of the edge.
const HeaderEdgeSequence = "Ironpost-Edge-Sequence"

// forwardRoom is what forwarding may add to a record, which the hub's stream bounds as ours does.
const forwardRoom = 256

// Forward publishes the records of one stream of this bus to the same stream of the hub's, in their
// order, under their subjects and ids, each once.
//
// The hub's copy of a record has its sequence here, so that the last copy on a subject says how far
// the hub has the records of that subject. Forward reads it before the first record of each subject,
// and again before a retry that is older than half of what the hub's stream remembers of ids; there
// is no other state. A durable is acknowledged after the hub's ack. It delivers in order only as
// long as no delivery is repeated, so each session starts by resetting it to its ack floor (server
// 2.14), and ends when a delivery is missing.
type Forward struct {
	edge    *Conn
	durable Durable
	host    string
	to      *Publisher

	stored map[string]uint64 // of this session, by subject: the sequence up to which the hub has the records
	batch  []forwarded       // being published
}

// forwarded is one delivery.
type forwarded struct {
	Delivery
	msg *nats.Msg
}

var errDeliveryMissing = errors.New("a delivery is missing")

// NewForward returns a Forward from durable on edge, whose host is host, to hub. It sends nothing
// yet. Close it when it is not used any more.
func NewForward(edge *Conn, durable Durable, host string, hub *Conn) (*Forward, error) {
	to, err := hub.Publisher(PublisherConfig{Stream: durable.Stream, Module: "*", Host: host})
	if err != nil {
		return nil, err
	}
	f := &Forward{edge: edge, durable: durable, host: host, to: to}
	to.endKnown, to.readStored = true, f.readStored
	return f, nil
}

// Close ends f, which must not be running.
func (f *Forward) Close() { f.to.Close() }

// Stats returns what was published to the hub. It may be called concurrently.
func (f *Forward) Stats() PublisherStats { return f.to.Stats() }

// Run forwards until ctx ends; then it returns nil. It retries, and returns an error when one of the
// connections is closed for good.
func (f *Forward) Run(ctx context.Context) error {
	for n := 0; ctx.Err() == nil; n++ {
		err := f.session(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case f.edge.nc.IsClosed():
			return fmt.Errorf("forward %s: %w", f.durable.Stream, f.edge.closeReason())
		case f.to.c.nc.IsClosed():
			return fmt.Errorf("forward %s: %w", f.durable.Stream, f.to.c.closeReason())
		case errors.Is(err, errReconnected):
			n = 0
			continue
		}
		f.edge.log.WithError(err).WithField("stream", f.durable.Stream).Warn("forwarding interrupted")
		sleep(ctx, retryPause(n))
	}
	return nil
}

// session forwards until ctx ends or a delivery is lost.
func (f *Forward) session(ctx context.Context) error {
	if err := f.edge.resetDurable(ctx, f.durable); err != nil {
		return err
	}
	f.stored = map[string]uint64{}
	pull, err := f.edge.subscribePull(f.durable, MaxBatch)
	if err != nil {
		return err
	}
	defer pull.close()
	next := uint64(1) // number of the next delivery
	for ctx.Err() == nil {
		if err := pull.ask(MaxBatch, 0, pullExpiry); err != nil {
			return err
		}
		for {
			msgs, err := awaitBatch(pull, ctx.Done())
			if err != nil {
				return err
			}
			if len(msgs) == 0 {
				break
			}
			if next, err = f.forward(ctx, msgs, next); err != nil {
				return err
			}
		}
	}
	return nil
}

// awaitBatch returns the deliveries that have arrived, at least one, or none when the request has
// ended.
func awaitBatch(pull *pullSub, stop <-chan struct{}) ([]*nats.Msg, error) {
	m, err := pull.next(stop)
	if m == nil {
		return nil, err
	}
	batch := []*nats.Msg{m}
	for len(batch) < MaxBatch {
		if m = pull.buffered(); m == nil {
			break
		}
		batch = append(batch, m)
	}
	return batch, nil
}

// forward publishes msgs, whose first delivery must have the number next, and acknowledges them.
func (f *Forward) forward(ctx context.Context, msgs []*nats.Msg, next uint64) (uint64, error) {
	f.batch = f.batch[:0]
	for _, m := range msgs {
		meta, err := m.Metadata()
		if err != nil || meta.Sequence.Consumer != next {
			return next, errDeliveryMissing
		}
		next++
		f.batch = append(f.batch, forwarded{msg: m, Delivery: Delivery{
			Stream: f.durable.Stream, Durable: f.durable.Name, Subject: m.Subject, Header: m.Header, Data: m.Data,
			ID: m.Header.Get(HeaderID), Sequence: meta.Sequence.Stream,
		}})
	}
	if err := f.publish(ctx); err != nil {
		return next, err
	}
	for _, d := range f.batch {
		f.stored[d.Subject] = max(f.stored[d.Subject], d.Sequence)
		if err := d.msg.Ack(); err != nil { // it is delivered again, and found stored
			return next, err
		}
	}
	return next, nil
}

// publish returns when the hub has f.batch, apart from what is no record of a module.
func (f *Forward) publish(ctx context.Context) error {
	defer f.to.stats.unblock()
	var out []outgoing
	for _, d := range f.batch {
		if bad := checkForward(d.Delivery); bad != nil {
			if err := f.edge.copyToDLQ(ctx, Forwarder, f.host, d.Delivery, bad); err != nil {
				return err
			}
			continue
		}
		through, err := f.storedThrough(ctx, d.Subject)
		if err != nil {
			return err
		}
		if d.Sequence <= through {
			f.to.stats.duplicates.Add(1)
			continue
		}
		out = append(out, d.outgoing())
	}
	err := f.to.storeChunk(ctx, out)
	clear(f.to.stored)
	return err
}

// checkForward returns why d cannot be forwarded, nil if it can.
func checkForward(d Delivery) *rejection {
	if err := checkReflected(d.Header); err != nil {
		return &rejection{err}
	}
	size := len(d.Data)
	for key, values := range d.Header {
		for _, value := range values {
			size += len(key) + len(value) + len(": \r\n")
		}
	}
	if size > maxMessage-forwardRoom {
		return &rejection{fmt.Errorf("%d bytes are too many to forward", size)}
	}
	return nil
}

// outgoing returns d as it is published to the hub.
func (d forwarded) outgoing() outgoing {
	m := nats.NewMsg(d.Subject)
	m.Data = d.Data
	for key, values := range d.Header {
		if !strings.HasPrefix(key, "Nats-") {
			m.Header[key] = values
		}
	}
	m.Header.Set(HeaderID, d.id())
	m.Header.Set(HeaderEdgeSequence, strconv.FormatUint(d.Sequence, 10))
	return outgoing{id: d.id(), msg: m}
}

// id is what the hub knows d by. A plug-in may publish without one.
func (d Delivery) id() string {
	if d.ID != "" {
		return d.ID
	}
	return d.Subject + "." + strconv.FormatUint(d.Sequence, 10)
}

// storedThrough returns up to which sequence the hub has the records of subject. It retries until
// ctx ends.
func (f *Forward) storedThrough(ctx context.Context, subject string) (uint64, error) {
	for n := 0; ; n++ {
		if through, known := f.stored[subject]; known {
			return through, nil
		}
		through, err := f.readLast(ctx, subject)
		if err == nil {
			f.stored[subject] = through
			continue
		}
		f.to.stats.block()
		if err := f.to.waitRetry(ctx, n, err); err != nil {
			return 0, err
		}
	}
}

// readLast asks the hub for its last record on subject, and returns its sequence here; 0 if there is
// none, or if this stream does not hold that record under that sequence: then it has dropped it, and
// all before it, or is another stream than the one that was forwarded.
func (f *Forward) readLast(ctx context.Context, subject string) (uint64, error) {
	last, err := f.to.c.directGet(ctx, f.durable.Stream, subject, nil)
	if errors.Is(err, ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	seq, err := strconv.ParseUint(last.Header.Get(HeaderEdgeSequence), 10, 64)
	if err != nil || seq == 0 {
		return 0, nil // published by a module of this host that had joined the hub
	}
	body, err := json.Marshal(pageRequest{Seq: seq})
	if err != nil {
		return 0, err
	}
	own, err := f.edge.directGet(ctx, f.durable.Stream, "", body)
	if errors.Is(err, ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	d := Delivery{Subject: lastValue(own, jetstream.SubjectHeader), ID: own.Header.Get(HeaderID), Sequence: seq}
	if d.Subject != subject || d.id() != last.Header.Get(HeaderID) {
		return 0, nil
	}
	return seq, nil
}

// readStored marks what the hub has of f.batch.
func (f *Forward) readStored(ctx context.Context, _ uint64) error {
	through := map[string]uint64{}
	for _, d := range f.batch {
		if _, known := through[d.Subject]; !known {
			seq, err := f.readLast(ctx, d.Subject)
			if err != nil {
				return err
			}
			through[d.Subject] = seq
		}
		if d.Sequence <= through[d.Subject] {
			f.to.stored[digestOf(d.id())] = f.to.LastSeq()
		}
	}
	return nil
}

// resetDurable has the server forget what it delivered of d and not seen acknowledged: the next
// delivery is number 1 and the first one after the ack floor.
func (c *Conn) resetDurable(ctx context.Context, d Durable) error {
	call, cancel := c.callContext(ctx)
	defer cancel()
	m, err := c.nc.RequestWithContext(call, fmt.Sprintf("$JS.API.CONSUMER.RESET.%s.%s", d.Stream, d.Name), nil)
	if err != nil {
		return fmt.Errorf("reset durable %s: %w", d.Name, callError(ctx, err))
	}
	var answer struct {
		Error *jetstream.APIError `json:"error"`
	}
	if err := json.Unmarshal(m.Data, &answer); err != nil {
		return fmt.Errorf("reset durable %s: %w", d.Name, err)
	}
	if answer.Error != nil {
		return fmt.Errorf("reset durable %s: %w", d.Name, answer.Error)
	}
	return nil
}

// directGet gets the last message on subject, or if subject is empty what body asks for. It returns
// ErrNotFound if there is none.
func (c *Conn) directGet(ctx context.Context, stream StreamName, subject string, body []byte) (*nats.Msg, error) {
	call, cancel := c.callContext(ctx)
	defer cancel()
	api := "$JS.API.DIRECT.GET." + string(stream)
	if subject != "" {
		api += "." + subject
	}
	m, err := c.nc.RequestWithContext(call, api, body)
	if err != nil {
		return nil, callError(ctx, err)
	}
	switch statusOf(m) {
	case "":
		return m, nil
	case statusNothing:
		return nil, ErrNotFound
	}
	return nil, statusError(m)
}

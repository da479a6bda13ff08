package outbox

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/ironpost/ironpost/bpf/traffic"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/services/ebpfengine/detect"
)

// Outbox is the queue of records. Its methods may be called concurrently.
type Outbox struct {
	ready chan struct{}

	mu         sync.Mutex // guards the fields below
	builder    recordBuilder
	closed     bool
	detections []*event.Packet
	queues     map[string]*queue // by interface
	order      []string          // interfaces, the next one first
	stats      Stats
}

// Stats counts what was not sent as it came.
type Stats struct {
	// Dropped counts windows, blocked prefixes, detections and samples that were not sent, by kind.
	Dropped map[string]uint64
	// Merged counts windows that were merged into another.
	Merged uint64
	// Replaced counts detections that a newer record of the same attack replaced.
	Replaced uint64
	// Pending counts waiting records, without samples.
	Pending int
}

// queue is what waits of one interface.
type queue struct {
	windows []mergedWindow
	blocked map[string]event.BlockedTraffic // by prefix
	samples samples
}

// New returns an empty Outbox for the records of host.
func New(host string) *Outbox {
	return &Outbox{ready: make(chan struct{}, 1), builder: newRecordBuilder(host), queues: map[string]*queue{}, stats: Stats{Dropped: map[string]uint64{}}}
}

// Ready receives a token when a window or a detection was added. Samples become due by
// time, without a token.
func (o *Outbox) Ready() <-chan struct{} { return o.ready }

func (o *Outbox) wake() {
	select {
	case o.ready <- struct{}{}:
	default: // there is a token
	}
}

// queue returns the queue of an interface.
func (o *Outbox) queue(name string) *queue {
	q := o.queues[name]
	if q == nil {
		q = &queue{blocked: map[string]event.BlockedTraffic{}}
		o.queues[name] = q
		o.order = append(o.order, name)
	}
	return q
}

// Window adds the counts of one interval. It does not keep w.
func (o *Outbox) Window(w *traffic.Window) {
	o.mu.Lock()
	defer o.mu.Unlock()
	q := o.queue(w.Interface)
	defer func() {
		if o.isDue(q) {
			o.wake()
		}
	}()
	s := newMergedWindow(w)
	limit := shortLength // a single window waits only while the one before it is sent
	if len(q.windows) > shortWindows {
		limit = longLength
	}
	if n := len(q.windows); n > 0 && q.windows[n-1].length()+s.length() <= limit {
		q.windows[n-1].merge(s)
		o.stats.Merged++
		return
	}
	if len(q.windows) == maxWindows {
		o.stats.Dropped[DroppedWindows] += q.windows[0].merged
		q.windows = q.windows[1:]
	}
	q.windows = append(q.windows, s)
}

// Detection adds a record of package detect. Of the waiting records of one attack, the
// newest replaces the one before it, but not the first.
func (o *Outbox) Detection(p *event.Packet) {
	defer o.wake()
	o.mu.Lock()
	defer o.mu.Unlock()
	for i, older := range slices.Backward(o.detections) {
		if older.TraceID == p.TraceID && older.Detection.Phase != detect.PhaseBegun {
			o.detections[i] = p
			o.stats.Replaced++
			return
		}
		if older.TraceID == p.TraceID {
			break
		}
	}
	if len(o.detections) == maxDetections {
		o.detections = slices.Delete(o.detections, 0, 1)
		o.stats.Dropped[DroppedDetections]++
	}
	o.detections = append(o.detections, p)
}

// Samples adds samples of an interface. It does not keep list.
func (o *Outbox) Samples(name string, now time.Time, sampling uint32, list []traffic.Sample) {
	o.mu.Lock()
	defer o.mu.Unlock()
	lost := o.queue(name).samples.add(now, sampling, list)
	o.stats.Dropped[DroppedSamples] += lost
}

// Lost counts samples that were lost earlier; the next record of samples of the interface
// has the number.
func (o *Outbox) Lost(name string, n uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.queue(name).samples.lost += n
}

// Blocked adds what entries of the blocklist dropped since they were counted last.
func (o *Outbox) Blocked(name string, list []event.BlockedTraffic) {
	o.mu.Lock()
	defer o.mu.Unlock()
	q := o.queue(name)
	for _, b := range list {
		have, waits := q.blocked[b.Prefix]
		if !waits && len(q.blocked) == maxBlocked {
			o.stats.Dropped[DroppedBlocked]++
			continue
		}
		b.Packets += have.Packets
		b.Bytes += have.Bytes
		q.blocked[b.Prefix] = b
	}
}

// Close makes everything due at once. Nothing may be added afterwards.
func (o *Outbox) Close() {
	defer o.wake()
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
}

// Take removes and returns the next record, nil if none is due.
func (o *Outbox) Take(now time.Time) *event.Packet {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.detections) > 0 {
		record := o.detections[0]
		o.detections = o.detections[1:]
		return record
	}
	for _, take := range []func(string, *queue, time.Time) *event.Packet{o.window, o.blocked, o.flows} {
		for i, name := range o.order {
			if record := take(name, o.queues[name], now); record != nil {
				o.order = append(slices.Delete(o.order, i, i+1), name) // the other interfaces come first next time
				return record
			}
		}
	}
	return nil
}

// isDue reports whether the oldest window of q is to be sent.
func (o *Outbox) isDue(q *queue) bool {
	return len(q.windows) > 1 || len(q.windows) == 1 && (o.closed || !q.windows[0].quiet || q.windows[0].length() >= shortLength)
}

func (o *Outbox) window(name string, q *queue, _ time.Time) *event.Packet {
	if !o.isDue(q) {
		return nil
	}
	s := q.windows[0]
	q.windows = q.windows[1:]
	p := o.builder.packet(event.Window, name, s.end)
	s.window.DurationMS = s.length().Milliseconds()
	p.Window, p.Sampling, p.Lost = &s.window, s.sampling, s.lost
	return p
}

func (o *Outbox) blocked(name string, q *queue, now time.Time) *event.Packet {
	if len(q.blocked) == 0 {
		return nil
	}
	p := o.builder.packet(event.Blocked, name, now)
	prefixes := slices.Sorted(maps.Keys(q.blocked))
	for _, prefix := range prefixes[:min(len(prefixes), event.MaxSamples)] {
		p.Blocked = append(p.Blocked, q.blocked[prefix])
		delete(q.blocked, prefix)
	}
	return p
}

func (o *Outbox) flows(name string, q *queue, now time.Time) *event.Packet {
	s := &q.samples
	if !s.due(now, o.closed) {
		return nil
	}
	p := o.builder.packet(event.Flows, name, now)
	p.Flows, p.Sampling, p.Lost = s.take(now), s.sampling, s.lost
	s.lost = 0
	return p
}

// Stats returns the counts so far.
func (o *Outbox) Stats() Stats {
	o.mu.Lock()
	defer o.mu.Unlock()
	s := o.stats
	s.Dropped, s.Pending = maps.Clone(o.stats.Dropped), len(o.detections)
	for _, kind := range []string{DroppedSamples, DroppedWindows, DroppedBlocked, DroppedDetections} {
		s.Dropped[kind] += 0 // shown from the start
	}
	for _, q := range o.queues {
		s.Pending += len(q.windows)
		if len(q.blocked) > 0 {
			s.Pending++
		}
	}
	return s
}

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

// Outbox holds what waits. Its methods may be called concurrently.
type Outbox struct {
	ready chan struct{}

	mu         sync.Mutex // guards what follows
	builder    recordBuilder
	closed     bool
	detections []*event.Packet
	queues     map[string]*queue // by interface
	order      []string          // interfaces, the next one first
	stats      Stats
}

// Stats counts what became of what was put in.
type Stats struct {
	// Dropped counts what never went out, by kind: windows, blocked (prefixes), detections and samples.
	Dropped map[string]uint64
	// Merged counts windows that went out as part of another.
	Merged uint64
	// Pending counts records that wait.
	Pending int
}

// queue is what waits of one interface.
type queue struct {
	windows []mergedWindow
	blocked map[string]event.BlockedTraffic // by prefix
	samples samples
}

// New returns an empty Outbox whose records are of host.
func New(host string) *Outbox {
	return &Outbox{ready: make(chan struct{}, 1), builder: newRecordBuilder(host), queues: map[string]*queue{}, stats: Stats{Dropped: map[string]uint64{}}}
}

// Ready gets a token when a window or a detection came. Samples fall due by time, without one.
func (o *Outbox) Ready() <-chan struct{} { return o.ready }

func (o *Outbox) wake() {
	select {
	case o.ready <- struct{}{}:
	default: // one token will do
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

// Window takes what was counted in one interval. It keeps nothing of w.
func (o *Outbox) Window(w *traffic.Window) {
	defer o.wake()
	o.mu.Lock()
	defer o.mu.Unlock()
	q := o.queue(w.Interface)
	s := newMergedWindow(w)
	if n := len(q.windows); n > 0 && q.windows[n-1].length()+s.length() <= maxLength(n) {
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

// maxLength is how long the newest of n waiting windows may become. One that waits alone does so no
// longer than the bus takes for the one before.
func maxLength(n int) time.Duration {
	if n <= shortWindows {
		return shortLength
	}
	return longLength
}

// Detection takes an announcement of package detect. Of one attack's that wait, the newest stands for
// those between the first and the last; no attack stands for another.
func (o *Outbox) Detection(p *event.Packet) {
	defer o.wake()
	o.mu.Lock()
	defer o.mu.Unlock()
	if i := o.newest(p.TraceID); i >= 0 && o.detections[i].Detection.Phase != detect.PhaseBegun {
		o.detections[i] = p
		return
	}
	if len(o.detections) == maxDetections {
		o.detections = slices.Delete(o.detections, 0, 1)
		o.stats.Dropped[DroppedDetections]++
	}
	o.detections = append(o.detections, p)
}

// newest returns the announcement that came last of the attack with that trace, -1 if none waits.
func (o *Outbox) newest(trace string) int {
	for i, p := range slices.Backward(o.detections) {
		if p.TraceID == trace {
			return i
		}
	}
	return -1
}

// Samples takes samples of an interface. It keeps nothing of list.
func (o *Outbox) Samples(name string, now time.Time, sampling uint32, list []traffic.Sample) {
	o.mu.Lock()
	defer o.mu.Unlock()
	lost := o.queue(name).samples.add(now, sampling, list)
	o.stats.Dropped[DroppedSamples] += lost
}

// Lost notes samples that were lost before they came here; the next samples of that interface say so.
func (o *Outbox) Lost(name string, n uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.queue(name).samples.lost += n
}

// Blocked takes what entries of the blocklist dropped since they were last counted.
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

// Close makes everything due at once: nothing more will come.
func (o *Outbox) Close() {
	defer o.wake()
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
}

// Take returns the record that is to go next, nil if none is due now.
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
				o.order = append(slices.Delete(o.order, i, i+1), name) // the others are next
				return record
			}
		}
	}
	return nil
}

func (o *Outbox) window(name string, q *queue, _ time.Time) *event.Packet {
	if len(q.windows) == 0 {
		return nil
	}
	s := q.windows[0]
	q.windows = q.windows[1:]
	return o.builder.window(name, s)
}

func (o *Outbox) blocked(name string, q *queue, now time.Time) *event.Packet {
	if len(q.blocked) == 0 {
		return nil
	}
	prefixes := slices.Sorted(maps.Keys(q.blocked))
	var list []event.BlockedTraffic
	for _, prefix := range prefixes[:min(len(prefixes), event.MaxSamples)] {
		list = append(list, q.blocked[prefix])
		delete(q.blocked, prefix)
	}
	return o.builder.blocked(name, now, list)
}

func (o *Outbox) flows(name string, q *queue, now time.Time) *event.Packet {
	batch, ok := q.samples.take(now, o.closed)
	if !ok {
		return nil
	}
	return o.builder.flows(name, now, batch)
}

// Stats returns the counts so far.
func (o *Outbox) Stats() Stats {
	o.mu.Lock()
	defer o.mu.Unlock()
	s := Stats{Dropped: maps.Clone(o.stats.Dropped), Merged: o.stats.Merged, Pending: len(o.detections)}
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

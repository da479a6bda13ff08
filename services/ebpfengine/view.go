package ebpfengine

import (
	"sync"

	"github.com/ironpost/ironpost/bpf/traffic"
	"github.com/ironpost/ironpost/services/ebpfengine/attach"
	"github.com/ironpost/ironpost/services/ebpfengine/detect"
)

// view is what is shown of one interface. It outlives the sensor, so that counts do not go back when an
// interface comes again. Its methods may be called concurrently.
type view struct {
	mu     sync.Mutex
	sensor *sensor // nil while it is not watched
	counts shown
}

// shown is a copy of what a view holds.
type shown struct {
	name     string
	mode     attach.Mode // "" while it is not watched
	adopted  bool
	fallback string
	egress   bool
	lacking  string // why there is no egress

	totals   traffic.Counters
	promoted int
	failures uint64 // windows that could not be read
	detector detect.Stats
	seconds  float64 // a packet takes in the program, 0 while unknown
}

// view notes who watches an interface now, nil for nobody.
func (s *Service) view(name string, sen *sensor) *view {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.views[name]
	if v == nil {
		v = &view{counts: shown{name: name}}
		s.views[name] = v
	}
	v.watchedBy(sen)
	return v
}

func (v *view) watchedBy(sen *sensor) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.sensor = sen
	c := &v.counts
	c.mode, c.adopted, c.fallback, c.egress, c.lacking, c.promoted, c.seconds = "", false, "", false, "", 0, 0
	c.detector = detect.Stats{}
	if sen == nil {
		return
	}
	c.mode, c.adopted, c.fallback = sen.link.Interface.Mode, sen.link.Adopted, sen.link.Fallback
	c.egress, c.lacking = sen.egress != nil, told("", sen.blind)
}

// add counts a window.
func (v *view) add(w *traffic.Window) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.counts.promoted = len(w.Sources)
	t, o := &v.counts.totals, &w.Totals
	t.Packets += o.Packets
	t.Bytes += o.Bytes
	t.Dropped.Add(o.Dropped)
	for r, n := range o.DroppedFor {
		t.DroppedFor[r] += n
	}
	t.Monitored.Add(o.Monitored)
	t.Allowed.Add(o.Allowed)
	for c := range o.ByClass {
		t.ByClass[c].Add(o.ByClass[c])
	}
	for r := range o.Malformed {
		t.Malformed[r] += o.Malformed[r]
	}
	t.Fragmented += o.Fragmented
	t.Candidates += o.Candidates
	t.Sampled += o.Sampled
	t.RingLost += o.RingLost
	t.SourcesRefused += o.SourcesRefused
	t.TargetsRefused += o.TargetsRefused
}

func (v *view) failed() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.counts.failures++
}

func (v *view) judged(d detect.Stats) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.counts.detector = d
}

func (v *view) took(seconds float64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.counts.seconds = seconds
}

func (v *view) shown() shown {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.counts
}

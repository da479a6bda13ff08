package detect

import (
	"net/netip"
	"time"

	"github.com/ironpost/ironpost/bpf/traffic"
)

// maxPendingSamples bounds the samples between two windows. The kernel's budget is below it.
const maxPendingSamples = 1 << 16

// Stats counts the work and the losses of a Detector.
type Stats struct {
	// Sources and Running are the sources and attacks in memory now.
	Sources, Running int
	// Backscatter counts sampled SYN-ACK and RST without a request. They are never probes.
	Backscatter uint64
	// Evicted counts sources, and Displaced attacks, dropped for want of memory; Overrun
	// counts samples beyond what is kept between two windows.
	Evicted, Displaced, Overrun uint64
	// Detections counts the records returned.
	Detections uint64
}

// Detector finds attacks in the windows and samples of one interface. It is not safe for
// concurrent use.
type Detector struct {
	pending     []traffic.Sample
	attacks     *attacks
	scans       *scans
	outgoing    *scans // of this machine, and of those behind it
	floods      *floods
	outFloods   *floods // by this machine, and by those behind it
	reflections *reflections
	notices     *notices
	stats       *Stats
	last        traffic.Window // without its records
}

// New returns a Detector for one interface. cfg must be valid.
func New(cfg Config) *Detector {
	stats := &Stats{}
	a := &attacks{byIdentity: map[identity]*attack{}, repeat: time.Duration(cfg.RepeatSecs) * time.Second}
	told := newNotices(cfg)
	s := newScans(cfg, false, a, told, stats)
	out := newScans(cfg, true, a, told, stats)
	outFloods := newFloods(cfg, a, out)
	outFloods.peers = &peers{}
	return &Detector{attacks: a, scans: s, outgoing: out, floods: newFloods(cfg, a, s), outFloods: outFloods, reflections: s.reflections, notices: told, stats: stats}
}

// Sample adds samples of the interval whose window comes next. It does not keep the slice.
func (d *Detector) Sample(samples []traffic.Sample) {
	room := min(maxPendingSamples-len(d.pending), len(samples))
	d.pending = append(d.pending, samples[:room]...)
	d.stats.Overrun += uint64(len(samples) - room)
}

// Observe adds a window, in order of time, and returns the detections that are due, at
// most 64; the others follow with the next windows.
func (d *Detector) Observe(w traffic.Window) []Detection {
	d.reflections.observe(w)
	for _, s := range d.pending {
		d.sample(s)
	}
	d.pending = d.pending[:0]
	d.scans.endWindow(w)
	d.floods.endWindow(w)
	d.outFloods.endOutgoing(w)
	d.outgoing.endWindow(w)
	d.last = w
	d.last.Sources, d.last.Targets, d.last.Outgoing = nil, nil, nil
	told := d.notices.take(w)
	d.stats.Detections += uint64(len(told))
	return append(d.detections(d.attacks.due(w.End), w.End), told...)
}

func (d *Detector) sample(s traffic.Sample) {
	d.outFloods.peers.sample(s)
	if s.Outbound {
		d.outgoing.sample(s)
		return
	}
	d.scans.sample(s)
	if s.Outcome == traffic.Open {
		d.floods.sample(s)
	}
}

// Close ends all attacks, as of the last window, and returns their remaining detections.
func (d *Detector) Close() []Detection {
	all := d.attacks.sorted()
	var unreported []*attack
	for _, a := range all {
		if a.records == 0 {
			unreported = append(unreported, a)
		}
	}
	out := d.detections(unreported, d.last.End)
	for _, a := range all {
		d.attacks.remove(a)
	}
	return append(out, d.detections(all, d.last.End)...)
}

// Stats returns the counts so far.
func (d *Detector) Stats() Stats {
	s := *d.stats
	s.Sources, s.Running = len(d.scans.sources.order)+len(d.scans.networks.order)+len(d.outgoing.sources.order), len(d.attacks.byIdentity)
	s.Displaced += d.attacks.evicted
	return s
}

// HasCompletedHandshake reports whether addr is known to have completed a handshake, so that its packets are not forged.
// A source is remembered for [Config.ScanMemorySecs] after its last try, as far as there is room.
func (d *Detector) HasCompletedHandshake(addr netip.Addr) bool {
	p := d.scans.sources.find(single(addr))
	return p != nil && p.proven
}

func (d *Detector) detections(attacks []*attack, now time.Time) []Detection {
	var out []Detection
	for _, a := range attacks {
		if a.records == 0 {
			a.evictedBefore = d.stats.Evicted
		}
		if d.stats.Evicted > a.evictedBefore {
			a.missing[MissingMemory] = true
		}
		out = append(out, Detection{
			TrafficFinding: d.attacks.record(a, now), Interface: d.last.Interface, Began: a.began, Time: now, Flow: a.flows[0], EarlierFlow: a.flows[1],
			Sampling: d.last.Sampling, Lost: d.last.Lost,
		})
	}
	d.stats.Detections += uint64(len(out))
	return out
}

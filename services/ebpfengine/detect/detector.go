package detect

import (
	"time"

	"github.com/ironpost/ironpost/bpf/traffic"
)

// maxPendingSamples bounds the samples between two windows; the kernel's budget is below it. More are counted as Overrun.
const maxPendingSamples = 1 << 16

// Stats counts what the Detector did and could not do.
type Stats struct {
	// Sources and Running are how many are followed now.
	Sources, Running int
	// Backscatter counts sampled SYN-ACK and RST that answered nothing seen: never taken for probes.
	Backscatter uint64
	// Evicted counts sources forgotten for want of room, Displaced attacks no longer followed for it, Overrun samples
	// beyond what is kept between two windows.
	Evicted, Displaced, Overrun uint64
	// Findings counts announcements.
	Detections uint64
}

// Detector finds attacks in the windows and samples of one interface. One goroutine may use it.
type Detector struct {
	pending []traffic.Sample
	attacks *attacks
	scans   *scans
	floods  *floods
	stats   *Stats
	last    traffic.Window // without its records
}

// New returns a Detector for one interface. cfg must be valid.
func New(cfg Config) *Detector {
	stats := &Stats{}
	r := newRunning(cfg.repeat())
	s := newScans(cfg, r, stats)
	return &Detector{attacks: r, scans: s, floods: newFloods(cfg, r, s), stats: stats}
}

// Sample takes in the samples of the interval whose window comes next. It keeps none of them.
func (d *Detector) Sample(samples []traffic.Sample) {
	room := min(maxPendingSamples-len(d.pending), len(samples))
	d.pending = append(d.pending, samples[:room]...)
	d.stats.Overrun += uint64(len(samples) - room)
}

// Observe takes in a window, in order of time, and returns what is to be announced: at most 64 findings; more wait for the
// next window.
func (d *Detector) Observe(w traffic.Window) []Detection {
	for _, s := range d.pending {
		d.scans.sample(s)
		d.floods.sample(s)
	}
	d.pending = d.pending[:0]
	d.scans.endWindow(w)
	d.floods.endWindow(w)
	d.last = w
	d.last.Sources, d.last.Targets = nil, nil
	return d.detections(d.attacks.due(w.End), w.End)
}

// Close ends all attacks, as of the last window, and returns their last announcements: at the end of a capture, all there is.
func (d *Detector) Close() []Detection {
	all := d.attacks.sorted()
	var unheard []*attack
	for _, a := range all {
		if a.records == 0 {
			unheard = append(unheard, a)
		}
	}
	out := d.detections(unheard, d.last.End)
	for _, a := range all {
		d.attacks.remove(a)
	}
	return append(out, d.detections(all, d.last.End)...)
}

// Stats may be called between other calls only.
func (d *Detector) Stats() Stats {
	s := *d.stats
	s.Sources, s.Running = len(d.scans.order), len(d.attacks.byIdentity)
	s.Displaced += d.attacks.displaced
	return s
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
			TrafficFinding: d.attacks.announce(a, now), Interface: d.last.Interface, Began: a.began, Time: now,
			Sampling: d.last.Sampling, Lost: d.last.Lost,
		})
	}
	d.stats.Detections += uint64(len(out))
	return out
}

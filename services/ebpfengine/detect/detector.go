package detect

import (
	"time"

	"github.com/ironpost/ironpost/bpf/traffic"
)

// maxWaiting bounds the samples between two windows; the kernel's budget is below it. More are counted as Overrun.
const maxWaiting = 1 << 16

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
	waiting []traffic.Sample
	running *running
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
	return &Detector{running: r, scans: s, floods: newFloods(cfg, r, s), stats: stats}
}

// Sample takes in the samples of the interval whose window comes next. It keeps none of them.
func (d *Detector) Sample(samples []traffic.Sample) {
	room := min(maxWaiting-len(d.waiting), len(samples))
	d.waiting = append(d.waiting, samples[:room]...)
	d.stats.Overrun += uint64(len(samples) - room)
}

// Observe takes in a window, in order of time, and returns what is to be announced: at most 64 findings; more wait for the
// next window.
func (d *Detector) Observe(w traffic.Window) []Detection {
	for _, s := range d.waiting {
		d.scans.sample(s)
		d.floods.sample(s)
	}
	d.waiting = d.waiting[:0]
	d.scans.settle(w)
	d.floods.settle(w)
	d.last = w
	d.last.Sources, d.last.Targets = nil, nil
	return d.announce(d.running.due(w.End), w.End)
}

// Close ends all attacks, as of the last window, and returns their last announcements: at the end of a capture, all there is.
func (d *Detector) Close() []Detection {
	all := d.running.sorted()
	var unheard []*attack
	for _, a := range all {
		if a.announced == 0 {
			unheard = append(unheard, a)
		}
	}
	out := d.announce(unheard, d.last.End)
	for _, a := range all {
		d.running.remove(a)
	}
	return append(out, d.announce(all, d.last.End)...)
}

// Stats may be called between other calls only.
func (d *Detector) Stats() Stats {
	s := *d.stats
	s.Sources, s.Running = len(d.scans.order), len(d.running.byIdentity)
	s.Displaced += d.running.displaced
	return s
}

func (d *Detector) announce(attacks []*attack, now time.Time) []Detection {
	var out []Detection
	for _, a := range attacks {
		if a.announced == 0 {
			a.evicted = d.stats.Evicted
		}
		if d.stats.Evicted > a.evicted {
			a.lacking[MissingMemory] = true
		}
		out = append(out, Detection{
			TrafficFinding: d.running.announce(a, now), Interface: d.last.Interface, Began: a.began, Time: now,
			Sampling: d.last.Sampling, Lost: d.last.Lost,
		})
	}
	d.stats.Detections += uint64(len(out))
	return out
}

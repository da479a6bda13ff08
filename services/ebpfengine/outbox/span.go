package outbox

import (
	"cmp"
	"slices"
	"time"

	"github.com/ironpost/ironpost/bpf/traffic"
	"github.com/ironpost/ironpost/event"
)

// mergedWindow is one window, or several that were merged.
type mergedWindow struct {
	start, end time.Time
	window     event.TrafficWindow
	sampling   uint32
	lost       uint64
	merged     uint64 // how many intervals
}

func (s mergedWindow) length() time.Duration { return s.end.Sub(s.start) }

func newMergedWindow(w *traffic.Window) mergedWindow {
	t := &w.Totals
	out := mergedWindow{
		start: w.Start, end: w.End, sampling: max(w.Sampling, 1), lost: w.Lost, merged: 1,
		window: event.TrafficWindow{
			Packets: t.Packets, Bytes: t.Bytes, Dropped: t.Dropped.Packets, Classes: classes(t),
			Sources: uint64(max(w.SourcesEstimate, 0)), Promoted: uint64(len(w.Sources)),
			Talkers: talkers(w.Sources),
		},
	}
	return out
}

// classes counts by class what there was any of, and what was malformed.
func classes(t *traffic.Counters) map[string]uint64 {
	out := map[string]uint64{}
	for c, n := range t.ByClass {
		if n.Packets > 0 {
			out[traffic.Class(c).String()] = n.Packets
		}
	}
	var malformed uint64
	for _, n := range t.Malformed {
		malformed += n
	}
	if malformed > 0 {
		out["malformed"] = malformed
	}
	if t.Fragmented > 0 {
		out["fragmented"] = t.Fragmented
	}
	return out
}

func talkers(sources []traffic.Source) []event.Talker {
	out := make([]event.Talker, 0, min(len(sources), event.MaxTalkers))
	for i := range sources {
		s := &sources[i]
		out = append(out, event.Talker{IP: s.Addr.String(), Packets: s.Packets, Bytes: s.Bytes})
	}
	return top(out)
}

// top returns the busiest, in order.
func top(list []event.Talker) []event.Talker {
	slices.SortStableFunc(list, func(a, b event.Talker) int {
		return cmp.Or(cmp.Compare(b.Packets, a.Packets), cmp.Compare(b.Bytes, a.Bytes), cmp.Compare(a.IP, b.IP))
	})
	return slices.Clip(list[:min(len(list), event.MaxTalkers)])
}

// merge adds o, which came after s. A talker that was among the busiest of one alone is counted for
// that one. Of the estimates the largest stands: whether the sources were the same is not known.
func (s *mergedWindow) merge(o mergedWindow) {
	s.end = o.end
	s.sampling = max(s.sampling, o.sampling)
	s.lost += o.lost
	s.merged += o.merged
	w := &s.window
	w.Packets += o.window.Packets
	w.Bytes += o.window.Bytes
	w.Dropped += o.window.Dropped
	w.Sources = max(w.Sources, o.window.Sources)
	w.Promoted = max(w.Promoted, o.window.Promoted)
	for class, n := range o.window.Classes {
		w.Classes[class] += n
	}
	w.Talkers = sumTalkers(w.Talkers, o.window.Talkers)
}

func sumTalkers(a, b []event.Talker) []event.Talker {
	sum := make(map[string]event.Talker, len(a)+len(b))
	for _, t := range slices.Concat(a, b) {
		have := sum[t.IP]
		sum[t.IP] = event.Talker{IP: t.IP, Packets: have.Packets + t.Packets, Bytes: have.Bytes + t.Bytes}
	}
	out := make([]event.Talker, 0, len(sum))
	for _, t := range sum {
		out = append(out, t)
	}
	return top(out)
}

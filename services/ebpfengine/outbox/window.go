package outbox

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/ironpost/ironpost/bpf/traffic"
	"github.com/ironpost/ironpost/event"
)

// mergedWindow is a window, or several that were merged.
type mergedWindow struct {
	start, end time.Time
	window     event.TrafficWindow
	sampling   uint32
	lost       uint64
	merged     uint64 // number of windows
	quiet      bool   // hardly any traffic
}

func (s mergedWindow) length() time.Duration { return s.end.Sub(s.start) }

func newMergedWindow(w *traffic.Window) mergedWindow {
	talkers := make([]event.Talker, 0, len(w.Sources))
	for i := range w.Sources {
		s := &w.Sources[i]
		talkers = append(talkers, event.Talker{IP: s.Addr.String(), Packets: s.Packets, Bytes: s.Bytes})
	}
	t := &w.Totals
	return mergedWindow{
		start: w.Start, end: w.End, sampling: max(w.Sampling, 1), lost: w.Lost, merged: 1,
		quiet: len(w.Sources) == 0 && t.Packets < quietPackets,
		window: event.TrafficWindow{
			Packets: t.Packets, Bytes: t.Bytes, Dropped: t.Dropped.Packets, Classes: classes(t),
			Sources: uint64(max(w.SourcesEstimate, 0)), Promoted: uint64(len(w.Sources)),
			Talkers: busiest(talkers),
		},
	}
}

// classes returns the packets of each class that has any, and of malformed packets.
func classes(t *traffic.Counters) map[string]uint64 {
	out := map[string]uint64{}
	for c, n := range t.ByClass {
		if n > 0 {
			out[traffic.Class(c).String()] = n
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

// busiest returns the busiest talkers in order.
func busiest(list []event.Talker) []event.Talker {
	slices.SortStableFunc(list, func(a, b event.Talker) int {
		return cmp.Or(cmp.Compare(b.Packets, a.Packets), cmp.Compare(b.Bytes, a.Bytes), cmp.Compare(a.IP, b.IP))
	})
	return slices.Clip(list[:min(len(list), event.MaxTalkers)])
}

// merge adds o, which follows s. Estimates are not added, because the sources may be the
// same: the larger one counts.
func (s *mergedWindow) merge(o mergedWindow) {
	s.end = o.end
	s.quiet = s.quiet && o.quiet
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
	sum := make(map[string]event.Talker, len(w.Talkers)+len(o.window.Talkers))
	for _, t := range slices.Concat(w.Talkers, o.window.Talkers) {
		have := sum[t.IP]
		sum[t.IP] = event.Talker{IP: t.IP, Packets: have.Packets + t.Packets, Bytes: have.Bytes + t.Bytes}
	}
	w.Talkers = busiest(slices.Collect(maps.Values(sum)))
}

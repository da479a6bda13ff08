package series

import (
	"maps"
	"slices"
	"time"

	"github.com/ironpost/ironpost/event"
)

const (
	// maxDetections bounds the detections of one series that are waited for.
	maxDetections = 64
	maxPorts      = 32
)

// intervals are the times after revision 0 at which revisions follow; after the last one, one every hour.
var intervals = [...]time.Duration{10 * time.Second, time.Minute, 5 * time.Minute, 15 * time.Minute}

// Series is an attack. It marshals to JSON.
type Series struct {
	// First is revision 0, without what later ones do not repeat.
	First event.Alert `json:"first"`
	// Latest is the newest alert or the end, which has the counts so far.
	Latest event.Alert `json:"latest"`
	// Revision is the number of the last one published.
	Revision int `json:"revision"`
	// Count is the number of alerts before they became a series.
	Count int `json:"count"`
	// Running are the trace ids of the detections that go on; none: the attack is over.
	Running []string `json:"running,omitempty"`
	// Touched is when the last of them came, by the wall clock.
	Touched time.Time `json:"touched"`
}

func newSeries(a *event.Alert, now time.Time) *Series {
	first := *a
	first.Matched, first.Findings, first.Evidence = nil, nil, nil
	return &Series{First: first, Latest: *a, Count: 1, Running: []string{a.TraceID}, Touched: now}
}

// due returns the time of the next revision while the attack goes on.
func (s *Series) due() time.Time {
	if s.Revision < len(intervals) {
		return s.First.LastSeen.Add(intervals[s.Revision])
	}
	hours := s.Revision - len(intervals) + 1
	return s.First.LastSeen.Add(time.Duration(hours) * time.Hour)
}

func (s *Series) isOver() bool { return len(s.Running) == 0 }

// add takes over the counts of a later alert.
func (s *Series) add(a *event.Alert, now time.Time) {
	s.Count++
	s.Touched = now
	if !slices.Contains(s.Running, a.TraceID) && len(s.Running) < maxDetections {
		s.Running = append(s.Running, a.TraceID)
	}
	s.merge(a)
}

// end ends the detection of a.
func (s *Series) end(a *event.Alert, now time.Time) {
	s.Touched = now
	s.Running = slices.DeleteFunc(s.Running, func(trace string) bool { return trace == a.TraceID })
	s.merge(a)
}

// merge takes over the counts of a, of which each is a sum since its detection began: the larger counts.
func (s *Series) merge(a *event.Alert) {
	old := s.Latest
	s.Latest = *a
	s.Latest.Peak = max(old.Peak, a.Peak)
	totals := maps.Clone(old.Totals)
	for name, n := range a.Totals {
		if totals == nil {
			totals = map[string]uint64{}
		}
		totals[name] = max(totals[name], n)
	}
	s.Latest.Totals = totals
	ports := slices.Concat(old.Ports, a.Ports)
	slices.Sort(ports)
	ports = slices.Compact(ports)
	s.Latest.Ports = ports[:min(len(ports), maxPorts)]
	if old.LastSeen.After(a.LastSeen) {
		s.Latest.LastSeen = old.LastSeen
	}
}

// next returns the next revision. Its id follows from that of revision 0, so that one made again after a crash has the same id.
func (s *Series) next(now time.Time) *event.Alert {
	s.Revision++
	out := s.First
	out.ID = revisionID(s.First.ID, s.Revision)
	out.Time, out.LastSeen, out.Count, out.Update = now.UTC(), s.Latest.LastSeen, s.Count, true
	out.Revision, out.State = s.Revision, event.Ongoing
	if s.isOver() {
		out.State = event.Over
	}
	out.Peak, out.Totals, out.Ports, out.Evidence = s.Latest.Peak, s.Latest.Totals, s.Latest.Ports, s.Latest.Evidence
	return &out
}

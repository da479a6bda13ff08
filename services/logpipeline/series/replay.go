package series

import (
	"slices"
	"time"

	"github.com/ironpost/ironpost/event"
)

// restoreGrace is how much longer restored series are kept open: their matches may come again, which takes a while to begin.
const restoreGrace = 10 * time.Second

// Restore adds stored series. Those of lines stay open for a whole span from now on, because matches may come again.
func (t *Table) Restore(list []Series, now time.Time) {
	for i := range list {
		s := list[i]
		if s.First.DedupKey == "" || t.size() >= t.limit {
			continue
		}
		if s.Quiet > 0 {
			s.Touched = now.Add(restoreGrace)
		}
		if s.Held.IsZero() { // of a version that made series of detections only
			s.Told, s.Held, s.Counted, s.Over = s.Latest.LastSeen.Sub(s.First.LastSeen), s.Latest.LastSeen, true, len(s.Running) == 0
		}
		shorten(&s.First) // versions before kept all of it
		t.insert(&s)
	}
	_ = t.fit(now) // what is given up is told again by its next match
}

// Seen takes over an alert that was published after the checkpoint, whose matches come again: the series that it opened, or the revision
// of one, which is not made again.
func (t *Table) Seen(a *event.Alert, now time.Time) {
	list := t.byKey[a.DedupKey]
	at := slices.IndexFunc(list, func(s *Series) bool { return s.First.ID == a.SeriesID() })
	switch {
	case at >= 0:
		t.revised(list[at], a, now)
	case a.Update && a.Series == "": // of an earlier version, about its deduplication window
		if len(list) > 0 {
			t.over(list[len(list)-1], a.Count)
		}
	case !a.Update:
		for _, before := range slices.Clone(list) {
			t.over(before, 1) // one that had more says so in its last revision
		}
		m := Match{Alert: a, Detection: len(a.Totals) > 0}
		s := newSeries(m, t.span, now.Add(restoreGrace))
		if m.Detection {
			s.Running = []string{a.TraceID}
		} else {
			s.Stored = 1
		}
		s.merge(a, now)
		_ = t.makeRoom(now) // what is given up is told again by its next match
		t.insert(s)
	}
}

// revised takes over revision a of s.
func (t *Table) revised(s *Series, a *event.Alert, now time.Time) {
	if a.Revision <= s.Revision {
		return
	}
	held := s.Held
	if a.Escalated {
		s.show(a)
		held = a.LastSeen
	}
	s.Revision, s.Told = a.Revision, max(s.Told, s.elapsed(a, now))
	s.merge(a, now.Add(restoreGrace))
	s.Held = held // the newest match may be a weaker one
	switch {
	case s.Quiet > 0 && a.State == event.Over:
		t.over(s, a.Count)
		return
	case s.Quiet > 0:
		s.Stored = a.Count
	case a.State == event.Over:
		s.Over, s.Count, s.Running, s.Counted = true, max(s.Count, a.Count), nil, true
	default:
		s.Over = false
	}
	t.placeAgain(s)
}

// over ends s, whose last revision is in the stream with this count.
func (t *Table) over(s *Series, count int) {
	s.Over, s.Running, s.Stored = true, nil, max(s.Stored, count)
	t.endStored(s)
}

// endStored forgets s, which is over, unless matches of it come again.
func (t *Table) endStored(s *Series) {
	if !s.awaitsMatches() {
		t.remove(s)
		return
	}
	t.placeAgain(s)
}

// awaitsMatches reports whether matches come again that were counted in s before a crash.
func (s *Series) awaitsMatches() bool { return s.Count < s.Stored }

// comesAgain counts m in a series that was over before a crash, if it was counted there before.
func (t *Table) comesAgain(m Match, now time.Time) bool {
	a := m.Alert
	for _, s := range t.byKey[a.DedupKey] {
		if !s.Over || a.LastSeen.After(s.Latest.LastSeen) || a.Trust.Rank() > s.First.Trust.Rank() {
			continue
		}
		if s.Quiet == 0 {
			return true // its counts were taken over
		}
		s.Count += max(m.Times, 1)
		t.endStored(s)
		return true
	}
	return false
}

// Window is a deduplication window, which versions before series kept in their checkpoints.
type Window struct {
	First event.Alert `json:"first"`
	Last  time.Time   `json:"last"`
	Count int         `json:"count"`
}

// FromWindows returns the series that windows of this span become.
func FromWindows(windows []Window, span time.Duration) []Series {
	out := make([]Series, 0, len(windows))
	for _, w := range windows {
		s := newSeries(Match{Alert: &w.First}, span, w.Last)
		s.Count, s.Counted, s.Latest.LastSeen, s.Held = w.Count, w.Count > 0, w.Last, w.Last
		out = append(out, *s)
	}
	return out
}

package series

import (
	"cmp"
	"container/list"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/ironpost/ironpost/event"
)

const (
	// DefaultMax is the default limit of series in memory.
	DefaultMax = 10_000
	// stale is how long a series of detections without news is kept: a slow scan may pause for half an hour.
	stale = 35 * time.Minute
	// maxAgain bounds the time within which detections continue a series: less than the shortest block, so that an attack that comes
	// back after its block is answered again.
	maxAgain = 5 * time.Minute
	// keepStored is how long the matches of a series that was over before a crash are expected to come again.
	keepStored = 10 * time.Minute
	// scanPause is the least time between two searches for series that are over.
	scanPause = 100 * time.Millisecond
	// beganPause is the least time between a revision and one because a correlation began again.
	beganPause = 10 * time.Second
)

// Stats are the counters of a Table.
type Stats struct {
	Open      int    // series in memory
	Counted   uint64 // matches that were only counted
	Revisions uint64 // further revisions made
	Escalated uint64 // of these, escalated ones
	Evicted   uint64 // series given up because there were too many
	EvictedAt time.Time
}

// Table holds the series that are not over, and those of detections that were over lately.
type Table struct {
	span  time.Duration
	limit int
	byKey map[string][]*Series // by DedupKey, the oldest first; nearly always one
	ranks [classes]*list.List  // of *Series: room.go
	bytes int                  // of all series: jsonSize
	next  time.Time            // when Expire has something to do; zero: never
	stats Stats
}

// New returns an empty Table of at most limit series (0: DefaultMax). Without a match for span, a series is over. Detections that begin
// within span, at most 5 minutes, of the end of a series with their key continue it.
func New(span time.Duration, limit int) *Table {
	t := &Table{span: span, limit: cmp.Or(max(limit, 0), DefaultMax), byKey: map[string][]*Series{}}
	for i := range t.ranks {
		t.ranks[i] = list.New()
	}
	return t
}

// SetSpan sets the span of series that are opened from now on.
func (t *Table) SetSpan(span time.Duration) { t.span = span }

// Stats returns the counters.
func (t *Table) Stats() Stats {
	s := t.stats
	s.Open = t.size()
	return s
}

// Next returns when Expire has something to do; zero while there is no series.
func (t *Table) Next() time.Time { return t.next }

// Add counts m, and returns the alerts to publish, in order: the last revision of a series that m ends, the alert of m itself if it
// opens a series, or a further revision.
func (t *Table) Add(m Match, now time.Time) []*event.Alert {
	return append(t.add(m, now), t.fit(now)...)
}

func (t *Table) add(m Match, now time.Time) []*event.Alert {
	if m.Ended {
		return t.end(m.Alert, now)
	}
	a := m.Alert
	if t.comesAgain(m, now) {
		return nil
	}
	s := t.newest(a.DedupKey)
	switch {
	case m.Joins && (s == nil || s.Over || t.lapsed(s, m)):
		return nil
	case s == nil:
		return t.open(m, now)
	case s.First.ID == a.ID && s.Counted:
		return nil // its record was delivered again
	case s.Over && !t.continues(s, m):
		return t.open(m, now)
	case t.lapsed(s, m):
		return slices.Concat(t.close(s, now), t.open(m, now))
	}
	return t.goOn(s, m, now)
}

// lapsed reports whether s was over before m, by the times of lines.
func (t *Table) lapsed(s *Series, m Match) bool {
	return !s.Over && s.Quiet > 0 && m.Alert.FirstSeen.Sub(s.Held) >= max(s.Quiet, m.Quiet)
}

// continues reports whether the detection m continues s, which is over.
func (t *Table) continues(s *Series, m Match) bool {
	return m.Detection && s.Quiet == 0 && m.Alert.FirstSeen.Sub(s.Latest.LastSeen) <= min(t.span, maxAgain)
}

// goOn counts m in s, and returns the revision that is due by it.
func (t *Table) goOn(s *Series, m Match, now time.Time) []*event.Alert {
	a, continued := m.Alert, s.Over
	s.Over = false
	goesOn := m.Quiet > 0 && !m.Began // a correlation, of which the other events are not in a
	escalates := !goesOn && s.escalates(a)
	if escalates {
		s.show(a)
	}
	elapsed := s.elapsed(a, now)
	due := continued || m.Began && elapsed-s.Told >= beganPause || elapsed >= s.due()
	s.count(m, now)
	t.placeAgain(s)
	if escalates || due {
		s.Told = max(s.Told, elapsed)
	}
	switch {
	case escalates:
		t.stats.Escalated++
		t.stats.Revisions++
		return []*event.Alert{s.escalated(a, now)}
	case due:
		t.stats.Revisions++
		return []*event.Alert{s.next(now)}
	case a.ID != s.First.ID: // else its line was read again
		t.stats.Counted++
	}
	return nil
}

// open returns the alert of m, which opens a series, after the last revision of one that is given up for it.
func (t *Table) open(m Match, now time.Time) []*event.Alert {
	out := t.makeRoom(now)
	s := newSeries(m, t.span, now)
	s.count(m, now)
	t.insert(s)
	return append(out, s.revision0(m.Alert))
}

// end ends the detection that a is about, an alert that need not match a rule.
func (t *Table) end(a *event.Alert, now time.Time) (out []*event.Alert) {
	for _, list := range t.byKey {
		for _, s := range list {
			if !slices.Contains(s.Running, a.TraceID) {
				continue
			}
			s.end(a, now)
			if s.Over {
				t.stats.Revisions++
				out = append(out, s.next(now))
			}
			t.placeAgain(s)
		}
	}
	return inOrder(out)
}

// close ends s and returns its last revision. A series of one match that is no detection has none: it was told at once.
func (t *Table) close(s *Series, now time.Time) []*event.Alert {
	if s.Over || s.Quiet > 0 && max(s.Count, s.Stored) < 2 && s.Revision == 0 {
		t.remove(s)
		return nil
	}
	s.Over, s.Running = true, nil
	t.stats.Revisions++
	out := s.next(now)
	t.endStored(s)
	return []*event.Alert{out}
}

// Expire ends the series without a match for their span, and returns their last revisions.
func (t *Table) Expire(now time.Time) (out []*event.Alert) {
	if t.next.IsZero() || now.Before(t.next) {
		return nil
	}
	t.next = time.Time{}
	for _, list := range t.byKey {
		for _, s := range slices.Clone(list) {
			if now.Before(t.deadline(s)) {
				t.insertDeadline(s)
				continue
			}
			out = append(out, t.close(s, now)...)
		}
	}
	if !t.next.IsZero() && t.next.Before(now.Add(scanPause)) {
		t.next = now.Add(scanPause)
	}
	return inOrder(out)
}

// deadline returns when s is over, or forgotten if it is over.
func (t *Table) deadline(s *Series) time.Time {
	switch {
	case s.awaitsMatches():
		return s.Touched.Add(keepStored)
	case s.Over:
		return s.Touched.Add(min(t.span, maxAgain) + 1)
	case s.Quiet == 0:
		return s.Touched.Add(stale + 1)
	}
	return s.Touched.Add(s.Quiet)
}

func (t *Table) insertDeadline(s *Series) {
	if at := t.deadline(s); t.next.IsZero() || at.Before(t.next) {
		t.next = at
	}
}

// All returns copies of the series, for a checkpoint.
func (t *Table) All() []Series {
	out := make([]Series, 0, t.size())
	for _, list := range t.byKey {
		for _, s := range list {
			c := *s
			c.Sources, c.Directories, c.Running = slices.Clone(s.Sources), slices.Clone(s.Directories), slices.Clone(s.Running)
			c.Latest.Members, c.Latest.Evidence, c.Latest.Ports = slices.Clone(s.Latest.Members), slices.Clone(s.Latest.Evidence), slices.Clone(s.Latest.Ports)
			c.Latest.Totals = maps.Clone(s.Latest.Totals)
			out = append(out, c)
		}
	}
	return out
}

// newest returns the newest series of a key, nil if there is none.
func (t *Table) newest(key string) *Series {
	if list := t.byKey[key]; len(list) > 0 {
		return list[len(list)-1]
	}
	return nil
}

// inOrder sorts alerts by their time, so that the same matches give the same alerts.
func inOrder(alerts []*event.Alert) []*event.Alert {
	slices.SortFunc(alerts, func(a, b *event.Alert) int { return cmp.Or(a.LastSeen.Compare(b.LastSeen), cmp.Compare(a.ID, b.ID)) })
	return alerts
}

func revisionID(series string, n int) string { return event.ID("revision", series, strconv.Itoa(n)) }

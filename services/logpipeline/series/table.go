package series

import (
	"slices"
	"strconv"
	"time"

	"github.com/ironpost/ironpost/event"
)

const (
	// maxSeries bounds the series in memory; for a new one that without news for longest is forgotten.
	maxSeries = 10_000
	// stale is how long a series without news is kept: a slow scan may pause for half an hour.
	stale = 35 * time.Minute
	// maxAgain bounds the time within which a series continues: less than the shortest block, so that an attack that comes back after
	// its block is answered again.
	maxAgain = 5 * time.Minute
)

// Table holds the series that are not over, and those that were over lately.
type Table struct {
	again   time.Duration // within which an attack continues a series that was over
	byKey   map[string]*Series
	evicted uint64
}

// New returns an empty Table. An attack that begins within again, at most 5 minutes, of the end of a series with its key continues it.
func New(again time.Duration) *Table {
	return &Table{again: min(again, maxAgain), byKey: map[string]*Series{}}
}

// Stats counts the series in memory, and those that were forgotten for want of room.
type Stats struct {
	Open    int
	Evicted uint64
}

// Stats returns the counts so far.
func (t *Table) Stats() Stats { return Stats{Open: len(t.byKey), Evicted: t.evicted} }

// Add counts an alert of a detection, and returns what to publish: a itself as revision 0, a further revision, or nil.
func (t *Table) Add(a *event.Alert, now time.Time) *event.Alert {
	s := t.byKey[a.DedupKey]
	if s == nil || (s.isOver() && a.FirstSeen.Sub(s.Latest.LastSeen) > t.again) {
		a.Series, a.State = a.ID, event.Open
		t.insert(newSeries(a, now))
		return a
	}
	if s.First.ID == a.ID {
		return nil // its record was delivered again
	}
	continued := s.isOver()
	if continued && !a.LastSeen.After(s.Latest.LastSeen) {
		return nil // its record was delivered again, or late
	}
	s.add(a, now)
	if continued || !a.LastSeen.Before(s.due()) {
		return s.next(now)
	}
	return nil
}

// End ends the detection that a is about, an alert that need not match a rule, and returns the last revisions of the series that are
// over by that.
func (t *Table) End(a *event.Alert, now time.Time) []*event.Alert {
	var out []*event.Alert
	for _, s := range t.byKey {
		if !slices.Contains(s.Running, a.TraceID) {
			continue
		}
		s.end(a, now)
		if s.isOver() {
			out = append(out, s.next(now))
		}
	}
	return out
}

// Expire ends the series without news for very long, forgets those that can no longer be continued, and returns the last revisions.
func (t *Table) Expire(now time.Time) []*event.Alert {
	var out []*event.Alert
	for key, s := range t.byKey {
		age := now.Sub(s.Touched)
		switch {
		case s.isOver() && age > t.again:
			delete(t.byKey, key)
		case !s.isOver() && age > stale:
			s.Running = nil
			out = append(out, s.next(now))
			delete(t.byKey, key)
		}
	}
	return out
}

// All returns copies of the series, for a checkpoint.
func (t *Table) All() []Series {
	out := make([]Series, 0, len(t.byKey))
	for _, s := range t.byKey {
		out = append(out, *s)
	}
	return out
}

// Restore adds stored series.
func (t *Table) Restore(list []Series) {
	for i := range list {
		if s := list[i]; s.First.DedupKey != "" && len(t.byKey) < maxSeries {
			t.byKey[s.First.DedupKey] = &s
		}
	}
}

// Seen opens or continues the series of an alert that was published after the checkpoint.
func (t *Table) Seen(a *event.Alert, now time.Time) {
	s := t.byKey[a.DedupKey]
	if s == nil || s.First.ID != a.Series {
		if a.Revision > 0 {
			return // of a series that was over
		}
		t.insert(newSeries(a, now))
		return
	}
	s.Revision, s.Touched = max(s.Revision, a.Revision), now
	s.merge(a)
	if a.State == event.Over {
		s.Running = nil
	}
}

func (t *Table) insert(s *Series) {
	if len(t.byKey) >= maxSeries {
		var oldest *Series
		for _, other := range t.byKey {
			if oldest == nil || other.Touched.Before(oldest.Touched) {
				oldest = other
			}
		}
		delete(t.byKey, oldest.First.DedupKey)
		t.evicted++
	}
	t.byKey[s.First.DedupKey] = s
}

func revisionID(series string, n int) string { return event.ID("revision", series, strconv.Itoa(n)) }

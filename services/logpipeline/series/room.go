package series

import (
	"container/list"
	"slices"
	"time"

	"github.com/ironpost/ironpost/event"
)

// classes is in how many classes series are: at the limit those of a lower class are given up first, and in a class the one without
// a match for longest. The lowest are those that are over; then those of the weakest trust with one match, then with several, and so on.
const classes = 1 + 2*5 // two for each event.Trust

// place is where a series is in Table.ranks.
type place struct {
	class   int
	element *list.Element
}

func classOf(s *Series) int {
	switch {
	case s.Over:
		return 0
	case s.Count > 1:
		return 2 + 2*s.First.Trust.Rank()
	}
	return 1 + 2*s.First.Trust.Rank()
}

func (t *Table) size() (n int) {
	for _, class := range t.ranks {
		n += class.Len()
	}
	return n
}

// insert adds s as the newest of its key.
func (t *Table) insert(s *Series) {
	t.byKey[s.First.DedupKey] = append(t.byKey[s.First.DedupKey], s)
	s.place.class = classOf(s)
	s.place.element = t.ranks[s.place.class].PushBack(s)
	t.insertDeadline(s)
}

// placeAgain moves s, which changed, behind all others of its class.
func (t *Table) placeAgain(s *Series) {
	t.insertDeadline(s) // it may be earlier than it was, when no more matches come again
	t.ranks[s.place.class].Remove(s.place.element)
	s.place.class = classOf(s)
	s.place.element = t.ranks[s.place.class].PushBack(s)
}

func (t *Table) remove(s *Series) {
	t.ranks[s.place.class].Remove(s.place.element)
	key := s.First.DedupKey
	rest := slices.DeleteFunc(t.byKey[key], func(other *Series) bool { return other == s })
	if len(rest) == 0 {
		delete(t.byKey, key)
		return
	}
	t.byKey[key] = rest
}

// makeRoom gives series up until there is room for one more, and returns their last revisions.
func (t *Table) makeRoom(now time.Time) (out []*event.Alert) {
	for t.size() >= t.limit {
		out = append(out, t.giveUp(now)...)
	}
	return out
}

func (t *Table) giveUp(now time.Time) []*event.Alert {
	for _, class := range t.ranks {
		e := class.Front()
		if e == nil {
			continue
		}
		s := e.Value.(*Series) //nolint:forcetypeassert // only insert adds
		if !s.Over {
			t.stats.Evicted++
			t.stats.EvictedAt = now
		}
		return t.close(s, now)
	}
	return nil
}

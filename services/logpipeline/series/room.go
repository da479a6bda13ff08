package series

import (
	"cmp"
	"container/list"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/ironpost/ironpost/event"
)

// classes is in how many classes series are: at the limit those of a lower class are given up first, and in a class the one without
// a match for longest. The lowest are those that are over; then those of the weakest trust with one match, then with several, and so on.
const classes = 1 + 2*5 // two for each event.Trust

const (
	// maxBytes bounds the JSON of all series: a checkpoint has them.
	maxBytes = 48 << 20
	// fixedSize is about the JSON of a series without its texts.
	fixedSize = 1500
)

// place is where a series is in Table.ranks.
type place struct {
	class   int
	element *list.Element
	size    int // jsonSize when it was placed
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
	t.put(s)
}

// placeAgain moves s, which changed, behind all others of its class.
func (t *Table) placeAgain(s *Series) {
	t.take(s)
	t.put(s)
}

func (t *Table) put(s *Series) {
	t.insertDeadline(s) // it may be earlier than it was, when no more matches come again
	class := classOf(s)
	s.place = place{class: class, element: t.ranks[class].PushBack(s), size: jsonSize(s)}
	t.bytes += s.place.size
}

func (t *Table) take(s *Series) {
	t.ranks[s.place.class].Remove(s.place.element)
	t.bytes -= s.place.size
}

func (t *Table) remove(s *Series) {
	t.take(s)
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

// fit gives series up until all are within maxBytes, and returns their last revisions.
func (t *Table) fit(now time.Time) (out []*event.Alert) {
	for t.bytes > maxBytes {
		out = append(out, t.giveUp(now)...)
	}
	return out
}

// jsonSize returns about how many bytes s has in a checkpoint, at least those of its texts.
func jsonSize(s *Series) int {
	f := &s.First
	texts := []string{f.Title, f.Description, f.User, f.DedupKey, f.DedupKey, f.LogHost, f.Host, f.Rule.Title, f.TraceID}
	texts = slices.Concat(texts, f.Rule.Tags, s.Sources, s.Running, s.Latest.Members, s.Latest.Evidence)
	texts = append(texts, s.Directories...)
	if r := cmp.Or(s.Latest.Request, f.Request); r != nil {
		texts = append(texts, r.Method, r.Path)
	}
	if o := f.Origin; o != nil {
		texts = append(texts, o.Peer, o.Exe, o.Unit, o.Source, o.Container)
	}
	if c := f.Container; c != nil {
		texts = append(texts, c.ID, c.Name, c.Image)
	}
	size := fixedSize
	for _, text := range texts {
		size += 3 // quotes and comma
		for _, r := range text {
			switch {
			case r < ' ', r == utf8.RuneError, r == '\u2028', r == '\u2029':
				size += 6
			case r == '"', r == '\\':
				size += 2
			default:
				size += utf8.RuneLen(r)
			}
		}
	}
	return size
}

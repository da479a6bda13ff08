// Package zones learns the time zone of each source of lines whose times name none: from the difference between what a line says and
// when it was received.
package zones

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	step     = 15 * time.Minute // every zone in use is a multiple of it
	furthest = 14 * time.Hour   // from UTC
	// A line fits a zone if it was received at most maxDelay after its time, and at most maxAhead before it.
	maxDelay = 2 * time.Minute
	maxAhead = time.Minute
	// needed is how many lines in a row have to fit the same other zone.
	needed = 5
	// hold is for how long after a line that fits the zone in use no other one is learned: a few forged lines in between change nothing.
	hold = 10 * time.Minute
	// maxSources bounds a Table; a source that was silent for idle gives way to others.
	maxSources = 4096
	idle       = time.Hour
	maxName    = 512
)

// Table knows the zones of sources. The zero value knows none. Its methods may be called concurrently.
type Table struct {
	mu      sync.Mutex
	sources map[string]*Source
	swept   time.Time
}

// Of returns the source with this name, a new one if it is not known; now is the time. It is nil, of which nothing is
// learned, if there are too many.
func (t *Table) Of(name string, now time.Time) *Source {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := t.sources[name]; s != nil {
		return s
	}
	if len(name) > maxName || len(t.sources) >= maxSources && !t.sweep(now) {
		return nil
	}
	if t.sources == nil {
		t.sources = map[string]*Source{}
	}
	s := &Source{name: name, seen: now}
	t.sources[name] = s
	return s
}

// sweep forgets silent sources, at most once a minute, and reports whether there is room. t.mu is held.
func (t *Table) sweep(now time.Time) bool {
	if since := now.Sub(t.swept); since >= 0 && since < time.Minute {
		return false
	}
	t.swept = now
	for name, s := range t.sources {
		if now.Sub(s.save().Seen) > idle {
			delete(t.sources, name)
		}
	}
	return len(t.sources) < maxSources
}

// Saved is what is known of a source.
type Saved struct {
	Source string `json:"source"`
	// Offset is that of the learned zone, in seconds east of UTC; nil: the zone is that of this machine.
	Offset *int `json:"offset,omitempty"`
	// Fitted is when the last line that fits the zone was received.
	Fitted time.Time `json:"fitted,omitzero"`
	Seen   time.Time `json:"seen"` // when the last line without a zone was received
}

// Save returns the sources of which anything is known, sorted.
func (t *Table) Save() []Saved {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []Saved
	for _, s := range t.sources {
		if saved := s.save(); saved.Offset != nil || !saved.Fitted.IsZero() {
			out = append(out, saved)
		}
	}
	slices.SortFunc(out, func(a, b Saved) int { return strings.Compare(a.Source, b.Source) })
	return out
}

// Restore puts back what Save returned; what is out of bounds is left out.
func (t *Table) Restore(all []Saved) {
	for _, saved := range all {
		if saved.Offset != nil && abs(seconds(*saved.Offset)) > furthest {
			continue
		}
		if s := t.Of(saved.Source, saved.Seen); s != nil {
			s.restore(saved)
		}
	}
}

// Source is one source of lines. Its methods may be called concurrently; a nil source has the zone of this machine for ever.
type Source struct {
	name string

	mu       sync.Mutex
	location *time.Location // nil: that of this machine
	fitted   time.Time      // when the last line that fits it was received
	seen     time.Time
	other    time.Duration // the offset that the last inRow lines fit
	inRow    int
}

// Location returns the zone of times without one.
func (s *Source) Location() *time.Location {
	if s == nil {
		return time.Local
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.zone()
}

// zone returns the location in use. s.mu is held.
func (s *Source) zone() *time.Location {
	if s.location == nil {
		return time.Local
	}
	return s.location
}

// Observe learns from a line that was received at received, as it was written. at is its time, which names no zone, as
// read in any zone. changed reports that from now on another zone is in use.
func (s *Source) Observe(at, received time.Time) (changed bool) {
	if s == nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = received
	offset, ok := offsetOf(at, received)
	switch {
	case !ok:
		s.inRow = 0
	case offset == offsetAt(received, s.zone()):
		s.inRow, s.fitted = 0, received
	default:
		return s.differs(offset, received)
	}
	return false
}

// differs counts a line of another zone than the one in use. s.mu is held.
func (s *Source) differs(offset time.Duration, received time.Time) (changed bool) {
	if offset != s.other {
		s.other, s.inRow = offset, 0
	}
	s.inRow = min(s.inRow+1, needed)
	if since := received.Sub(s.fitted); s.inRow < needed || !s.fitted.IsZero() && since >= 0 && since < hold {
		return false
	}
	s.inRow, s.fitted, s.location = 0, received, nil
	if offset != offsetAt(received, time.Local) {
		s.location = fixed(offset)
	}
	return true
}

func (s *Source) save() Saved {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := Saved{Source: s.name, Fitted: s.fitted, Seen: s.seen}
	if s.location != nil {
		offset := int(offsetAt(s.seen, s.location) / time.Second)
		out.Offset = &offset
	}
	return out
}

func (s *Source) restore(saved Saved) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fitted, s.seen = saved.Fitted, saved.Seen
	if saved.Offset != nil {
		s.location = fixed(seconds(*saved.Offset))
	}
}

// offsetOf returns the offset from UTC of the clock that showed at when it was received; ok is false if no zone explains it.
func offsetOf(at, received time.Time) (offset time.Duration, ok bool) {
	shown := at.Add(offsetAt(at, at.Location())).Sub(received)
	offset = shown.Round(step)
	delay := offset - shown
	return offset, delay <= maxDelay && delay >= -maxAhead && abs(offset) <= furthest
}

func offsetAt(t time.Time, l *time.Location) time.Duration {
	_, offset := t.In(l).Zone()
	return seconds(offset)
}

func fixed(offset time.Duration) *time.Location {
	sign := '+'
	if offset < 0 {
		sign = '-'
	}
	minutes := abs(offset) / time.Minute
	return time.FixedZone(fmt.Sprintf("UTC%c%02d:%02d", sign, minutes/60, minutes%60), int(offset/time.Second))
}

func seconds(n int) time.Duration { return time.Duration(n) * time.Second }

func abs(d time.Duration) time.Duration { return max(d, -d) }

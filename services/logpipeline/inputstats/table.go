package inputstats

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ironpost/ironpost/event"
)

const (
	// MaxInputs bounds the inputs that are counted apart. Those beyond count for Other.
	MaxInputs = 500
	// forgetAfter is how long an input must have been silent to give way to a new one; its counts go to Other.
	forgetAfter = 24 * time.Hour
)

// Table counts for every input. The zero value has none. Its methods may be called concurrently, and none of them waits for more than
// another one: they may be called while other locks are held.
type Table struct {
	mu     sync.Mutex
	inputs map[ID]*input
}

// input is one input.
type input struct {
	Input

	down   time.Duration // for how long since the last line this program did not run
	away   time.Duration // for how long before the last line
	recent shares
	losses []loss // since its last alert
}

// Input is what is known of an input.
type Input struct {
	ID
	Trust   event.Trust   `json:"trust,omitempty"`    // of its newest lines
	Since   time.Time     `json:"since"`              // its first line; counts are kept over restarts
	Last    time.Time     `json:"last,omitzero"`      // when its newest line was taken
	Longest time.Duration `json:"longest_silence_ns"` // between lines
	// Timezone is that of the newest line whose time names none, such as UTC-08:00, and Local of the zone of its machine; "" if it is not learned.
	Timezone string `json:"timezone,omitempty"`
	Counts
}

// Batch is lines that an input brought.
type Batch struct {
	ID
	Trust    event.Trust
	Timezone string // as in Input
	Counts
}

// Add counts the lines of b, which were taken at now.
func (t *Table) Add(b Batch, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	in := t.input(b.ID, now)
	if !in.Last.IsZero() {
		in.Longest = max(in.Longest, in.silence(now))
	}
	in.away += in.down
	in.Timezone = cmp.Or(b.Timezone, in.Timezone)
	in.Last, in.down, in.Trust = now, 0, b.Trust
	in.Counts.add(b.Counts)
	in.recent.add(b.Counts, now)
	if b.Truncated > 0 {
		in.lose("truncated_lines", b.Truncated, now)
	}
}

// Lose counts what of an input was lost at now, before it could be taken: n bytes if cause begins with lost_bytes_, and otherwise n of
// what cause names, such as lost_entries_vacuumed or dropped_messages_spool_full.
func (t *Table) Lose(id ID, cause string, n uint64, now time.Time) {
	if n == 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	in := t.input(id, now)
	addTo(&in.Lost, cause, n)
	in.lose(cause, n, now)
}

// input returns the input id, which is new if it is not known. t.mu is held.
func (t *Table) input(id ID, now time.Time) *input {
	id = id.bounded()
	if in := t.inputs[id]; in != nil {
		return in
	}
	if t.inputs == nil {
		t.inputs = map[ID]*input{}
	}
	if len(t.inputs) >= MaxInputs && id != Other && !t.forgetOne(now) {
		return t.input(Other, now)
	}
	in := &input{Input: Input{ID: id, Since: now}}
	t.inputs[id] = in
	return in
}

// forgetOne adds the counts of the input that is silent the longest to those of Other, if it is silent for long enough. t.mu is held.
func (t *Table) forgetOne(now time.Time) bool {
	var oldest *input
	for id, in := range t.inputs {
		if id != Other && (oldest == nil || in.Last.Before(oldest.Last)) {
			oldest = in
		}
	}
	if oldest == nil || now.Sub(oldest.Last) < forgetAfter {
		return false
	}
	delete(t.inputs, oldest.ID)
	rest := t.input(Other, oldest.Since)
	rest.Counts.add(oldest.Counts)
	if rest.Last.Before(oldest.Last) {
		rest.Last = oldest.Last
	}
	return true
}

// All returns the inputs, sorted by kind and name.
func (t *Table) All() []Input {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := make([]Input, 0, len(t.inputs))
	for _, in := range t.inputs {
		i := in.Input
		i.Counts = in.Counts.clone()
		out = append(out, i)
	}
	slices.SortFunc(out, func(a, b Input) int {
		return cmp.Or(strings.Compare(string(a.Kind), string(b.Kind)), strings.Compare(a.Name, b.Name))
	})
	return out
}

// sorted returns the inputs, sorted by name. t.mu is held.
func (t *Table) sorted() []*input {
	return slices.SortedFunc(maps.Values(t.inputs), func(a, b *input) int { return strings.Compare(a.String(), b.String()) })
}

package dedup

import (
	"container/heap"
	"slices"
	"time"

	"github.com/ironpost/ironpost/event"
)

// DefaultMax is the default limit of open windows.
const DefaultMax = 10_000

// Stats are the counters of a Table.
type Stats struct {
	Open       int    // windows open now
	Suppressed uint64 // alerts that were only counted
	Updates    uint64 // updates returned
	Evicted    uint64 // windows closed early because there were too many
}

// Table holds the open windows. At its limit the window with the earliest deadline is closed early.
type Table struct {
	span  time.Duration
	max   int
	keys  map[string][]*Window // by DedupKey, in order of First.FirstSeen; nearly always one
	queue queue
	stats Stats
}

// New returns an empty Table of at most limit windows (0: DefaultMax), each span long.
func New(span time.Duration, limit int) *Table {
	if limit <= 0 {
		limit = DefaultMax
	}
	return &Table{span: span, max: limit, keys: map[string][]*Window{}}
}

// SetSpan sets the length of windows that are opened from now on.
func (t *Table) SetSpan(span time.Duration) { t.span = span }

// Stats returns the counters.
func (t *Table) Stats() Stats {
	s := t.stats
	s.Open = len(t.queue)
	return s
}

// Add counts a, whose Count is 1, and returns the alerts to publish, in order: the update of a window that a
// ends, and a itself if it opens one. An alert older than the open window is counted in it, so that a
// backdated alert cannot open a second window. One with a stronger trust than the first of the window ends it: a
// line that anyone can write must not hide one that is proven.
func (t *Table) Add(a *event.Alert, now time.Time) []*event.Alert {
	windows := t.keys[a.DedupKey]
	var out []*event.Alert
	w := windowOf(windows, a)
	if w != nil && w.First.ID != a.ID && a.Trust.Rank() > w.First.Trust.Rank() {
		out = t.close(out, w, now)
		windows, w = t.keys[a.DedupKey], nil
	}
	if w != nil {
		w.Count++
		if a.LastSeen.After(w.Last) {
			w.Last = a.LastSeen
		}
		if w.First.ID != a.ID { // else its line was read again: it is no further alert
			t.stats.Suppressed++
		}
		return nil
	}
	if n := len(windows); n > 0 && !a.FirstSeen.Before(windows[n-1].End) {
		out = t.close(out, windows[n-1], now)
	}
	if len(t.queue) >= t.max {
		t.stats.Evicted++
		out = t.close(out, t.queue[0], now)
	}
	t.insert(newWindow(a, t.span, now))
	return append(out, a)
}

// windowOf returns the window in which a is counted, nil if it opens one. More than one window per key exists
// only while lines are read again after a crash.
func windowOf(windows []*Window, a *event.Alert) *Window {
	for _, w := range windows {
		if w.First.ID == a.ID {
			return w
		}
	}
	for i, w := range slices.Backward(windows) {
		if i > 0 && a.FirstSeen.Before(w.First.FirstSeen) {
			continue
		}
		if a.FirstSeen.Before(w.End) {
			return w
		}
		if i+1 < len(windows) {
			return windows[i+1]
		}
		return nil
	}
	return nil
}

// Expire closes the windows whose deadline has passed and returns their updates.
func (t *Table) Expire(now time.Time) []*event.Alert {
	var out []*event.Alert
	for len(t.queue) > 0 && !now.Before(t.queue[0].deadline) {
		out = t.close(out, t.queue[0], now)
	}
	return out
}

// Next returns the earliest deadline of a window; zero if none is open.
func (t *Table) Next() time.Time {
	if len(t.queue) == 0 {
		return time.Time{}
	}
	return t.queue[0].deadline
}

// Windows returns a copy of the open windows, for a checkpoint.
func (t *Table) Windows() []Window {
	out := make([]Window, 0, len(t.queue))
	for _, w := range t.queue {
		out = append(out, *w)
	}
	return out
}

// Restore adds stored windows. They stay open for a whole span of wall time, because lines that belong to
// them may be read again.
func (t *Table) Restore(windows []Window, now time.Time) {
	for i := range windows {
		w := windows[i]
		w.deadline = now.Add(t.span)
		if len(t.queue) < t.max && w.First.DedupKey != "" {
			t.insert(&w)
		}
	}
}

// Seen opens the window of a, an alert that was published after the checkpoint. Its count is 0: the lines of
// the window, that of a included, are read again and counted then. An update is ignored.
func (t *Table) Seen(a *event.Alert, now time.Time) {
	if a.Update {
		return
	}
	for _, w := range t.keys[a.DedupKey] {
		if w.First.ID == a.ID {
			return
		}
	}
	if len(t.queue) >= t.max {
		t.stats.Evicted++
		t.remove(t.queue[0])
	}
	w := newWindow(a, t.span, now)
	w.Count = 0
	t.insert(w)
}

// close removes w and appends its update to out, if it has one.
func (t *Table) close(out []*event.Alert, w *Window, now time.Time) []*event.Alert {
	t.remove(w)
	if u := w.update(now); u != nil {
		t.stats.Updates++
		out = append(out, u)
	}
	return out
}

func (t *Table) insert(w *Window) {
	heap.Push(&t.queue, w)
	key := w.First.DedupKey
	t.keys[key] = append(t.keys[key], w)
	slices.SortStableFunc(t.keys[key], func(a, b *Window) int { return a.First.FirstSeen.Compare(b.First.FirstSeen) })
}

func (t *Table) remove(w *Window) {
	heap.Remove(&t.queue, w.index)
	key := w.First.DedupKey
	list := slices.DeleteFunc(t.keys[key], func(other *Window) bool { return other == w })
	if len(list) == 0 {
		delete(t.keys, key)
		return
	}
	t.keys[key] = list
}

// queue is a heap of windows by deadline.
type queue []*Window

// Len, Less, Swap, Push and Pop are heap.Interface.
func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].deadline.Before(q[j].deadline) }

func (q queue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}

func (q *queue) Push(x any) {
	w := x.(*Window) //nolint:forcetypeassert // only Table pushes
	w.index = len(*q)
	*q = append(*q, w)
}

func (q *queue) Pop() any {
	last := len(*q) - 1
	w := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	return w
}

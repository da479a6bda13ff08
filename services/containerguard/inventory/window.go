package inventory

import (
	"time"
)

// window is a span of time in which something was so. It certainly was from
// from to to, and possibly from since to until. While it is open, to and until
// are zero and stand for the present.
type window struct {
	since, from, to, until time.Time
}

// opened returns an open window. Nothing is known before since; from since to
// from it is only possible.
func opened(since, from time.Time) window {
	if from.Before(since) {
		from = since
	}
	return window{since: since, from: from}
}

func (w *window) open() bool { return w.until.IsZero() }

// end closes the window: it was so at to, and not any more at until.
func (w *window) end(to, until time.Time) {
	if !w.open() {
		return
	}
	if to.Before(w.from) {
		to = w.from
	}
	if until.Before(to) {
		until = to
	}
	w.to, w.until = to, until
}

// began moves the earliest possible begin up to at.
func (w *window) began(at time.Time) {
	w.since = later(w.since, at)
	w.from = later(w.from, w.since)
}

// endAt closes the window at a moment an event names. A moment before the window
// began is not about this window.
func (w *window) endAt(at time.Time) {
	if w.open() && !at.Before(w.since) {
		if at.Before(w.from) {
			w.from = at
		}
		w.end(at, at)
	}
}

// interval is a time with the uncertainty of whoever wrote it down.
type interval struct{ first, last time.Time }

// MinSlack is added to the uncertainty of every moment: a busy engine writes down
// what happened so much later than it did.
const MinSlack = 50 * time.Millisecond

func intervalAround(at time.Time, slack time.Duration) interval {
	slack += MinSlack
	return interval{first: at.Add(-slack), last: at.Add(slack)}
}

// covers tells that the window certainly held during all of m. known is how far
// the present is known: an open window is certain until then only; zero means
// up to now.
func (w *window) covers(m interval, known time.Time) bool {
	if m.first.Before(w.from) {
		return false
	}
	if w.open() {
		return known.IsZero() || !m.last.After(known)
	}
	return !m.last.After(w.to)
}

// touches tells that the window may have held at some time of m.
func (w *window) touches(m interval) bool {
	return !m.last.Before(w.since) && (w.open() || !m.first.After(w.until))
}

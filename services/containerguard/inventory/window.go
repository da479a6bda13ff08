package inventory

import "time"

// window is the time in which a container had something: certainly from from to to, and
// possibly from since to until. While the window is open to and until are zero and
// stand for the present.
type window struct {
	since, from, to, until time.Time
}

// openWindow returns an open window that is possible from since on and certain from from on.
func openWindow(since, from time.Time) window {
	return window{since: since, from: later(since, from)}
}

func (w *window) open() bool { return w.until.IsZero() }

// end closes an open window: the container had it at to, and no more at until.
func (w *window) end(to, until time.Time) {
	if w.open() {
		w.to = later(to, w.from)
		w.until = later(until, w.to)
	}
}

// endAt closes an open window at the time of an event. An event from before the window
// is not about it.
func (w *window) endAt(at time.Time) {
	if w.open() && !at.Before(w.since) {
		if at.Before(w.from) {
			w.from = at
		}
		w.end(at, at)
	}
}

// notBefore moves the earliest possible begin to at.
func (w *window) notBefore(at time.Time) {
	w.since = later(w.since, at)
	w.from = later(w.from, w.since)
}

// certainFrom makes an open window certain from at on, if that is earlier.
func (w *window) certainFrom(at time.Time) {
	if start := later(at, w.since); w.open() && start.Before(w.from) {
		w.from = start
	}
}

// interval is a time and how exactly it is known.
type interval struct{ first, last time.Time }

// MinSlack is added to the uncertainty of every time: a busy Docker stamps events that
// much too late.
const MinSlack = 50 * time.Millisecond

func intervalAround(at time.Time, slack time.Duration) interval {
	slack += MinSlack
	return interval{first: at.Add(-slack), last: at.Add(slack)}
}

// covers reports whether the window certainly contains i. knownUntil is the time up to
// which open windows are certain, zero for the present.
func (w *window) covers(i interval, knownUntil time.Time) bool {
	if i.first.Before(w.from) {
		return false
	}
	if w.open() {
		return knownUntil.IsZero() || !i.last.After(knownUntil)
	}
	return !i.last.After(w.to)
}

// touches reports whether the window may contain some of i.
func (w *window) touches(i interval) bool {
	return !i.last.Before(w.since) && (w.open() || !i.first.After(w.until))
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

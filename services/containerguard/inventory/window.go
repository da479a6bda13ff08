package inventory

import "time"

// window is the time in which a container had something, such as an address: certainly
// from certainFrom to certainTo, and possibly from possibleFrom to possibleTo. While the
// window is open certainTo and possibleTo are zero and stand for the present.
type window struct {
	possibleFrom, certainFrom, certainTo, possibleTo time.Time
}

// openWindow returns an open window.
func openWindow(possibleFrom, certainFrom time.Time) window {
	return window{possibleFrom: possibleFrom, certainFrom: later(possibleFrom, certainFrom)}
}

func (w *window) open() bool { return w.possibleTo.IsZero() }

// end closes an open window: the container had it at certainTo, and no more at possibleTo.
func (w *window) end(certainTo, possibleTo time.Time) {
	if w.open() {
		w.certainTo = later(certainTo, w.certainFrom)
		w.possibleTo = later(possibleTo, w.certainTo)
	}
}

// endAt closes an open window at the time of an event. An event from before the window
// is not about it.
func (w *window) endAt(at time.Time) {
	if w.open() && !at.Before(w.possibleFrom) {
		if at.Before(w.certainFrom) {
			w.certainFrom = at
		}
		w.end(at, at)
	}
}

// notBefore moves the earliest possible begin to at.
func (w *window) notBefore(at time.Time) {
	w.possibleFrom = later(w.possibleFrom, at)
	w.certainFrom = later(w.certainFrom, w.possibleFrom)
}

// makeCertainFrom makes an open window certain from at on, if that is earlier.
func (w *window) makeCertainFrom(at time.Time) {
	if start := later(at, w.possibleFrom); w.open() && start.Before(w.certainFrom) {
		w.certainFrom = start
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
	if i.first.Before(w.certainFrom) {
		return false
	}
	if w.open() {
		return knownUntil.IsZero() || !i.last.After(knownUntil)
	}
	return !i.last.After(w.certainTo)
}

// touches reports whether the window may contain some of i.
func (w *window) touches(i interval) bool {
	return !i.last.Before(w.possibleFrom) && (w.open() || !i.first.After(w.possibleTo))
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

package dedup

import (
	"time"

	"github.com/ironpost/ironpost/event"
)

// maxEvidence is how many bytes of the first evidence line a window keeps for its update.
const maxEvidence = 512

// Window counts the alerts of one rule and entity. It marshals to JSON.
type Window struct {
	// First is the alert that opened the window, without what an update does not repeat. Its DedupKey is the
	// key of the window.
	First event.Alert `json:"first"`
	// End is the event time from which an alert opens the next window.
	End time.Time `json:"end"`
	// Last is the newest event time.
	Last time.Time `json:"last"`
	// Count is the number of alerts, First included.
	Count int `json:"count"`

	deadline time.Time // when the wall clock closes the window
	index    int       // in the heap
}

// newWindow returns the window that a opens.
func newWindow(a *event.Alert, span time.Duration, now time.Time) *Window {
	first := *a
	first.Matched, first.Findings = nil, nil
	if len(a.Evidence) > 0 {
		first.Evidence = []string{event.Shorten(a.Evidence[0], maxEvidence)}
	}
	return &Window{First: first, End: a.FirstSeen.Add(span), Last: a.LastSeen, Count: 1, deadline: now.Add(span)}
}

// update returns the alert with the count of w, nil if it is one. Its id follows from the first alert's, so
// that a window that is closed again after a crash gives the same id.
func (w *Window) update(now time.Time) *event.Alert {
	if w.Count < 2 {
		return nil
	}
	out := w.First
	out.ID = event.ID("update", w.First.ID)
	out.Update, out.Count, out.LastSeen, out.Time = true, w.Count, w.Last, now
	return &out
}

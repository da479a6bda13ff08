package dedup

import (
	"crypto/sha256"
	"encoding/hex"
	"time"

	"github.com/ironpost/ironpost/event"
)

// keptEvidence is how much of the first evidence line a window remembers, in
// bytes, for its update.
const keptEvidence = 512

// Window is one rule and entity while it is counted. It marshals to JSON.
type Window struct {
	// First is what opened the window, lightened; its DedupKey is the key.
	First event.Alert `json:"first"`
	// End is the event time from which on an alert opens the next window.
	End time.Time `json:"end"`
	// Last is the newest event time.
	Last time.Time `json:"last"`
	// Count is how many alerts were counted, First included.
	Count int `json:"count"`

	deadline time.Time // when the wall clock closes it
	index    int       // in the heap
}

func open(a *event.Alert, span time.Duration, now time.Time) *Window {
	return &Window{
		First: light(a), End: a.FirstSeen.Add(span), Last: a.LastSeen,
		Count: 1, deadline: now.Add(span),
	}
}

// light copies what an update repeats of a.
func light(a *event.Alert) event.Alert {
	out := *a
	out.Matched, out.Findings = nil, nil
	if len(a.Evidence) > 0 {
		out.Evidence = []string{event.Shorten(a.Evidence[0], keptEvidence)}
	}
	return out
}

func (w *Window) count(a *event.Alert) {
	w.Count++
	if a.LastSeen.After(w.Last) {
		w.Last = a.LastSeen
	}
}

// update returns the alert that ends w, or nil if one alert was all. Its id
// follows from the first's, so that a window closed again after a crash gives the
// same id.
func (w *Window) update(now time.Time) *event.Alert {
	if w.Count < 2 {
		return nil
	}
	out := w.First
	sum := sha256.Sum256([]byte("update " + w.First.ID))
	out.ID = hex.EncodeToString(sum[:16])
	out.Update, out.Count, out.LastSeen, out.Time = true, w.Count, w.Last, now
	return &out
}

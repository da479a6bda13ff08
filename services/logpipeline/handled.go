package logpipeline

import (
	"slices"
	"time"
)

// maxSpans bounds what is remembered of deliveries. Those of one host are nearly
// always one span; where hosts share a stream each gap begins another.
const maxSpans = 4096

// span is a run of deliveries of the packet stream that were judged. Until is when
// the newest of them was stored: a stream that is made anew counts from 1 again.
type span struct {
	From  uint64    `json:"from"`
	To    uint64    `json:"to"`
	Until time.Time `json:"until"`
}

// handled are the deliveries that were judged, in order. An acknowledgement can be
// lost with its server, and then the delivery comes again; what it left behind is
// in the same checkpoint as this.
type handled struct{ spans []span }

// has reports whether the delivery seq, stored at, was judged.
func (h *handled) has(seq uint64, at time.Time) bool {
	i, found := slices.BinarySearchFunc(h.spans, seq, func(s span, seq uint64) int {
		switch {
		case seq < s.From:
			return 1
		case seq > s.To:
			return -1
		}
		return 0
	})
	return found && !at.After(h.spans[i].Until)
}

// add notes a delivery that has not been judged before.
func (h *handled) add(seq uint64, at time.Time) {
	if n := len(h.spans); n > 0 && at.After(h.spans[n-1].Until) && seq <= h.spans[n-1].To {
		h.spans = nil // another stream
	}
	i, _ := slices.BinarySearchFunc(h.spans, seq, func(s span, seq uint64) int {
		if seq <= s.To {
			return 1
		}
		return -1
	})
	h.spans = slices.Insert(h.spans, i, span{seq, seq, at})
	h.merge(i)
	h.merge(i - 1)
	h.spans = h.spans[max(0, len(h.spans)-maxSpans):]
}

// merge makes one of span i and the next, if nothing lies between them.
func (h *handled) merge(i int) {
	if i < 0 || i+1 >= len(h.spans) || h.spans[i].To+1 != h.spans[i+1].From {
		return
	}
	h.spans[i].To = h.spans[i+1].To
	if h.spans[i+1].Until.After(h.spans[i].Until) {
		h.spans[i].Until = h.spans[i+1].Until
	}
	h.spans = slices.Delete(h.spans, i+1, i+2)
}

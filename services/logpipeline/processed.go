package logpipeline

import (
	"slices"
	"time"
)

// maxSpans bounds the memory. The deliveries of a single host are nearly always one span; where hosts share
// a stream, the records of another host are a gap, and each gap begins another span.
const maxSpans = 4096

// span is a run of stream sequences that were processed. Until is when the newest of them was stored: a
// stream that is created anew counts from 1 again.
type span struct {
	From  uint64    `json:"from"`
	To    uint64    `json:"to"`
	Until time.Time `json:"until"`
}

// processedSet is the set of packet deliveries that were processed. An acknowledgement can be lost, and then
// the delivery comes again; it must not count twice. The set is in the same checkpoint as the counts.
type processedSet struct{ spans []span }

// contains reports whether the delivery with sequence seq, stored at, was processed.
func (p *processedSet) contains(seq uint64, at time.Time) bool {
	i, found := slices.BinarySearchFunc(p.spans, seq, func(s span, seq uint64) int {
		switch {
		case seq < s.From:
			return 1
		case seq > s.To:
			return -1
		}
		return 0
	})
	return found && !at.After(p.spans[i].Until)
}

// add inserts a delivery that is not in the set.
func (p *processedSet) add(seq uint64, at time.Time) {
	if n := len(p.spans); n > 0 && at.After(p.spans[n-1].Until) && seq <= p.spans[n-1].To {
		p.spans = nil // the stream was created anew
	}
	i, _ := slices.BinarySearchFunc(p.spans, seq, func(s span, seq uint64) int {
		if seq <= s.To {
			return 1
		}
		return -1
	})
	p.spans = slices.Insert(p.spans, i, span{seq, seq, at})
	p.merge(i)
	p.merge(i - 1)
	p.spans = p.spans[max(0, len(p.spans)-maxSpans):]
}

// merge joins span i and the next one if there is no gap between them.
func (p *processedSet) merge(i int) {
	if i < 0 || i+1 >= len(p.spans) || p.spans[i].To+1 != p.spans[i+1].From {
		return
	}
	p.spans[i].To = p.spans[i+1].To
	if p.spans[i+1].Until.After(p.spans[i].Until) {
		p.spans[i].Until = p.spans[i+1].Until
	}
	p.spans = slices.Delete(p.spans, i+1, i+2)
}

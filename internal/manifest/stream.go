package manifest

import (
	"slices"
	"time"
)

// Stream is what a stream held.
type Stream struct {
	First    uint64 `json:"first"`
	Last     uint64 `json:"last"`
	Messages uint64 `json:"messages"`
	// FirstAt is when the message First was stored.
	FirstAt time.Time `json:"first_at"`
	// Full says that the stream was so full that its oldest messages may have been removed.
	Full bool `json:"full,omitempty"`
	// Unreadable is how many of Messages were found to be damaged, and told.
	Unreadable uint64 `json:"unreadable,omitempty"`
	// Marks say which messages may have expired since, oldest first.
	Marks []Mark `json:"marks,omitempty"`
}

// Mark says that the messages through Seq were stored before At, and others after it.
type Mark struct {
	Seq uint64    `json:"seq"`
	At  time.Time `json:"at"`
}

// maxMarks bounds the marks of a stream.
const maxMarks = 64

// Next returns now, what the stream holds at a time, with the marks of s and, if need be, one more. Messages expire after maxAge.
func (s Stream) Next(now Stream, at time.Time, maxAge time.Duration) Stream {
	now.Marks = slices.DeleteFunc(slices.Clone(s.Marks), func(m Mark) bool { return m.Seq < now.First || m.Seq > now.Last })
	now.Unreadable = min(s.Unreadable, now.Messages)
	n := len(now.Marks)
	if n == 0 || now.Last > now.Marks[n-1].Seq && at.Sub(now.Marks[n-1].At) > maxAge/maxMarks {
		now.Marks = append(now.Marks, Mark{Seq: now.Last, At: at.UTC()})
	}
	now.Marks = now.Marks[max(0, len(now.Marks)-2*maxMarks):]
	return now
}

// Lost returns how many of the messages that s counts are not in the stream, of which now is the state at a time, though they
// neither expired after maxAge nor gave way to others: nothing else removes records.
func (s Stream) Lost(now Stream, at time.Time, maxAge time.Duration) uint64 {
	kept := now.Messages
	if now.Last > s.Last {
		kept -= min(kept, now.Last-s.Last)
	}
	gone := uint64(0) // the oldest
	if now.First > s.First {
		gone = min(now.First, s.Last+1) - s.First
	}
	if !s.Full && !now.Full {
		gone = min(gone, s.expirable(at, maxAge))
	}
	return s.Messages - min(s.Messages, kept+gone)
}

// expirable returns how many of the oldest messages may be older than maxAge.
func (s Stream) expirable(at time.Time, maxAge time.Duration) uint64 {
	if maxAge <= 0 || s.Messages == 0 || at.Sub(s.FirstAt) < maxAge {
		return 0
	}
	for _, m := range s.Marks {
		if at.Sub(m.At) < maxAge { // what came later is younger
			return m.Seq + 1 - min(s.First, m.Seq+1)
		}
	}
	return s.Last + 1 - min(s.First, s.Last+1)
}

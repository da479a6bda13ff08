package docker

import (
	"hash/maphash"
	"slices"
	"time"

	dockerapi "github.com/ironpost/ironpost/internal/docker"
)

// logReading is one reading of a container's log from a position on. It filters the lines that were read
// before.
type logReading struct {
	from    LogPosition
	last    time.Time // time of the last line
	streams map[string]*streamReading
}

func newLogReading(from LogPosition, since time.Time) *logReading {
	return &logReading{from: from, last: since, streams: map[string]*streamReading{}}
}

// streamReading is one stream in it.
type streamReading struct {
	replay
	recentLines

	highest int64
}

// seen reports whether l was read before, in an earlier reading or in this one. It sets the time of a line
// for which Docker wrote none.
func (r *logReading) seen(l *dockerapi.LogLine) bool {
	if l.Time.IsZero() {
		l.Time = r.last
	}
	r.last = l.Time
	s := r.streams[l.Stream]
	if s == nil {
		s = &streamReading{replay: replay{until: r.from[l.Stream]}, recentLines: recentLines{seed: maphash.MakeSeed()}}
		r.streams[l.Stream] = s
	}
	at := l.Time.UnixNano()
	sum := s.sum(at, l.Text)
	if at <= s.highest && slices.Contains(s.sums, sum) {
		return true
	}
	s.highest = max(s.highest, at)
	s.add(sum)
	return s.skip(at)
}

// replay skips the lines of a stream, read from LogPosition.since on, that were read before.
type replay struct {
	until           StreamPosition
	counted, behind int
	over            bool
}

// skip reports whether the next line, of the given time, was read before.
func (r *replay) skip(at int64) bool {
	switch {
	case r.over:
		return false
	case at > r.until.Time:
	case r.counted < r.until.Count:
		if at == r.until.Time {
			r.counted++
		}
		return true
	case r.behind < r.until.Behind:
		r.behind++
		return true
	}
	r.over = true
	return false
}

// maxRecent bounds recentLines.
const maxRecent = 1024

// recentLines holds the hashes of the last lines of a stream. While Docker rotates a log that is being read
// it returns some lines twice (seen with 20.10); their hashes tell them from lines written after its clock
// was set back.
type recentLines struct {
	seed maphash.Seed
	sums []uint64
	next int
}

func (r *recentLines) sum(at int64, text []byte) uint64 {
	return maphash.Bytes(r.seed, text) ^ maphash.Comparable(r.seed, at)
}

func (r *recentLines) add(sum uint64) {
	if len(r.sums) < maxRecent {
		r.sums = append(r.sums, sum)
		return
	}
	r.sums[r.next] = sum
	r.next = (r.next + 1) % maxRecent
}

package docker

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	engine "github.com/ironpost/ironpost/internal/docker"
)

// A log read again from wherever a reader stood gives what it had not read, each line
// once: two streams, equal times, clocks set back and lines handed out twice.
func TestAPlaceIsALine(t *testing.T) {
	t.Parallel()
	for seed := range uint64(300) {
		random := rand.New(rand.NewPCG(seed, 7))
		log := randomLog(random, 400)
		place, got, positions := Place{}, []string{}, map[string]bool{}
		for range len(log) { // each time one line at least is new
			in := &passage{place: place.clone(), last: place.since(), streams: map[string]*strand{}}
			left := 1 + random.IntN(100)
			for _, l := range again(random, log, place.since()) {
				if left == 0 {
					break
				}
				if in.old(&l) {
					continue
				}
				mark := place[l.Stream].after(l.Time.UnixNano())
				place[l.Stream] = mark
				got = append(got, string(l.Text))
				at := position("id", l.Stream, mark)
				require.False(t, positions[at], "seed %d: %s is of two lines", seed, at)
				positions[at] = true
				left--
			}
		}
		want := []string{}
		for _, l := range log {
			want = append(want, string(l.Text))
		}
		slices.Sort(want)
		slices.Sort(got)
		require.Equal(t, strings.Join(want, " "), strings.Join(got, " "), "seed %d", seed)
	}
}

// randomLog is in the order of the file; each stream's times grow, but for a clock
// that is set back now and then.
func randomLog(random *rand.Rand, n int) []engine.LogLine {
	now := time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
	highest := now
	var log []engine.LogLine
	for i := range n {
		switch random.IntN(40) {
		case 0: // equal times
		case 1:
			now = highest.Add(-time.Duration(random.IntN(25)) * time.Second)
		default:
			now = now.Add(time.Duration(random.IntN(3000)) * time.Millisecond)
		}
		if now.After(highest) {
			highest = now
		}
		stream := []string{"stdout", "stderr"}[random.IntN(2)]
		log = append(log, engine.LogLine{Time: now, Stream: stream, Text: fmt.Append(nil, "line ", i)})
	}
	return log
}

// again is what the engine hands out of log from since on, some of it twice.
func again(random *rand.Rand, log []engine.LogLine, since time.Time) []engine.LogLine {
	var out []engine.LogLine
	for _, l := range log {
		if l.Time.Before(since) {
			continue
		}
		out = append(out, l)
		if random.IntN(100) == 0 {
			out = append(out, slices.Clone(out[max(0, len(out)-10):])...)
		}
	}
	return out
}

package docker

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	dockerapi "github.com/ironpost/ironpost/internal/docker"
)

// A log read again from any position gives what was not read, each line once: with two streams, equal times,
// clocks set back and lines that Docker returns twice.
func TestReadingFromAnyPositionGivesEachLineOnce(t *testing.T) {
	t.Parallel()
	for seed := range uint64(300) {
		random := rand.New(rand.NewPCG(seed, 7))
		log := randomLog(random, 400)
		position, got, positions := LogPosition{}, []string{}, map[string]bool{}
		for range len(log) { // each time one line at least is new
			reading := newLogReading(position.clone(), position.since())
			left := 1 + random.IntN(100)
			for _, l := range readAgain(random, log, position.since()) {
				if left == 0 {
					break
				}
				if reading.seen(&l) {
					continue
				}
				after := position[l.Stream].next(l.Time.UnixNano())
				position[l.Stream] = after
				got = append(got, string(l.Text))
				at := linePosition("id", l.Stream, after)
				require.False(t, positions[at], "seed %d: two lines have position %s", seed, at)
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

// randomLog returns a log in the order of the file. The times of each stream grow, except when the clock is
// set back.
func randomLog(random *rand.Rand, n int) []dockerapi.LogLine {
	now := time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
	highest := now
	var log []dockerapi.LogLine
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
		log = append(log, dockerapi.LogLine{Time: now, Stream: stream, Text: fmt.Append(nil, "line ", i)})
	}
	return log
}

// readAgain returns what Docker returns of log from since on, some of it twice.
func readAgain(random *rand.Rand, log []dockerapi.LogLine, since time.Time) []dockerapi.LogLine {
	var out []dockerapi.LogLine
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

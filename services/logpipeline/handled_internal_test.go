package logpipeline

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var born = time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)

func storedAt(seq uint64) time.Time { return born.Add(time.Duration(seq) * time.Millisecond) }

// It agrees with a set, in whatever order deliveries come, and however often.
func TestHandledIsASet(t *testing.T) {
	t.Parallel()
	for seed := range uint64(50) {
		random := rand.New(rand.NewPCG(seed, 0))
		var h handled
		set := map[uint64]bool{}
		next := uint64(1)
		for range 2000 {
			seq := next
			if random.IntN(4) == 0 {
				seq = 1 + random.Uint64N(next)
			} else {
				next += 1 + random.Uint64N(2)*random.Uint64N(3)
			}
			require.Equal(t, set[seq], h.has(seq, storedAt(seq)), "seed %d, sequence %d", seed, seq)
			if !set[seq] {
				h.add(seq, storedAt(seq))
				set[seq] = true
			}
		}
		for i := 1; i < len(h.spans); i++ {
			require.Greater(t, h.spans[i].From, h.spans[i-1].To+1, "spans are apart")
		}
	}
}

func TestHandledOfOneHostIsOneSpan(t *testing.T) {
	t.Parallel()
	var h handled
	for seq := range uint64(10_000) {
		h.add(seq+1, storedAt(seq+1))
	}
	require.Equal(t, []span{{From: 1, To: 10_000, Until: storedAt(10_000)}}, h.spans)
}

func TestHandledIsBounded(t *testing.T) {
	t.Parallel()
	var h handled
	for seq := uint64(1); seq < 3*maxSpans; seq++ {
		h.add(2*seq, storedAt(2*seq))
	}
	require.Len(t, h.spans, maxSpans)
	require.True(t, h.has(6*maxSpans-2, storedAt(6*maxSpans-2)), "the newest stay")
}

// A stream that was made anew counts from 1 again: nothing of it was judged.
func TestHandledOfAnotherStream(t *testing.T) {
	t.Parallel()
	var h handled
	for seq := uint64(1); seq <= 100; seq++ {
		h.add(seq, storedAt(seq))
	}
	later := storedAt(1_000_000)
	require.False(t, h.has(1, later))
	h.add(1, later)
	require.True(t, h.has(1, later))
	require.False(t, h.has(2, later.Add(time.Second)))
}

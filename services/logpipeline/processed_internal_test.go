package logpipeline

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var firstStored = time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)

func storedAt(seq uint64) time.Time { return firstStored.Add(time.Duration(seq) * time.Millisecond) }

// It behaves like a map-based set for deliveries in any order, repeated or not.
func TestProcessedSetIsASet(t *testing.T) {
	t.Parallel()
	for seed := range uint64(50) {
		random := rand.New(rand.NewPCG(seed, 0))
		var p processedSet
		set := map[uint64]bool{}
		next := uint64(1)
		for range 2000 {
			seq := next
			if random.IntN(4) == 0 {
				seq = 1 + random.Uint64N(next)
			} else {
				next += 1 + random.Uint64N(2)*random.Uint64N(3)
			}
			require.Equal(t, set[seq], p.contains(seq, storedAt(seq)), "seed %d, sequence %d", seed, seq)
			if !set[seq] {
				p.add(seq, storedAt(seq))
				set[seq] = true
			}
		}
		for i := 1; i < len(p.spans); i++ {
			require.Greater(t, p.spans[i].From, p.spans[i-1].To+1, "spans are apart")
		}
	}
}

func TestConsecutiveDeliveriesAreOneSpan(t *testing.T) {
	t.Parallel()
	var p processedSet
	for seq := range uint64(10_000) {
		p.add(seq+1, storedAt(seq+1))
	}
	require.Equal(t, []span{{From: 1, To: 10_000, Until: storedAt(10_000)}}, p.spans)
}

func TestProcessedSetIsBounded(t *testing.T) {
	t.Parallel()
	var p processedSet
	for seq := uint64(1); seq < 3*maxSpans; seq++ {
		p.add(2*seq, storedAt(2*seq))
	}
	require.Len(t, p.spans, maxSpans)
	require.True(t, p.contains(6*maxSpans-2, storedAt(6*maxSpans-2)), "the newest stay")
}

// A stream that was created anew counts from 1 again: none of its deliveries was processed.
func TestNewStreamStartsAnEmptySet(t *testing.T) {
	t.Parallel()
	var p processedSet
	for seq := uint64(1); seq <= 100; seq++ {
		p.add(seq, storedAt(seq))
	}
	later := storedAt(1_000_000)
	require.False(t, p.contains(1, later))
	p.add(1, later)
	require.True(t, p.contains(1, later))
	require.False(t, p.contains(2, later.Add(time.Second)))
}

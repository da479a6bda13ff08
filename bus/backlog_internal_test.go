package bus

import (
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
)

// Deliveries of a middle rank are served while those above and below are refilled.
func TestMiddleRankDoesNotStarve(t *testing.T) {
	t.Parallel()
	b := newBacklog(1000, 0)
	sequence := uint64(0)
	add := func(rank int, subject string) {
		sequence++
		require.Nil(t, b.push(&nats.Msg{Subject: subject}, sequence, rank, "s", false))
	}
	const middle = 50
	for range middle {
		add(4, "high")
		add(0, "low")
		add(3, "middle")
	}
	taken := map[string]int{}
	for range 10_000 {
		m := b.take(t.Context())
		b.done()
		taken[m.Subject]++
		if m.Subject != "middle" {
			add(map[string]int{"high": 4, "low": 0}[m.Subject], m.Subject)
		}
	}
	require.Equal(t, middle, taken["middle"])
	require.NotZero(t, taken["low"])
	require.Greater(t, taken["high"], 9000)
}

// A request is never for more bytes than fit, and there is none when the largest message may not fit.
func TestBacklogIsBoundedInBytes(t *testing.T) {
	t.Parallel()
	b := newBacklog(16_384, 0)
	m := &nats.Msg{Data: make([]byte, maxMessage)}
	for sequence := uint64(1); ; sequence++ {
		n, size := b.room()
		if n == 0 {
			require.LessOrEqual(t, b.bytes, maxBacklogBytes)
			break
		}
		require.LessOrEqual(t, b.bytes+size, maxBacklogBytes)
		require.Nil(t, b.push(m, sequence, 0, "s", true))
	}
	b.take(t.Context())
	b.take(t.Context())
	n, _ := b.room()
	require.NotZero(t, n)
}

// A message that is delivered again while it waits is handled once, and its newest delivery answered.
func TestMessageDeliveredAgainWaitsOnce(t *testing.T) {
	t.Parallel()
	b := newBacklog(10, 0)
	first, again := &nats.Msg{Reply: "1"}, &nats.Msg{Reply: "2"}
	require.Nil(t, b.push(first, 7, 1, "s", false))
	require.Same(t, first, b.push(again, 7, 1, "s", false))
	require.Same(t, again, b.take(t.Context()))
	require.Empty(t, b.close())
}

package backoff_test

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/internal/backoff"
)

func TestDelayDoublesUpToTheLimit(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		attempt int
		most    time.Duration
	}{
		{-1, time.Second},
		{0, time.Second},
		{1, 2 * time.Second},
		{2, 4 * time.Second},
		{5, 32 * time.Second},
		{6, time.Minute},
		{1000, time.Minute},
	} {
		for range 100 {
			d := backoff.Delay(c.attempt, time.Second, time.Minute)
			require.LessOrEqual(t, d, c.most)
			require.GreaterOrEqual(t, d, c.most*3/4)
		}
	}
}

func TestDelayNeverExceedsTheLimitNorOverflows(t *testing.T) {
	t.Parallel()
	require.LessOrEqual(t, backoff.Delay(0, time.Hour, time.Second), time.Second)
	require.Positive(t, backoff.Delay(math.MaxInt, time.Second, math.MaxInt64))
	require.Positive(t, backoff.Delay(0, 1, 1))
}

func TestDelaysOfManyClientsDiffer(t *testing.T) {
	t.Parallel()
	seen := map[time.Duration]bool{}
	for range 100 {
		seen[backoff.Delay(3, time.Second, time.Minute)] = true
	}
	require.Greater(t, len(seen), 50)
}

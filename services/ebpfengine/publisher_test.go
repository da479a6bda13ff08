package ebpfengine

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestRateLimitBoundsEverySecond(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const records = 5000
		var limit rateLimit
		perSecond := map[int64]int{}
		for range records {
			require.NoError(t, limit.wait(t.Context()))
			perSecond[time.Now().Unix()]++
		}
		require.Len(t, perSecond, records/maxPerSecond)
		for _, n := range perSecond {
			require.LessOrEqual(t, n, maxPerSecond)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		require.ErrorIs(t, limit.wait(ctx), context.Canceled)
	})
}

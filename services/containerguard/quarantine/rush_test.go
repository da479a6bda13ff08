package quarantine

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestFreezesGoFirst(t *testing.T) {
	t.Parallel()
	var r rush
	r.wait(t.Context()) // nothing is pending
	const n = 20
	var frozen atomic.Int32
	var overs []func()
	for range n {
		overs = append(overs, r.enter())
	}
	var wg sync.WaitGroup
	for _, over := range overs {
		wg.Go(func() {
			frozen.Add(1)
			over()
			over() // once more does nothing
			r.wait(t.Context())
			require.Equal(t, int32(n), frozen.Load())
		})
	}
	wg.Wait()
	r.wait(t.Context())
}

func TestNobodyWaitsForLong(t *testing.T) {
	t.Parallel()
	var r rush
	over := r.enter()
	defer over()
	began := time.Now()
	r.wait(t.Context())
	require.GreaterOrEqual(t, time.Since(began), yieldTime)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r.wait(ctx)
}

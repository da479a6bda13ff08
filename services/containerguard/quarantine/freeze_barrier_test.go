package quarantine

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestAllFreezesComeBeforeOtherSteps(t *testing.T) {
	t.Parallel()
	var b freezeBarrier
	b.wait(t.Context()) // nothing is pending
	const n = 20
	var frozen atomic.Int32
	var announced []func()
	for range n {
		announced = append(announced, b.announce())
	}
	var wg sync.WaitGroup
	for _, done := range announced {
		wg.Go(func() {
			frozen.Add(1)
			done()
			done() // a second call has no effect
			b.wait(t.Context())
			require.Equal(t, int32(n), frozen.Load())
		})
	}
	wg.Wait()
	b.wait(t.Context())
}

func TestWaitForFreezesIsBounded(t *testing.T) {
	t.Parallel()
	var b freezeBarrier
	done := b.announce()
	defer done()
	began := time.Now()
	b.wait(t.Context())
	require.GreaterOrEqual(t, time.Since(began), maxFreezeWait)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	b.wait(ctx)
}

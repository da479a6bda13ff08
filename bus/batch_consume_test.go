package bus_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/bus/bustest"
)

// What arrived together is handled together, in order, and each delivery has its own result.
func TestConsumeBatchesAnswersEachDelivery(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	recs := alerts(b.Host(), 0, 200)
	require.NoError(t, publisher(t, b, bus.Alerts, bus.LogPipeline).Publish(within(t, patience), recs...))
	ctx, cancel := context.WithCancel(within(t, patience))
	defer cancel()
	var done, first []string
	largest, attempts := 0, 0
	h := func(_ context.Context, ds []bus.Delivery) []error {
		largest = max(largest, len(ds))
		errs := make([]error, len(ds))
		for i, d := range ds {
			if attempts++; d.Attempt == 1 {
				first = append(first, d.ID)
			}
			switch {
			case d.ID == "alert-000010":
				errs[i] = bus.Reject(errors.New("not valid"))
			case d.ID == "alert-000020" && d.Attempt < 3:
				errs[i] = errors.New("not yet")
			default:
				done = append(done, d.ID)
			}
		}
		if len(done) == len(recs)-1 {
			cancel()
		}
		return errs
	}
	o := bus.ConsumeOptions{Host: b.Host(), Drain: patience, Retry: time.Millisecond, Prefetch: 50}
	require.NoError(t, b.Conn(bus.ContainerGuard).ConsumeBatches(ctx, durable(t, b, bus.ContainerGuard), o, h))
	require.Greater(t, largest, 1)
	require.LessOrEqual(t, largest, 50)
	require.Equal(t, idsOf(recs), first, "in order")
	require.Equal(t, len(recs)+2, attempts, "one was delivered three times")
	slices.Sort(done)
	require.Equal(t, slices.DeleteFunc(idsOf(recs), func(id string) bool { return id == "alert-000010" }), done)
	require.Len(t, ids(t, b, bus.DLQ), 1)
	require.Zero(t, state(t, b, bus.Alerts).Durables[0].AckPending)
}

// A nil result acknowledges all deliveries.
func TestConsumeBatchesAcknowledgesOnNil(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	require.NoError(t, publisher(t, b, bus.Alerts, bus.LogPipeline).Publish(within(t, patience), alerts(b.Host(), 0, 100)...))
	ctx, cancel := context.WithCancel(within(t, patience))
	defer cancel()
	n := 0
	err := b.Conn(bus.ContainerGuard).ConsumeBatches(ctx, durable(t, b, bus.ContainerGuard), bus.ConsumeOptions{Host: b.Host(), Drain: patience},
		func(_ context.Context, ds []bus.Delivery) []error {
			if n += len(ds); n == 100 {
				cancel()
			}
			return nil
		})
	require.NoError(t, err)
	require.Equal(t, 100, n)
	require.Zero(t, state(t, b, bus.Alerts).Durables[0].AckPending)
}

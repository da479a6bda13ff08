package bus_test

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/bus/bustest"
	"github.com/ironpost/ironpost/internal/task"
)

func TestConcurrentHandlersRunAtTheSameTimeAndBounded(t *testing.T) {
	t.Parallel()
	const handlers = 4
	b := bustest.New(t)
	entered, release := make(chan struct{}, 100), make(chan struct{})
	var running, most atomic.Int64
	c := consume(t, b, bus.ContainerGuard, bus.ConsumeOptions{Concurrency: handlers, Drain: patience}, func(context.Context, bus.Delivery) error {
		n := running.Add(1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		entered <- struct{}{}
		<-release
		running.Add(-1)
		return nil
	})
	recs := alerts(b.Host(), 0, 50)
	require.NoError(t, publisher(t, b, bus.Alerts, bus.LogPipeline).Publish(within(t, patience), recs...))
	for range handlers {
		<-entered
	}
	require.Equal(t, handlers, state(t, b, bus.Alerts).Durables[0].AckPending, "no more is delivered than is handled")
	close(release)
	c.wait(t, len(recs))
	c.finish(t)
	require.EqualValues(t, handlers, most.Load())
	got := c.handled()
	slices.Sort(got)
	require.Equal(t, idsOf(recs), got)
	require.Zero(t, state(t, b, bus.Alerts).Durables[0].AckPending)
}

func TestSlowConcurrentHandlerDoesNotDelayOthers(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	entered, release := make(chan struct{}), make(chan struct{})
	c := consume(t, b, bus.ContainerGuard, bus.ConsumeOptions{Concurrency: 2, Drain: patience}, func(_ context.Context, d bus.Delivery) error {
		if d.ID == "alert-000000" {
			close(entered)
			<-release
		}
		return nil
	})
	recs := alerts(b.Host(), 0, 100)
	require.NoError(t, publisher(t, b, bus.Alerts, bus.LogPipeline).Publish(within(t, patience), recs...))
	<-entered
	c.wait(t, len(recs)-1)
	c.stop()
	close(release)
	c.finish(t)
	require.Len(t, c.handled(), len(recs))
	require.Zero(t, state(t, b, bus.Alerts).Durables[0].AckPending)
}

func TestConcurrentConsumeDrains(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	release := make(chan struct{})
	c := consume(t, b, bus.ContainerGuard, bus.ConsumeOptions{Concurrency: 8, Drain: patience}, func(ctx context.Context, _ bus.Delivery) error {
		select {
		case <-release:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	recs := alerts(b.Host(), 0, 300)
	require.NoError(t, publisher(t, b, bus.Alerts, bus.LogPipeline).Publish(within(t, patience), recs...))
	c.stop()
	close(release)
	c.finish(t)
	require.Len(t, unique(c.handled()), len(recs))
	require.Zero(t, state(t, b, bus.Alerts).Durables[0].AckPending)
}

func TestConcurrentConsumeDrainIsBounded(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	began := make(chan struct{}, 3)
	c := consume(t, b, bus.ContainerGuard, bus.ConsumeOptions{Concurrency: 2, Drain: 100 * time.Millisecond}, func(ctx context.Context, _ bus.Delivery) error {
		began <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	})
	require.NoError(t, publisher(t, b, bus.Alerts, bus.LogPipeline).Publish(within(t, patience), alerts(b.Host(), 0, 3)...))
	<-began
	<-began
	c.finish(t)
	require.Empty(t, c.handled())
}

func TestConcurrentPanicIsReturnedAfterOtherHandlersEnded(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	conn, d := b.Conn(bus.ContainerGuard), durable(t, b, bus.ContainerGuard)
	require.NoError(t, publisher(t, b, bus.Alerts, bus.LogPipeline).Publish(within(t, patience), alerts(b.Host(), 0, 2)...))
	entered := make(chan struct{})
	var ended atomic.Bool
	err := conn.Consume(within(t, patience), d, bus.ConsumeOptions{Host: b.Host(), Concurrency: 2}, func(ctx context.Context, d bus.Delivery) error {
		if d.ID == "alert-000000" {
			<-entered
			panic("boom")
		}
		close(entered)
		<-ctx.Done()
		ended.Store(true)
		return ctx.Err()
	})
	var panicked *task.PanicError
	require.ErrorAs(t, err, &panicked)
	require.Equal(t, "boom", panicked.Value)
	require.True(t, ended.Load())
}

// An idle consumer that stops does not wait for its pull request to expire, and
// makes few requests before.
func TestIdleConsumerStopsAtOnce(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	c := consume(t, b, bus.ContainerGuard, bus.ConsumeOptions{Drain: patience}, accept)
	require.Eventually(t, func() bool { return state(t, b, bus.Alerts).Durables[0].Waiting > 0 }, patience, time.Millisecond)
	began := time.Now()
	c.finish(t)
	require.Less(t, time.Since(began), 3*time.Second)
	require.Zero(t, state(t, b, bus.Alerts).Durables[0].Waiting, "no request is left behind")
}

package bus_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/bus/bustest"
	"github.com/ironpost/ironpost/event"
)

// consumer runs Consume beside a test.
type consumer struct {
	mu   sync.Mutex
	got  []bus.Delivery
	done chan error
	stop context.CancelFunc
}

func consume(t *testing.T, b *bustest.Bus, module string, o bus.ConsumeOptions, h bus.Handler) *consumer {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	c := &consumer{done: make(chan error, 1), stop: cancel}
	conn, d := b.Conn(module), durable(t, b, module)
	o.Host = b.Host()
	go func() {
		c.done <- conn.Consume(ctx, d, o, func(ctx context.Context, d bus.Delivery) error {
			err := h(ctx, d)
			c.mu.Lock()
			defer c.mu.Unlock()
			if err == nil {
				c.got = append(c.got, d)
			}
			return err
		})
	}()
	t.Cleanup(cancel)
	return c
}

func (c *consumer) handled() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	got := make([]string, len(c.got))
	for i, d := range c.got {
		got[i] = d.ID
	}
	return got
}

func (c *consumer) wait(t *testing.T, n int) {
	t.Helper()
	require.Eventually(t, func() bool { return len(c.handled()) >= n }, patience, time.Millisecond)
}

func (c *consumer) finish(t *testing.T) {
	t.Helper()
	c.stop()
	select {
	case err := <-c.done:
		require.NoError(t, err)
	case <-time.After(patience):
		require.FailNow(t, "consumer does not end")
	}
}

func accept(context.Context, bus.Delivery) error { return nil }

func TestConsumeRoundTrip(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	c := consume(t, b, bus.ContainerGuard, bus.ConsumeOptions{Drain: patience}, accept)
	recs := alerts(b.Host(), 0, 500)
	require.NoError(t, publisher(t, b, bus.Alerts, bus.LogPipeline).Publish(within(t, patience), recs...))
	c.wait(t, len(recs))
	c.finish(t)
	require.Equal(t, idsOf(recs), c.handled())
	d := c.got[0]
	module, host := d.Origin()
	require.Equal(t, []string{bus.LogPipeline, b.Host()}, []string{module, host})
	require.Equal(t, uint64(1), d.Sequence)
	require.Equal(t, 1, d.Attempt)
	require.NoError(t, event.Decode(d.Data, &event.Alert{}))
}

// What was published before the stop is handled before Consume returns.
func TestConsumeDrains(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	release := make(chan struct{})
	c := consume(t, b, bus.ContainerGuard, bus.ConsumeOptions{Drain: patience}, func(ctx context.Context, _ bus.Delivery) error {
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
	require.Equal(t, idsOf(recs), c.handled())
	require.Zero(t, state(t, b, bus.Alerts).Durables[0].AckPending)
}

func TestConsumeDrainIsBounded(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	began := make(chan struct{}, 1)
	c := consume(t, b, bus.ContainerGuard, bus.ConsumeOptions{Drain: 100 * time.Millisecond}, func(ctx context.Context, _ bus.Delivery) error {
		began <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	})
	require.NoError(t, publisher(t, b, bus.Alerts, bus.LogPipeline).Publish(within(t, patience), alerts(b.Host(), 0, 1)...))
	<-began
	c.finish(t)
	require.Empty(t, c.handled())
}

func state(t *testing.T, b *bustest.Bus, name bus.StreamName) bus.StreamState {
	t.Helper()
	states, err := b.Admin().StreamStates(within(t, patience), b.Durables())
	require.NoError(t, err)
	for _, s := range states {
		if s.Name == name {
			return s
		}
	}
	require.FailNow(t, "no state")
	return bus.StreamState{}
}

func TestFailedDeliveryIsRedelivered(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	var attempts []int
	c := consume(t, b, bus.ContainerGuard, bus.ConsumeOptions{Retry: time.Millisecond}, func(_ context.Context, d bus.Delivery) error {
		attempts = append(attempts, d.Attempt)
		if len(attempts) < 4 {
			return errors.New("not yet")
		}
		return nil
	})
	require.NoError(t, publisher(t, b, bus.Alerts, bus.LogPipeline).Publish(within(t, patience), alerts(b.Host(), 0, 1)...))
	c.wait(t, 1)
	c.finish(t)
	require.Equal(t, []int{1, 2, 3, 4}, attempts)
}

// A rejected delivery is copied to the dead dead, once, and not redelivered.
func TestRejectedDeliveryIsDeadLettered(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	c := consume(t, b, bus.ContainerGuard, bus.ConsumeOptions{Drain: patience}, func(_ context.Context, d bus.Delivery) error {
		if d.ID == "alert-000001" {
			return bus.Reject(errors.New("cannot be read\r\nX: \x1b[31m"))
		}
		return nil
	})
	recs := alerts(b.Host(), 0, 3) // a batch, so that batch headers are there to strip
	require.NoError(t, publisher(t, b, bus.Alerts, bus.LogPipeline).Publish(within(t, patience), recs...))
	c.wait(t, 2)
	c.finish(t)
	var dead []bus.Delivery
	require.NoError(t, b.Conn(bus.Operator).History(within(t, patience), bus.DLQ, bus.HistoryOptions{}, func(d bus.Delivery) bool {
		dead = append(dead, d)
		return true
	}))
	require.Len(t, dead, 1)
	d := dead[0]
	require.Equal(t, bus.DLQSubject(bus.ContainerGuard, b.Host()), d.Subject)
	require.NoError(t, event.Decode(d.Data, &event.Alert{}))
	for key, want := range map[string]string{
		bus.HeaderDLQStream: string(bus.Alerts), bus.HeaderDLQDurable: "container-guard_" + b.Host(),
		bus.HeaderDLQSequence: "2", bus.HeaderDLQID: "alert-000001", bus.HeaderDLQReason: "cannot be read??X: ?[31m",
		bus.HeaderSeverity: "high",
	} {
		require.Equal(t, []string{want}, d.Header[key], key)
	}
	require.NotContains(t, d.Header, "Nats-Batch-Id")
	require.Zero(t, state(t, b, bus.Alerts).Durables[0].AckPending)
}

func TestConsumePassesAPanicThrough(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	conn, d := b.Conn(bus.ContainerGuard), durable(t, b, bus.ContainerGuard)
	require.NoError(t, publisher(t, b, bus.Alerts, bus.LogPipeline).Publish(within(t, patience), alerts(b.Host(), 0, 1)...))
	require.PanicsWithValue(t, "boom", func() {
		_ = conn.Consume(within(t, patience), d, bus.ConsumeOptions{Host: b.Host()}, func(context.Context, bus.Delivery) error { panic("boom") })
	})
}

// When a handler panics, what had been delivered is redelivered at once; only the delivery in
// hand waits for the 30 s of AckWait.
func TestPanicNaksUnhandledDeliveries(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	conn, d := b.Conn(bus.ContainerGuard), durable(t, b, bus.ContainerGuard)
	recs := alerts(b.Host(), 0, 20)
	require.NoError(t, publisher(t, b, bus.Alerts, bus.LogPipeline).Publish(within(t, patience), recs...))
	require.PanicsWithValue(t, "boom", func() {
		delivered := func() bool { return state(t, b, bus.Alerts).Durables[0].AckPending == len(recs) }
		_ = conn.Consume(within(t, patience), d, bus.ConsumeOptions{Host: b.Host()}, func(context.Context, bus.Delivery) error {
			require.Eventually(t, delivered, patience, time.Millisecond)
			panic("boom")
		})
	})
	again := time.Now()
	c := consume(t, b, bus.ContainerGuard, bus.ConsumeOptions{}, accept)
	c.wait(t, len(recs)-1)
	require.Less(t, time.Since(again), 20*time.Second)
	c.stop()
}

func TestConsumeSurvivesARestartedServer(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	// An ack that is lost with a server means a redelivery after AckWait; the drain does not
	// wait for that.
	c := consume(t, b, bus.ContainerGuard, bus.ConsumeOptions{Drain: time.Second}, accept)
	p := publisher(t, b, bus.Alerts, bus.LogPipeline)
	for i := range 4 {
		require.NoError(t, p.Publish(within(t, patience), alerts(b.Host(), i*100, 100)...))
		b.Restart()
	}
	// What was on its way when the server stopped is redelivered after 30 s.
	require.Eventually(t, func() bool { return len(unique(c.handled())) == 400 }, 2*patience, time.Millisecond)
	c.finish(t)
}

// A consumer may start before its durable exists, and outlives a deleted one.
func TestConsumeWaitsForItsDurable(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	js := admin(t, b)
	d := durable(t, b, bus.ContainerGuard)
	require.NoError(t, js.DeleteConsumer(within(t, patience), string(d.Stream), d.Name))
	c := consume(t, b, bus.ContainerGuard, bus.ConsumeOptions{}, accept)
	b.Provision()
	p := publisher(t, b, bus.Alerts, bus.LogPipeline)
	require.NoError(t, p.Publish(within(t, patience), newAlert(b.Host(), "a")))
	c.wait(t, 1)
	require.NoError(t, js.DeleteConsumer(within(t, patience), string(d.Stream), d.Name))
	b.Provision()
	require.NoError(t, p.Publish(within(t, patience), newAlert(b.Host(), "b")))
	c.wait(t, 2)
	c.finish(t)
}

// A request to read a stream may name any reply subject. The message that the server sends
// there is not a record of a module.
func TestConsumeRejectsAReflectedCopy(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	c := consume(t, b, bus.ActionCollector, bus.ConsumeOptions{Drain: patience}, accept)
	require.NoError(t, publisher(t, b, bus.Alerts, bus.LogPipeline).Publish(within(t, patience), newAlert(b.Host(), "evil")))
	raw := b.Raw(bus.LogPipeline)
	require.NoError(t, raw.PublishRequest("$JS.API.DIRECT.GET.IRONPOST_ALERTS", bus.ActionSubject(bus.ContainerGuard, b.Host()), []byte(`{"seq":1}`)))
	require.NoError(t, raw.Flush())
	require.Eventually(t, func() bool { return len(ids(t, b, bus.DLQ)) == 1 }, patience, 10*time.Millisecond)
	c.finish(t)
	require.Empty(t, c.handled())
}

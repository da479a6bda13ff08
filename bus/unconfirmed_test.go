package bus_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/bus/bustest"
)

// An alert is stored, but its publisher gets no ack and publishes it again after the stream
// has forgotten the id: it reads back first, so the alert is stored once.
func TestPublishReadsBackBeforeALateRetry(t *testing.T) {
	t.Parallel()
	const window = 200 * time.Millisecond
	b := bustest.New(t, bustest.WithLimits(bus.Limits{}.WithDuplicates(window)))
	p := publisher(t, b, bus.Alerts, bus.LogPipeline)
	p.ForgetAfter(window)
	require.NoError(t, p.Publish(within(t, patience), newAlert(b.Host(), "first")))

	lost := publishUnconfirmed(t, b, p)
	require.NoError(t, p.Publish(within(t, patience), newAlert(b.Host(), "between")))
	forgotten(t, b, window)
	require.NoError(t, p.Publish(within(t, patience), newAlert(b.Host(), lost)))
	require.Equal(t, 1, unique(ids(t, b, bus.Alerts))[lost])
	require.False(t, p.Unconfirmed())
}

// An alert is delivered again, so that its actions are published again, after the stream has forgotten
// their ids: they are stored once.
func TestPublishRemembersWhatItStored(t *testing.T) {
	t.Parallel()
	const window = 200 * time.Millisecond
	b := bustest.New(t, bustest.WithLimits(bus.Limits{}.WithDuplicates(window)))
	p, err := b.Conn(bus.ContainerGuard).Publisher(bus.PublisherConfig{Stream: bus.Actions, Module: bus.ContainerGuard, Host: b.Host(), Remember: true})
	require.NoError(t, err)
	first, second := newAction(b.Host(), "first"), newAction(b.Host(), "second")
	require.NoError(t, p.Publish(within(t, patience), first))
	forgotten(t, b, window)
	require.NoError(t, p.Publish(within(t, patience), first, second))
	require.Equal(t, []string{"first", "second"}, ids(t, b, bus.Actions))
	p.Forget(p.LastSeq())
	require.NoError(t, p.Publish(within(t, patience), first))
	require.Equal(t, []string{"first", "second", "first"}, ids(t, b, bus.Actions))
}

// publishUnconfirmed publishes with very short deadlines until an alert is stored whose ack
// came too late, and returns its id.
func publishUnconfirmed(t *testing.T, b *bustest.Bus, p *bus.Publisher) string {
	t.Helper()
	for i := range 1000 {
		id := fmt.Sprintf("unconfirmed-%d", i)
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(50+i)*time.Microsecond)
		err := p.Publish(ctx, newAlert(b.Host(), id))
		cancel()
		if err != nil && p.Unconfirmed() && unique(ids(t, b, bus.Alerts))[id] == 1 {
			return id
		}
	}
	require.FailNow(t, "every ack came in time")
	return ""
}

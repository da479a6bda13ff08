package bus_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/bus/bustest"
	"github.com/ironpost/ironpost/event"
)

// ranked returns an alert whose id has its rank and source, for rankByID.
func ranked(host string, rank int, source string, n int) event.Record {
	return newAlert(host, fmt.Sprintf("%d-%s-%06d", rank, source, n))
}

func rankByID(d bus.Delivery) (int, string) {
	parts := strings.Split(d.ID, "-")
	rank, _ := strconv.Atoi(parts[0])
	return rank, parts[1]
}

// Of 10,000 deliveries that wait, that of the highest rank is handled first, and those of a rank in turn by source.
func TestHighestRankIsHandledFirst(t *testing.T) {
	t.Parallel()
	const waiting = 10_000
	b := bustest.New(t, bustest.WithModules(bus.ContainerGuard))
	var recs []event.Record
	for n := range waiting {
		recs = append(recs, ranked(b.Host(), 1, "loud", n))
	}
	recs = append(recs, ranked(b.Host(), 2, "loud", 0), ranked(b.Host(), 2, "loud", 1), ranked(b.Host(), 2, "quiet", 2), ranked(b.Host(), 4, "loud", 3), ranked(b.Host(), 1, "loud", waiting))
	require.NoError(t, publisher(t, b, bus.Alerts, bus.LogPipeline).Publish(within(t, patience), recs...))
	arrived, done := make(chan struct{}), make(chan struct{})
	var ranks atomic.Int64
	rank := func(d bus.Delivery) (int, string) {
		if ranks.Add(1) == int64(len(recs)) { // the last one: all others wait
			close(arrived)
		}
		return rankByID(d)
	}
	var mu sync.Mutex
	var got []string
	c := consume(t, b, bus.ContainerGuard, bus.ConsumeOptions{Concurrency: 2, Ahead: 16_384, Urgent: 3, Rank: rank, Drain: patience},
		func(_ context.Context, d bus.Delivery) error {
			<-arrived
			mu.Lock()
			got = append(got, d.ID)
			n := len(got)
			mu.Unlock()
			if n == len(recs) {
				close(done)
			}
			if n == 1 {
				<-done // the other handler alone gives an order
			}
			return nil
		})
	c.wait(t, len(recs))
	c.finish(t)
	critical, quiet := slices.Index(got, "4-loud-000003"), slices.Index(got, "2-quiet-000002")
	t.Logf("of %d that waited, the critical one was number %d, that of the quiet source %d", len(got), critical+1, quiet+1)
	require.Less(t, critical, 4)
	require.Less(t, quiet, 6)
	slices.Sort(got)
	require.Len(t, slices.Compact(got), len(recs), "each is handled once")
	require.Zero(t, state(t, b, bus.Alerts).Durables[0].AckPending)
}

// What waits in the backlog when a consumer ends is delivered again at once, to the next one.
func TestBacklogIsDeliveredAgain(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	recs := alerts(b.Host(), 0, 500)
	require.NoError(t, publisher(t, b, bus.Alerts, bus.LogPipeline).Publish(within(t, patience), recs...))
	o := bus.ConsumeOptions{Concurrency: 2, Ahead: 400, Drain: time.Millisecond}
	first := consume(t, b, bus.ContainerGuard, o, func(ctx context.Context, _ bus.Delivery) error {
		<-ctx.Done()
		return errors.New("stopped")
	})
	require.Eventually(t, func() bool { return state(t, b, bus.Alerts).Durables[0].AckPending == 400 }, patience, time.Millisecond)
	first.stop()
	require.NoError(t, <-first.done)
	var again atomic.Int64
	o.Drain = patience
	second := consume(t, b, bus.ContainerGuard, o, func(_ context.Context, d bus.Delivery) error {
		if d.Attempt > 1 {
			again.Add(1)
		}
		return nil
	})
	second.wait(t, len(recs))
	second.finish(t)
	require.EqualValues(t, 400, again.Load())
}

// A delivery that is refused before a handler sees it is not extended any more.
func TestRefusedDeliveryIsNotExtended(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	for name, header := range map[string]nats.Header{"a copy": {"Nats-Sequence": {"1"}}, "no metadata": nil} {
		m := &nats.Msg{Subject: bus.AlertSubject(bus.LogPipeline, b.Host()), Reply: "$JS.ACK.s.d.1.1.1.1.0", Header: header, Sub: &nats.Subscription{}}
		if header == nil {
			m.Reply = "$JS.ACK.x"
		}
		require.Zero(t, b.Conn(bus.ContainerGuard).HeldAfter(within(t, patience), bus.Durable{Stream: bus.Alerts, Name: "d", Module: bus.ContainerGuard}, m), name)
	}
}

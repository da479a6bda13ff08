//go:build accept

package postgres_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/bus/bustest"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/task"
)

const (
	acceptRate = 1000 // alerts a second
	tick       = 100 * time.Millisecond
)

// load publishes alerts at acceptRate until stop, which returns how many there are.
func (r *rig) load() (stop func() int) {
	r.Helper()
	ctx, cancel := context.WithCancel(r.Context())
	published := 0
	group := task.New(ctx)
	group.Go("load", func(ctx context.Context) error {
		pace := time.NewTicker(tick)
		defer pace.Stop()
		began := time.Now()
		for ctx.Err() == nil {
			<-pace.C
			var recs []event.Record
			for due := int(time.Since(began).Seconds() * acceptRate); published < due && len(recs) < 500; {
				published++
				recs = append(recs, alert(published))
			}
			if err := r.alerts.Publish(context.WithoutCancel(ctx), recs...); err != nil {
				return err
			}
		}
		return nil
	})
	return func() int {
		cancel()
		require.NoError(r, group.Wait())
		return published
	}
}

// settle waits until everything is stored and reports the ledger.
func (r *rig) settle(published int, what string) {
	r.Helper()
	began := time.Now()
	require.Eventually(r, r.settled, 10*time.Minute, 100*time.Millisecond)
	_, rows := r.rows("alerts")
	r.Logf("%s: %d alerts published, %d rows; caught up in %.1f s (bar: 0 lost, 0 doubled)", what, published, rows, time.Since(began).Seconds())
	r.once(published)
	require.Eventually(r, func() bool { return r.collector.Health().Status == event.Healthy }, time.Minute, 100*time.Millisecond,
		"%v", r.collector.Health())
}

func TestAcceptPostgresKilled(t *testing.T) {
	const kills = 20
	r := newRig(t, bustest.WithLimits(bus.Limits{MaxStoreBytes: 4 << 30}))
	r.start()
	stop := r.load()
	for range kills {
		time.Sleep(3 * time.Second) // the load goes on
		r.server.Kill(t)
		time.Sleep(time.Second)
		r.server.Start(t)
	}
	r.settle(stop(), "PostgreSQL killed 20 times")
}

func TestAcceptCollectorKilled(t *testing.T) {
	const kills = 100
	r := newRig(t, bustest.WithLimits(bus.Limits{MaxStoreBytes: 4 << 30}))
	kill := r.start()
	stop := r.load()
	for range kills {
		time.Sleep(500 * time.Millisecond)
		kill()
		kill = r.start()
	}
	r.settle(stop(), "collector killed 100 times")
}

func TestAcceptPostgresDown(t *testing.T) {
	const down = 10 * time.Minute
	r := newRig(t, bustest.WithLimits(bus.Limits{MaxStoreBytes: 4 << 30}))
	r.start()
	stop := r.load()
	time.Sleep(2 * time.Second)
	r.server.Stop(t)
	time.Sleep(down)
	h := r.collector.Health()
	require.Equal(t, event.Degraded, h.Status)
	require.Contains(t, strings.Join(h.Reasons, "\n"), " alerts and 0 actions in their streams wait")
	t.Logf("after 10 min down: %s", h.Reasons[0])
	r.server.Start(t)
	r.settle(stop(), "PostgreSQL down 10 min")
}

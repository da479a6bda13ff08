package bus_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/bus/bustest"
)

// tight makes a stream of alerts of about 512 KiB.
func tight() bustest.Option {
	return bustest.WithLimits(bus.Limits{MaxStoreBytes: 512 << 10 * 8 / 3})
}

// Through a stream of 512 KiB go 5,000 alerts; two durables of the table handle
// them late while maintenance purges: both handle every one.
func TestMaintenanceNeverPurgesWhatADurableNeeds(t *testing.T) {
	t.Parallel()
	const total = 5000
	b := bustest.New(t, tight())
	second := durable(t, b, bus.ContainerGuard)
	second.Name = bus.ContainerGuard + "-two_" + b.Host()
	table := append(b.Durables(), second)
	require.NoError(t, b.Admin().Provision(within(t, patience), b.Limits(), table))

	stop := runMaintenance(t, b, bus.MaintenanceConfig{Durables: table, Interval: 10 * time.Millisecond})
	defer stop()
	counts := [2]*tally{
		tallyOf(t, b.Conn(bus.ContainerGuard), durable(t, b, bus.ContainerGuard)),
		tallyOf(t, b.Conn(bus.Daemon), second),
	}
	p := publisher(t, b, bus.Alerts, bus.LogPipeline)
	ctx := within(t, patience)
	for from := 0; from < total; from += 500 {
		require.NoError(t, p.Publish(ctx, alerts(b.Host(), from, 500)...))
	}
	for _, c := range counts {
		require.Eventually(t, func() bool { return c.different() == total }, patience, 10*time.Millisecond)
	}
	require.Less(t, state(t, b, bus.Alerts).Messages, uint64(total/2))
}

// tally counts the different ids a durable delivered. Some handlers are slow; none fails,
// because after a purge the server redelivers a failed one when the 30 s of AckWait are
// over.
type tally struct {
	mu  sync.Mutex
	ids map[string]struct{}
}

func tallyOf(t *testing.T, conn *bus.Conn, d bus.Durable) *tally {
	t.Helper()
	c := &tally{ids: map[string]struct{}{}}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- conn.Consume(ctx, d, bus.ConsumeOptions{}, c.handle) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
	})
	return c
}

func (c *tally) handle(ctx context.Context, d bus.Delivery) error {
	if rand.N(200) == 0 {
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ids[d.ID] = struct{}{}
	return nil
}

func (c *tally) different() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.ids)
}

func runMaintenance(t *testing.T, b *bustest.Bus, cfg bus.MaintenanceConfig) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	conn := b.Admin()
	go func() { done <- conn.RunMaintenance(ctx, cfg, nil) }()
	return func() {
		cancel()
		require.NoError(t, <-done)
	}
}

// fill publishes until the stream is nearly full.
func fill(t *testing.T, b *bustest.Bus, p *bus.Publisher) {
	t.Helper()
	for from := 0; ; from += 50 {
		require.NoError(t, p.Publish(within(t, patience), alerts(b.Host(), from, 50)...))
		if s := state(t, b, bus.Alerts); float64(s.Bytes) > 0.72*float64(s.MaxBytes) {
			return
		}
	}
}

func purgeOnce(t *testing.T, b *bustest.Bus, table []bus.Durable) bus.MaintenanceReport {
	t.Helper()
	report, err := b.Admin().PurgeNearlyFull(within(t, patience), bus.MaintenanceConfig{Durables: table})
	require.NoError(t, err)
	return report
}

func TestPurgeWithoutDurablesMakesRoom(t *testing.T) {
	t.Parallel()
	b := bustest.New(t, tight(), bustest.WithModules())
	fill(t, b, publisher(t, b, bus.Alerts, bus.LogPipeline))
	require.Positive(t, purgeOnce(t, b, nil).Purged[bus.Alerts])
	s := state(t, b, bus.Alerts)
	require.InDelta(t, 0.57, float64(s.Bytes)/float64(s.MaxBytes), 0.1)
}

func TestPurgeStopsAtALaggingDurable(t *testing.T) {
	t.Parallel()
	b := bustest.New(t, tight())
	fill(t, b, publisher(t, b, bus.Alerts, bus.LogPipeline))
	report := purgeOnce(t, b, b.Durables())
	require.Empty(t, report.Purged)
	require.Len(t, report.Reasons[bus.ContainerGuard], 1)
	require.Contains(t, report.Reasons[bus.ContainerGuard][0], "IRONPOST_ALERTS is nearly full and container-guard_testhost is behind by ")
	require.Equal(t, uint64(1), state(t, b, bus.Alerts).FirstSeq)
}

func TestPurgeStopsAtAMissingDurable(t *testing.T) {
	t.Parallel()
	b := bustest.New(t, tight())
	d := durable(t, b, bus.ContainerGuard)
	require.NoError(t, admin(t, b).DeleteConsumer(within(t, patience), string(d.Stream), d.Name))
	fill(t, b, publisher(t, b, bus.Alerts, bus.LogPipeline))
	report := purgeOnce(t, b, b.Durables())
	require.Empty(t, report.Purged)
	require.Equal(t, []string{"IRONPOST_ALERTS has lost its durable container-guard_testhost"}, report.Reasons[bus.ContainerGuard])
}

// Hosts that share the streams have a table each: one does not purge what the
// guard of the other still needs, but ignores durables of no table.
func TestPurgeKeepsWhatAnotherHostNeeds(t *testing.T) {
	t.Parallel()
	b := bustest.New(t, tight(), bustest.WithModules())
	theirs := bus.Durables("elsewhere", map[string]bool{bus.ContainerGuard: true}, bus.InFlight{})
	theirs[0].Filter = []string{bus.AlertSubject("*", "*")}
	require.NoError(t, b.Admin().Provision(within(t, patience), b.Limits(), theirs))
	fill(t, b, publisher(t, b, bus.Alerts, bus.LogPipeline))
	report := purgeOnce(t, b, nil)
	require.Empty(t, report.Purged)
	reason := report.Reasons[bus.Daemon][0]
	require.Contains(t, reason, "container-guard_elsewhere is behind by ")
	require.Contains(t, reason, "start its module on that host again")
	require.Contains(t, reason, "the durable is removed automatically 7 days after its last use")
	again, err := b.Admin().PurgeNearlyFull(within(t, patience), bus.MaintenanceConfig{StaleAfter: 12 * time.Hour})
	require.NoError(t, err)
	require.Contains(t, again.Reasons[bus.Daemon][0], "the durable is removed automatically 12 hours ")

	busy, err := admin(t, b).Consumer(within(t, patience), string(bus.Alerts), theirs[0].Name)
	require.NoError(t, err)
	_, err = busy.Next()
	require.NoError(t, err)
	require.NotContains(t, purgeOnce(t, b, nil).Reasons[bus.Daemon][0], "nothing consumes it", "a consumer that is busy with its deliveries makes no pull request")

	js, err := jetstream.New(b.Raw(bus.Daemon))
	require.NoError(t, err)
	require.NoError(t, js.DeleteConsumer(within(t, patience), string(bus.Alerts), theirs[0].Name))
	theirs[0].Name = "unknown_elsewhere"
	require.NoError(t, b.Admin().Provision(within(t, patience), b.Limits(), theirs))
	require.Positive(t, purgeOnce(t, b, nil).Purged[bus.Alerts])
}

// A durable that filters everything out has a floor that stands still; it counts as
// being at the end.
func TestPurgeDoesNotWaitForADurableWithNothingToDo(t *testing.T) {
	t.Parallel()
	b := bustest.New(t, tight())
	d := durable(t, b, bus.ContainerGuard)
	d.Name, d.Filter = "quiet", []string{bus.AlertSubject("*", "elsewhere")}
	require.NoError(t, b.Admin().Provision(within(t, patience), b.Limits(), []bus.Durable{d}))
	fill(t, b, publisher(t, b, bus.Alerts, bus.LogPipeline))
	require.Positive(t, purgeOnce(t, b, []bus.Durable{d}).Purged[bus.Alerts])
}

// After a purge the next pass comes before the interval is over: producers of a small stream
// do not wait that long each time it is full.
func TestMaintenanceRunsSoonAfterAPurge(t *testing.T) {
	t.Parallel()
	b := bustest.New(t, tight(), bustest.WithModules(bus.LogPipeline))
	p := publisher(t, b, bus.Alerts, bus.LogPipeline)
	fill(t, b, p)
	const every = 20 * time.Second
	passes := make(chan bus.MaintenanceReport)
	ctx, cancel := context.WithCancel(t.Context())
	done, conn := make(chan error, 1), b.Admin()
	go func() {
		cfg := bus.MaintenanceConfig{Durables: b.Durables(), Interval: every}
		done <- conn.RunMaintenance(ctx, cfg, func(r bus.MaintenanceReport) {
			select {
			case passes <- r:
			case <-ctx.Done():
			}
		})
	}()
	require.Positive(t, (<-passes).Purged[bus.Alerts])
	began := time.Now()
	<-passes
	require.Less(t, time.Since(began), every/2)
	cancel()
	require.NoError(t, <-done)
}

// Maintenance that finds much room and every durable waits longer.
func TestMaintenancePausesWhileItIsCalm(t *testing.T) {
	t.Parallel()
	pause := func(b *bustest.Bus, table []bus.Durable) time.Duration {
		pause, err := b.Admin().PauseOfMaintenance(within(t, patience), bus.MaintenanceConfig{Durables: table})
		require.NoError(t, err)
		return pause
	}
	roomy, small := bustest.New(t, bustest.WithLimits(bus.Limits{MaxStoreBytes: 4 << 30})), bustest.New(t, tight())
	missing := durable(t, roomy, bus.ContainerGuard)
	missing.Name = "missing"
	require.Equal(t, 5*time.Second, pause(roomy, roomy.Durables()))
	require.Equal(t, time.Second, pause(roomy, append(roomy.Durables(), missing)))
	require.Equal(t, time.Second, pause(small, small.Durables()))
}

// A durable that is not of the table is removed when it was not used for long, also if
// its consumer died with a delivery unacknowledged.
func TestMaintenanceRemovesAStaleDurable(t *testing.T) {
	t.Parallel()
	b := bustest.New(t, bustest.WithModules(bus.LogPipeline))
	js := admin(t, b)
	require.NoError(t, publisher(t, b, bus.Alerts, bus.LogPipeline).Publish(within(t, patience), alerts(b.Host(), 0, 2)...))
	_, err := js.CreateConsumer(within(t, patience), string(bus.Alerts), jetstream.ConsumerConfig{Durable: "forgotten", AckPolicy: jetstream.AckExplicitPolicy})
	require.NoError(t, err)
	died, err := js.CreateConsumer(within(t, patience), string(bus.Alerts), jetstream.ConsumerConfig{Durable: "died", AckPolicy: jetstream.AckExplicitPolicy})
	require.NoError(t, err)
	_, err = died.Next()
	require.NoError(t, err)
	info, err := died.Info(within(t, patience))
	require.NoError(t, err)
	require.Equal(t, 1, info.NumAckPending)
	reports := make(chan bus.MaintenanceReport, 1000)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	conn := b.Admin()
	go func() {
		cfg := bus.MaintenanceConfig{Durables: b.Durables(), Interval: 10 * time.Millisecond, StaleAfter: 50 * time.Millisecond}
		done <- conn.RunMaintenance(ctx, cfg, func(r bus.MaintenanceReport) {
			select {
			case reports <- r:
			default:
			}
		})
	}()
	require.Eventually(t, func() bool {
		for _, name := range []string{"forgotten", "died"} {
			if _, err := js.Consumer(within(t, patience), string(bus.Alerts), name); !errors.Is(err, jetstream.ErrConsumerNotFound) {
				return false
			}
		}
		return true
	}, patience, 10*time.Millisecond)
	cancel()
	require.NoError(t, <-done)
	_, err = js.Consumer(within(t, patience), string(bus.Packets), durable(t, b, bus.LogPipeline).Name)
	require.NoError(t, err, "a durable of the table stays")
}

// A deleted durable of the table is made again where it was: later messages are not lost,
// and handled ones are not delivered again.
func TestMaintenanceRestoresADeletedDurable(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	p, d, js := publisher(t, b, bus.Alerts, bus.LogPipeline), durable(t, b, bus.ContainerGuard), admin(t, b)
	c := consume(t, b, bus.ContainerGuard, bus.ConsumeOptions{}, accept)
	require.NoError(t, p.Publish(within(t, patience), alerts(b.Host(), 0, 50)...))
	c.wait(t, 50)
	c.finish(t)
	require.Eventually(t, func() bool { return state(t, b, bus.Alerts).Durables[0].AckPending == 0 }, patience, time.Millisecond)

	passes := make(chan bus.MaintenanceReport)
	ctx, cancel := context.WithCancel(context.Background())
	done, conn := make(chan error, 1), b.Admin()
	go func() {
		cfg := bus.MaintenanceConfig{Durables: b.Durables(), Interval: time.Millisecond}
		done <- conn.RunMaintenance(ctx, cfg, func(r bus.MaintenanceReport) {
			select {
			case passes <- r:
			case <-ctx.Done():
			}
		})
	}()
	require.Empty(t, (<-passes).Restored)
	require.NoError(t, js.DeleteConsumer(within(t, patience), string(d.Stream), d.Name))
	require.NoError(t, p.Publish(within(t, patience), alerts(b.Host(), 50, 50)...))
	var restored []bus.Durable
	for len(restored) == 0 {
		restored = (<-passes).Restored
	}
	require.Equal(t, d.Name, restored[0].Name)
	require.Equal(t, bus.ContainerGuard, restored[0].Module)
	cancel()
	require.NoError(t, <-done)

	b.Provision() // as the next start does
	again := consume(t, b, bus.ContainerGuard, bus.ConsumeOptions{}, accept)
	again.wait(t, 50)
	again.finish(t)
	require.Equal(t, idsOf(alerts(b.Host(), 50, 50)), again.handled())
}

// A daemon that starts after the durable was deleted does not know its position: what it
// skips is not silent.
func TestProvisionReportsWhatANewDurableSkips(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	d := durable(t, b, bus.ContainerGuard)
	require.True(t, d.FromNew)
	require.NoError(t, publisher(t, b, bus.Alerts, bus.LogPipeline).Publish(within(t, patience), alerts(b.Host(), 0, 3)...))
	conn := b.Admin()
	require.NoError(t, conn.Provision(within(t, patience), b.Limits(), b.Durables()))
	require.Zero(t, conn.Skipped(d.Name), "it exists")
	require.NoError(t, admin(t, b).DeleteConsumer(within(t, patience), string(d.Stream), d.Name))
	require.NoError(t, conn.Provision(within(t, patience), b.Limits(), b.Durables()))
	require.Equal(t, uint64(3), conn.Skipped(d.Name))
}

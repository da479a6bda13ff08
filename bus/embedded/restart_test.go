package embedded_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/bus/bustest"
	"github.com/ironpost/ironpost/bus/embedded"
)

const restartLoad = 300

// Publishers and consumers go on over restarts in place, with the connections
// they had: everything published is stored once and delivered.
func TestRestartInPlaceUnderLoad(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	js := publisher(t, b)
	var sent, seen atomic.Int64
	stop := consumeAlerts(t, b, &seen)
	defer stop()

	var load errgroup.Group
	load.Go(func() error { return publishAll(within(t), js, b.Host(), &sent) })
	for n := range int64(3) {
		require.Eventually(t, func() bool { return sent.Load() > (n+1)*restartLoad/5 }, patience, time.Millisecond)
		require.NoError(t, b.Server().Restart(within(t)))
	}
	require.NoError(t, load.Wait())
	require.Eventually(t, func() bool { return seen.Load() >= restartLoad }, patience, 5*time.Millisecond)
	require.Equal(t, uint64(restartLoad), stored(t, jetStream(t, b), "IRONPOST_ALERTS"))
	require.Equal(t, uint64(3), b.Server().Stats().Restarts)
}

// publishAll stores restartLoad alerts, trying each until it is acknowledged.
func publishAll(ctx context.Context, js jetstream.JetStream, host string, sent *atomic.Int64) error {
	for n := range restartLoad {
		for {
			msg := withID(bus.AlertSubject(bus.LogPipeline, host), "id-"+string(rune('a'+n%26))+time.Duration(n).String())
			try, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
			_, err := js.PublishMsg(try, msg)
			cancel()
			if err == nil {
				break
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
		}
		sent.Add(1)
	}
	return nil
}

// consumeAlerts counts, as the guard does, alerts it had not seen before.
func consumeAlerts(t *testing.T, b *bustest.Bus, seen *atomic.Int64) (stop func()) {
	t.Helper()
	js, err := jetstream.New(b.Raw(bus.ContainerGuard))
	require.NoError(t, err)
	consumer, err := js.Consumer(within(t), "IRONPOST_ALERTS", bus.ContainerGuard+"_"+b.Host())
	require.NoError(t, err)
	ids := map[string]bool{}
	running, err := consumer.Consume(func(msg jetstream.Msg) {
		if id := msg.Headers().Get("Nats-Msg-Id"); !ids[id] {
			ids[id] = true
			seen.Add(1)
		}
		_ = msg.Ack()
	}, jetstream.PullExpiry(5*time.Second), jetstream.PullHeartbeat(500*time.Millisecond))
	require.NoError(t, err)
	return running.Stop
}

func TestObserversAndOperatorsReconnectAfterRestart(t *testing.T) {
	t.Parallel()
	b := bustest.New(t, bustest.WithConfig(evidence))
	sub := listen(t, b.Observer(), bus.RepublishedAlerts)
	operator, err := bus.DialSocket(within(t), b.Socket())
	require.NoError(t, err)
	b.Restart()
	require.Eventually(t, operator.Connected, patience, time.Millisecond)

	js := publisher(t, b)
	require.Eventually(t, func() bool { // a feed is not stored: what comes too early is missed
		alert(t, b, js, "after")
		_, err := sub.NextMsg(50 * time.Millisecond)
		return err == nil
	}, patience, time.Millisecond)
	serve(t, b) // the gateway is back as well
	_, err = b.Observer().Request("$SRV.PING.ironpost-container-guard", nil, patience)
	require.NoError(t, err)
}

func TestReloadKeepsTheStreams(t *testing.T) {
	t.Parallel()
	b := bustest.New(t, bustest.WithConfig(evidence))
	js := publisher(t, b)
	sub := listen(t, b.Observer(), bus.RepublishedAlerts)
	alert(t, b, js, "before")
	require.NoError(t, b.Server().Reload())
	alert(t, b, js, "after")
	require.Equal(t, "before", string(next(t, sub).Data))
	require.Equal(t, "after", string(next(t, sub).Data))
	require.Equal(t, uint64(2), stored(t, jetStream(t, b), "IRONPOST_ALERTS"))
	require.Empty(t, b.Server().Health())
}

// A shutdown that took too long goes on, and a second call waits for it.
func TestShutdownCanBeWaitedForAgain(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, b.Server().Shutdown(ended), context.Canceled)
	require.NoError(t, b.Server().Shutdown(within(t)))
	require.Error(t, b.Server().Restart(within(t)))
}

func TestNothingStartsAgainAfterShutdown(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	b.Stop()
	require.Error(t, b.Server().Restart(within(t)))
	require.Error(t, b.Server().Reload())
	require.NoError(t, b.Server().Shutdown(within(t)), "again")
}

// What one start stored, the next one has, with new keys.
func TestStoreOutlivesTheServer(t *testing.T) {
	t.Parallel()
	first := bustest.New(t)
	alert(t, first, publisher(t, first), "kept")
	first.Stop()
	second := bustest.New(t, bustest.WithConfig(func(c *embedded.Config) { c.StoreDir = first.StoreDir() }))
	require.Equal(t, uint64(1), stored(t, jetStream(t, second), "IRONPOST_ALERTS"))
	require.NotEqual(t, first.Options(bus.Daemon).Seed, second.Options(bus.Daemon).Seed)
}

// Two hosts with the same alert: each bus says where it happened.
func TestModuleMayPublishForItsHostOnly(t *testing.T) {
	t.Parallel()
	one, two := bustest.New(t, bustest.WithHost("web-1"), bustest.WithConfig(evidence)), bustest.New(t, bustest.WithHost("web-2"), bustest.WithConfig(evidence))
	for _, b := range []*bustest.Bus{one, two} {
		sub := listen(t, b.Observer(), bus.RepublishedAlerts)
		alert(t, b, publisher(t, b), "same")
		require.Equal(t, bus.AlertSubject(bus.LogPipeline, b.Host()), next(t, sub).Header.Get("Nats-Subject"))
	}
	require.True(t, publishRefused(t, one.Raw(bus.LogPipeline), bus.AlertSubject(bus.LogPipeline, "web-2")))
}

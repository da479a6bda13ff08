package embedded_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/bus/bustest"
	"github.com/ironpost/ironpost/bus/embedded"
	"github.com/ironpost/ironpost/internal/testenv"
)

// A disk that was full and is not any more: without a hand, everything that was
// acknowledged is there and publishing works, on the connections of before.
func TestDiskFullAndFreed(t *testing.T) {
	t.Parallel()
	disk := testenv.SmallDisk(t, "64m")
	b := bustest.New(t, bustest.WithConfig(func(c *embedded.Config) {
		c.StoreDir = filepath.Join(disk, "bus")
		c.CheckInterval = 20 * time.Millisecond
	}))
	watch(t, b)
	js := publisher(t, b)
	ballast := fill(t, disk, 16<<20)

	acked := publishUntilFull(t, b, js)
	require.NotEmpty(t, acked)
	require.Zero(t, b.Server().Stats().Restarts, "a restart on a full disk is useless")

	require.NoError(t, os.Remove(ballast))
	require.Eventually(t, func() bool { return tryAlert(t, b, js, "freed") == nil }, patience, time.Millisecond)
	require.Eventually(t, func() bool { return len(b.Server().Health()) == 0 }, patience, 5*time.Millisecond)
	require.Positive(t, b.Server().Stats().Restarts)
	requireStored(t, b, acked)
	t.Logf("%d alerts acknowledged before the disk was full, %d restarts", len(acked), b.Server().Stats().Restarts)
}

// publishUntilFull publishes until the bus says that its disk is full and refuses
// an alert, and returns the sequence and text of all that was acknowledged.
func publishUntilFull(t *testing.T, b *bustest.Bus, js jetstream.JetStream) map[uint64]string {
	t.Helper()
	acked := map[uint64]string{}
	padding := strings.Repeat("x", 32<<10)
	for n := range 10_000 {
		text := fmt.Sprintf("%d %s", n, padding)
		ctx, cancel := context.WithTimeout(within(t), time.Second)
		ack, err := js.Publish(ctx, bus.AlertSubject(bus.LogPipeline, b.Host()), []byte(text))
		cancel()
		if err == nil {
			acked[ack.Sequence] = text
		} else if strings.Contains(strings.Join(b.Server().Health(), " "), "no space left") {
			return acked
		}
	}
	require.Fail(t, "the disk does not fill up")
	return nil
}

func tryAlert(t *testing.T, b *bustest.Bus, js jetstream.JetStream, text string) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(within(t), 200*time.Millisecond)
	defer cancel()
	_, err := js.Publish(ctx, bus.AlertSubject(bus.LogPipeline, b.Host()), []byte(text))
	return err
}

func requireStored(t *testing.T, b *bustest.Bus, acked map[uint64]string) {
	t.Helper()
	stream, err := jetStream(t, b).Stream(within(t), "IRONPOST_ALERTS")
	require.NoError(t, err)
	for seq, text := range acked {
		msg, err := stream.GetMsg(within(t), seq)
		require.NoError(t, err)
		require.Equal(t, text, string(msg.Data))
	}
}

// watch runs the watchdog until the test ends.
func watch(t *testing.T, b *bustest.Bus) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var dog errgroup.Group
	dog.Go(func() error { return b.Server().Watch(ctx) })
	t.Cleanup(func() {
		cancel()
		require.NoError(t, dog.Wait())
	})
}

// fill writes a file of so many bytes.
func fill(t *testing.T, dir string, size int) string {
	t.Helper()
	path := filepath.Join(dir, "ballast")
	require.NoError(t, os.WriteFile(path, make([]byte, size), 0o600))
	return path
}

// A watchdog that finds nothing wrong does nothing.
func TestWatchDoesNotRestartAHealthyServer(t *testing.T) {
	t.Parallel()
	b := bustest.New(t, bustest.WithConfig(func(c *embedded.Config) { c.CheckInterval = time.Millisecond }))
	watch(t, b)
	js := publisher(t, b)
	for range 50 {
		alert(t, b, js, "x")
	}
	require.Zero(t, b.Server().Stats().Restarts)
	require.Empty(t, b.Server().Health())
}

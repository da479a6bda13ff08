//go:build accept && linux

package e2e_test

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/testenv"
	"github.com/ironpost/ironpost/services/containerguard"
)

// Long runs of the container guard behind `make accept-container-guard`, with the
// built daemon and a dockerd of their own. Each prints its number and its limit ("bar"),
// and the number of the bare Docker API in the same run where the limit is relative to it.

// measureBareAPI measures the Docker API alone: pause, and pause with disconnect, each verified by an inspect.
func (f *guardSetup) measureBareAPI(id string) (pause, both time.Duration) {
	f.t.Helper()
	ctx := f.t.Context()
	before, _, err := f.docker.Inspect(ctx, id)
	require.NoError(f.t, err)
	began := time.Now()
	require.NoError(f.t, f.docker.Pause(ctx, id))
	c, _, err := f.docker.Inspect(ctx, id)
	pause = time.Since(began)
	require.NoError(f.t, err)
	require.True(f.t, c.Paused)
	n := before.Networks[0]
	require.NoError(f.t, f.docker.Disconnect(ctx, n.NetworkID, id))
	c, _, err = f.docker.Inspect(ctx, id)
	both = time.Since(began)
	require.NoError(f.t, err)
	require.Empty(f.t, c.Networks)
	require.NoError(f.t, f.docker.Connect(ctx, n.NetworkID, id, n))
	require.NoError(f.t, f.docker.Unpause(ctx, id))
	return pause, both
}

// Measures alert published → frozen and verified, and → isolated, each compared with the
// bare API in the same run.
func TestAcceptGuardLatency(t *testing.T) {
	f := newGuardSetup(t, wideCaps, "[[policy]]\nid = \"p\"\nactions = [\"isolate\"]\nrequire.signs = 1\ncooldown = \"0s\"\nmatch.severity = \"high\"\n")
	ids := f.runContainers(containerCount)
	var barePause, bareBoth, frozen, isolated []time.Duration
	for round := range 8 { // alternating: both run under the same load
		for i := range containerCount / 2 {
			bare, attacked := ids[2*i+round%2], ids[2*i+1-round%2]
			pause, both := f.measureBareAPI(bare)
			barePause, bareBoth = append(barePause, pause), append(bareBoth, both)
			began := time.Now()
			f.publish(f.alert(byID(attacked)))
			var h containerguard.Quarantined
			f.eventually(func() bool { h = f.quarantined()[attacked]; return h.State == "held" })
			frozen, isolated = append(frozen, h.FrozenAt.Sub(began)), append(isolated, h.HeldAt.Sub(began))
		}
		f.releaseAll()
	}
	t.Logf("bare pause:               %s", summary(barePause))
	t.Logf("alert → frozen:           %s (bar: p99 ≤ %v)", summary(frozen), percentile(barePause, 0.99)+25*time.Millisecond)
	t.Logf("bare pause + disconnect:  %s", summary(bareBoth))
	t.Logf("alert → isolated:         %s (bar: p99 ≤ %v)", summary(isolated), percentile(bareBoth, 0.99)+50*time.Millisecond)
	require.LessOrEqual(t, percentile(frozen, 0.99), percentile(barePause, 0.99)+25*time.Millisecond)
	require.LessOrEqual(t, percentile(isolated, 0.99), percentile(bareBoth, 0.99)+50*time.Millisecond)
}

// 50 alerts at once: all containers are frozen within 0.6 s.
func TestAcceptGuardBurst(t *testing.T) {
	f := newGuardSetup(t, wideCaps, "[[policy]]\nid = \"p\"\nactions = [\"isolate\"]\nrequire.signs = 1\ncooldown = \"0s\"\nmatch.severity = \"high\"\n")
	ids := f.runContainers(containerCount)
	bare := f.measureBareBurst(ids)
	var last []time.Duration
	for range 3 {
		var burst []*event.Alert
		for _, id := range ids {
			burst = append(burst, f.alert(byID(id)))
		}
		began := time.Now()
		f.publish(burst...)
		f.eventually(func() bool {
			n := 0
			for _, h := range f.quarantined() {
				if h.State == "held" {
					n++
				}
			}
			return n == containerCount
		})
		var slowest, ordered, cut time.Time
		for _, h := range f.quarantined() {
			slowest, ordered, cut = latest(slowest, h.FrozenAt), latest(ordered, h.Ordered), latest(cut, h.HeldAt)
		}
		last = append(last, slowest.Sub(began))
		t.Logf("all ordered after %v, all frozen after %v, all isolated after %v", ordered.Sub(began), slowest.Sub(began), cut.Sub(began))
		f.releaseAll()
	}
	bar := max(600*time.Millisecond, bare*3/2) // where Docker alone needs more than 400 ms, the machine is busy
	t.Logf("50 bare pauses at once: %v; 50 alerts at once, all frozen: %v (bar %v)", bare, last, bar)
	require.LessOrEqual(t, slices.Max(last), bar)
}

// measureBareBurst pauses all containers at once with the Docker API alone.
func (f *guardSetup) measureBareBurst(ids []string) time.Duration {
	f.t.Helper()
	began := time.Now()
	var wg sync.WaitGroup
	for _, id := range ids {
		wg.Go(func() {
			require.NoError(f.t, f.docker.Pause(f.t.Context(), id))
			_, _, err := f.docker.Inspect(f.t.Context(), id)
			require.NoError(f.t, err)
		})
	}
	wg.Wait()
	took := time.Since(began)
	for _, id := range ids {
		require.NoError(f.t, f.docker.Unpause(f.t.Context(), id))
	}
	return took
}

// Of 50 alerts at once exactly as many pause a container as the cap allows.
func TestAcceptGuardCaps(t *testing.T) {
	for name, keys := range map[string]string{
		"per minute":  "max_per_minute = 20\nmax_per_project = 10000\nmax_share_percent = 100\n",
		"per project": "max_per_minute = 10000\nmax_per_project = 20\nmax_share_percent = 100\n",
		"share":       "max_per_minute = 10000\nmax_per_project = 10000\nmax_share_percent = 40\n",
	} {
		t.Run(name, func(t *testing.T) {
			f := newGuardSetup(t, keys, "[[policy]]\nid = \"p\"\nactions = [\"pause\"]\nrequire.signs = 1\nmatch.severity = \"high\"\n")
			var ids []string
			for i := range containerCount {
				ids = append(ids, f.engine.Run(t, testenv.ContainerOptions{Name: fmt.Sprint("c", i), Labels: map[string]string{"com.docker.compose.project": "shop"}}))
			}
			f.eventually(func() bool { return f.counter(bus.ContainerGuard, "containers") >= containerCount })
			var burst []*event.Alert
			for _, id := range ids {
				burst = append(burst, f.alert(byID(id)))
			}
			f.publish(burst...)
			f.eventually(func() bool {
				return f.counter(bus.ContainerGuard, "orders")+f.counter(bus.ContainerGuard, "skipped") == containerCount
			})
			f.eventually(func() bool { return f.paused() >= 20 })
			t.Logf("%s: cap 20, paused %d (bar: 20)", name, f.paused())
			require.Equal(t, 20, f.paused())
		})
	}
}

// Measures alert published → entry seen by a watcher of the bucket, like an engine.
func TestAcceptGuardBlocks(t *testing.T) {
	f := newGuardSetup(t, wideCaps, "[[policy]]\nid = \"p\"\nactions = [\"block-source\"]\nmatch.severity = \"high\"\n")
	list, err := f.operator.Blocklist(t.Context())
	require.NoError(t, err)
	kv, err := f.operator.KV(t.Context(), bus.BlocklistBucket)
	require.NoError(t, err)
	seen := make(chan string, 1000)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	watching := make(chan struct{})
	go func() {
		_ = kv.Watch(ctx, func(e bus.KVEvent) {
			if e.Snapshot {
				close(watching)
				return
			}
			seen <- e.Entry.Key
		})
	}()
	<-watching
	var took []time.Duration
	for i := range 200 {
		addr := netip.AddrFrom4([4]byte{203, 0, 113, byte(i)})
		began := time.Now()
		f.publish(f.alert(func(a *event.Alert) { a.Source = &event.Endpoint{IP: addr.String()} }))
		require.Equal(t, bus.BlockKey(netip.PrefixFrom(addr, 32)), <-seen)
		took = append(took, time.Since(began))
	}
	t.Logf("alert → entry seen by a watcher: %s (bar: p99 ≤ 100 ms with the engine's part)", summary(took))
	require.LessOrEqual(t, percentile(took, 0.99), 100*time.Millisecond)
	blocks, invalid, err := list.List(t.Context())
	require.NoError(t, err)
	require.Len(t, blocks, 200)
	require.Zero(t, invalid)
}

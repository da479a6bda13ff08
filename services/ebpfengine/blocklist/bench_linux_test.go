package blocklist_test

import (
	"bufio"
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/bus/bustest"
	"github.com/ironpost/ironpost/internal/task"
	"github.com/ironpost/ironpost/services/ebpfengine/blocklist"
)

// run runs r until stop is called.
func run(b *testing.B, r *blocklist.Reconciler) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	g := task.New(ctx)
	g.Go("reconciler", r.Run)
	return func() {
		cancel()
		require.NoError(b, g.Wait())
	}
}

func reportQuantiles(b *testing.B, times []time.Duration) {
	slices.Sort(times)
	b.ReportMetric(float64(times[len(times)/2].Microseconds()), "p50_us")
	b.ReportMetric(float64(times[len(times)*99/100].Microseconds()), "p99_us")
}

// millionLines writes a feed of a million addresses that cannot be collapsed.
func millionLines(b *testing.B) string {
	path := filepath.Join(b.TempDir(), "feed")
	f, err := os.Create(path)
	require.NoError(b, err)
	out := bufio.NewWriter(f)
	for i := range 1_000_000 {
		_, _ = fmt.Fprintf(out, "1.%d.%d.%d\n", i>>15, i>>7&0xff, i&0x7f*2+1)
	}
	require.NoError(b, out.Flush())
	require.NoError(b, f.Close())
	return path
}

// BenchmarkPutToDrop measures the time from the call of Put to the first dropped packet.
func BenchmarkPutToDrop(b *testing.B) {
	f, e := kernel(b, 10_000, false)
	bench := bustest.New(b)
	r := blocklist.New(blocklist.Config{MaxEntries: 10_000}, blocklist.Deps{Kernel: f, Bus: bench.Conn(bus.EBPFEngine), Log: quiet()})
	list, err := bench.Conn(bus.Daemon).Blocklist(b.Context())
	require.NoError(b, err)
	defer run(b, r)()
	var times []time.Duration
	for i := range b.N {
		addr := netip.AddrFrom4([4]byte{198, 18, byte(i >> 8), byte(i)})
		entry := block(netip.PrefixFrom(addr, 32).String(), time.Hour)
		began := time.Now()
		require.NoError(b, list.Put(b.Context(), entry))
		for !drops(b, e, addr, time.Time{}) {
			if time.Since(began) > patience {
				b.Fatal("never dropped")
			}
		}
		times = append(times, time.Since(began))
		if i%100 == 99 {
			require.NoError(b, list.Remove(b.Context(), entry.Prefix))
		}
	}
	reportQuantiles(b, times)
}

// BenchmarkMillionFromFile measures the time from the start until a million entries of a file are in the kernel.
func BenchmarkMillionFromFile(b *testing.B) {
	bench, path := bustest.New(b), millionLines(b)
	var total time.Duration
	for range b.N {
		f, e := kernel(b, 1<<20, false)
		r := blocklist.New(blocklist.Config{MaxEntries: 1 << 20, Files: []string{path}}, blocklist.Deps{Kernel: f, Bus: bench.Conn(bus.EBPFEngine), Log: quiet()})
		began := time.Now()
		stop := run(b, r)
		for r.Counters()["blocklist_written"] < 1_000_000 {
			time.Sleep(10 * time.Millisecond) // there is no event to wait for; this is a measurement
		}
		total += time.Since(began)
		require.True(b, drops(b, e, netip.MustParseAddr("1.0.0.1"), time.Time{}))
		stop()
	}
	b.ReportMetric(total.Seconds()/float64(b.N), "s/million")
}

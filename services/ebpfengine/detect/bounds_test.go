package detect_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bpf/traffic"
	"github.com/ironpost/ironpost/services/ebpfengine/detect"
)

// random is a random address, most likely a new one.
func random(r *rand.Rand) netip.Addr {
	return netip.AddrFrom4([4]byte{byte(11 + r.IntN(200)), byte(r.IntN(256)), byte(r.IntN(256)), byte(r.IntN(256))})
}

func sampled(at time.Time, from netip.Addr, port int) traffic.Sample {
	return traffic.Sample{
		Time: at, Source: netip.AddrPortFrom(from, 40_000), Target: netip.AddrPortFrom(home, uint16(port)), Proto: 6, Class: traffic.TCPSYN, Bytes: 60,
	}
}

// Forged sources evict each other: memory is bounded, evictions are counted, and a source
// that goes on probing is found.
func TestForgedSourcesDoNotHideSlowScan(t *testing.T) {
	t.Parallel()
	cfg := detect.DefaultConfig()
	cfg.MaxSources = 1024
	d := detect.New(cfg)
	r := rand.New(rand.NewPCG(5, 6))
	var found []detect.Detection
	for second := range 300 {
		now := start.Add(time.Duration(second) * time.Second)
		for range 255 {
			d.Sample([]traffic.Sample{sampled(now, random(r), 80)})
		}
		if second%15 == 0 {
			d.Sample([]traffic.Sample{sampled(now, evil, 1+second)})
		}
		found = append(found, d.Observe(traffic.Window{Interface: "eth0", Start: now, End: now.Add(time.Second), Sampling: 4, Lost: 1})...)
	}
	require.NotEmpty(t, found)
	require.Equal(t, []string{"slow_scan/syn 203.0.113.66 > 198.51.100.5"}, summaries(found))
	require.Contains(t, found[len(found)-1].Lacking, detect.MissingMemory)
	require.Contains(t, found[len(found)-1].Lacking, detect.MissingSamples)
	require.LessOrEqual(t, d.Stats().Sources, cfg.MaxSources)
	require.Positive(t, d.Stats().Evicted)
}

// Thousands of scanning sources are reported a few at a time, each once before any gets an
// update, and none is left out.
func TestManyScannersAreReportedInTurn(t *testing.T) {
	t.Parallel()
	d := detect.New(detect.DefaultConfig())
	const scanners = 1000
	begun := map[string]int{}
	for second := range 30 {
		now := start.Add(time.Duration(second) * time.Second)
		if second < 5 {
			for i := range scanners {
				for p := range 3 {
					d.Sample([]traffic.Sample{sampled(now, host("10.9", i), 1+3*second+p)})
				}
			}
		}
		found := d.Observe(traffic.Window{Interface: "eth0", Start: now, End: now.Add(time.Second)})
		require.LessOrEqual(t, len(found), 64)
		for _, f := range found {
			if f.Phase == detect.PhaseBegun {
				begun[f.Actor]++
			}
		}
	}
	require.Len(t, begun, scanners)
	for actor, n := range begun {
		require.Equal(t, 1, n, actor)
	}
}

// Any number of scanners with forged addresses delay neither a flood nor the end of an attack.
func TestForgedScannersDelayNoOtherRecord(t *testing.T) {
	t.Parallel()
	d := detect.New(detect.DefaultConfig())
	var over, flood []int
	for second := range 40 {
		now := start.Add(time.Duration(second) * time.Second)
		w := traffic.Window{Interface: "eth0", Start: now, End: now.Add(time.Second)}
		for i := range 80 {
			from := host("10.9", second*80+i)
			for p := range 10 {
				d.Sample([]traffic.Sample{sampled(now.Add(-2*time.Second), from, 1+p*(i+1))})
			}
		}
		if second < 3 {
			d.Sample([]traffic.Sample{sampled(now.Add(-2*time.Second), evil, 1+4*second), sampled(now.Add(-2*time.Second), evil, 2+4*second)})
			d.Sample([]traffic.Sample{sampled(now.Add(-2*time.Second), evil, 3+4*second), sampled(now.Add(-2*time.Second), evil, 4+4*second)})
		}
		if second >= 20 {
			target := traffic.Target{Addr: home, First: now, Last: w.End, Packets: 90_000, Bytes: 9_000_000}
			target.ByClass[traffic.ICMPEcho] = 90_000
			w.Targets = append(w.Targets, target)
		}
		for _, f := range d.Observe(w) {
			if f.Actor == evil.String() && f.Phase == detect.PhaseOver {
				over = append(over, second)
			}
			if f.Name == detect.ICMPFlood && f.Phase == detect.PhaseBegun {
				flood = append(flood, second)
			}
		}
	}
	require.Len(t, over, 1)
	require.LessOrEqual(t, over[0], 36)
	require.Equal(t, []int{20}, flood)
}

func TestMemoryIsBoundedUnderForgedFlood(t *testing.T) { //nolint:paralleltest // it measures the heap of the process
	d := detect.New(detect.DefaultConfig())
	r := rand.New(rand.NewPCG(7, 8))
	fill := func(from, to int) uint64 {
		for second := from; second < to; second++ {
			now := start.Add(time.Duration(second) * time.Second)
			for range 256 {
				d.Sample([]traffic.Sample{sampled(now, random(r), 1+r.IntN(60_000))})
			}
			d.Observe(traffic.Window{Interface: "eth0", Start: now, End: now.Add(time.Second)})
		}
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	first := fill(0, 300) // the table is full
	require.LessOrEqual(t, fill(300, 900), first+first/2+8<<20)
	require.LessOrEqual(t, d.Stats().Sources, detect.DefaultConfig().MaxSources)
	d.Sample(make([]traffic.Sample, 1<<17))
	require.EqualValues(t, 1<<16, d.Stats().Overrun)
}

func TestSameWindowsGiveSameDetections(t *testing.T) {
	t.Parallel()
	run := func() string {
		s := newStage(t, withEgress)
		s.scan(traffic.TCPSYN, home, ports(300), time.Millisecond)
		s.flood(1000, 3*time.Second, func(i int) { s.tcp(traffic.TCPSYN, at(s.randomAddr(), 1024+i), at(home, 80)) })
		return fmt.Sprintf("%+v", s.finish())
	}
	first := run()
	for range 3 {
		require.Equal(t, first, run())
	}
}

func TestCountsListsEveryCount(t *testing.T) {
	t.Parallel()
	listed := detect.Counts()
	s := newStage(t, withEgress)
	s.scan(traffic.Fragment, home, ports(300), time.Millisecond)
	s.flood(2000, 6*time.Second, func(i int) {
		s.tcp(traffic.TCPSYN, at(s.randomAddr(), 1024+i), at(home, 80))
		s.connect(at(evil, 1024+i), at(home, 443))
	})
	for _, f := range s.finish() {
		for name := range f.Counts {
			require.True(t, name == "announcement" || slices.Contains(listed, name), name)
		}
		require.Contains(t, detect.Names(), f.Name)
	}
}

func TestValidateNamesInvalidKeys(t *testing.T) {
	t.Parallel()
	require.Empty(t, detect.DefaultConfig().Validate())
	problems := detect.Config{}.Validate()
	require.Len(t, problems, 15, "every key is checked: %v", problems)
	cfg := detect.DefaultConfig()
	cfg.RepeatSecs = 61
	require.Equal(t, "repeat_secs", cfg.Validate()[0].Key)
}

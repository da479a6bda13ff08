package detect_test

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bpf/traffic"
	"github.com/ironpost/ironpost/services/ebpfengine/detect"
)

// anyWindow returns a window of random numbers, which may contradict each other.
func anyWindow(r *rand.Rand, start, end time.Time, sources, targets int) traffic.Window {
	w := traffic.Window{Interface: "eth0", Start: start, End: end, Egress: r.IntN(2) == 0, Sampling: uint32(r.IntN(9)), Lost: uint64(r.IntN(9))}
	for range sources {
		src := traffic.Source{
			Addr: some(r), Packets: amount(r), Bytes: amount(r), Probes: amount(r), Replies: amount(r), Refused: amount(r), Answered: amount(r),
			Fragmented: amount(r), First: start, Last: end, HostsEstimate: r.Float64() * 100,
		}
		for c := range src.ByClass {
			src.ByClass[c] = amount(r)
		}
		for i := range src.Ports {
			src.Ports[i], src.Hosts[i] = r.Uint64(), r.Uint64()&r.Uint64()&r.Uint64()
		}
		for range r.IntN(5) {
			src.SampleHosts = append(src.SampleHosts, some(r))
			src.SamplePorts = append(src.SamplePorts, uint16(r.Uint32()))
		}
		w.Sources = append(w.Sources, src)
	}
	for range targets {
		target := traffic.Target{
			Addr: some(r), Packets: amount(r), Bytes: amount(r), SYN: amount(r), SYNACKOut: amount(r), RSTOut: amount(r), ACKCompleted: amount(r),
			SourcesEstimate: float64(amount(r)), Fragmented: amount(r), Origins: []traffic.Origin{{Proto: 17, Port: uint16(r.IntN(600)), Packets: amount(r), Size: r.Uint32N(2000), SourceBits: r.Uint32()}},
			Sources: make(traffic.Registers, 1024),
		}
		for c := range target.ByClass {
			target.ByClass[c] = amount(r)
		}
		target.TopPorts = []traffic.PortCount{{Port: uint16(r.Uint32()), Packets: amount(r)}}
		w.Targets = append(w.Targets, target)
	}
	return w
}

// amount returns a number that is often small, sometimes huge.
func amount(r *rand.Rand) uint64 { return r.Uint64N(1 << r.IntN(34)) }

func some(r *rand.Rand) netip.Addr {
	if r.IntN(3) == 0 {
		return netip.AddrFrom16([16]byte{0xfd, 15: byte(r.IntN(60))})
	}
	return netip.AddrFrom4([4]byte{10, 0, byte(r.IntN(2)), byte(r.IntN(200))})
}

func anySample(r *rand.Rand, at time.Time) traffic.Sample {
	return traffic.Sample{
		Time: at, Source: netip.AddrPortFrom(some(r), uint16(r.Uint32())), Target: netip.AddrPortFrom(some(r), uint16(r.Uint32())),
		Proto: uint8(r.Uint32()), Class: traffic.Class(r.IntN(traffic.NumClasses)), Reply: r.IntN(4) == 0, Fragment: r.IntN(4) == 0,
		Outcome: traffic.Outcome(r.IntN(3)), Outbound: r.IntN(4) == 0, Flags: uint8(r.Uint32()), Bytes: r.Uint32N(1 << 16),
	}
}

// Whatever is in windows, and whatever their clock does, detections are valid records and
// within bounds.
func TestAnyWindowsGiveValidDetections(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(11, 12))
	words := append(detect.Names(), "")
	for range 3 {
		d := detect.New(detect.DefaultConfig())
		now, total := start, 0
		check := func(found []detect.Detection) {
			total += len(found)
			for _, f := range found {
				require.NoError(t, f.Packet("web-1").Validate())
				require.Contains(t, words, f.Name)
				require.Contains(t, []string{detect.PhaseBegun, detect.PhaseOngoing, detect.PhaseOver}, f.Phase)
				if f.Actor != detect.Spoofed && f.Actor != detect.Distributed {
					_, err := netip.ParseAddr(f.Actor)
					if err != nil {
						_, err = netip.ParsePrefix(f.Actor)
					}
					require.NoError(t, err)
				}
				require.GreaterOrEqual(t, f.DurationMS, int64(0))
				require.LessOrEqual(t, len(f.Ports), 32)
				require.LessOrEqual(t, len(f.Hosts), 16)
				require.True(t, slices.IsSorted(f.Ports))
				require.LessOrEqual(t, f.Counts["spoofed_percent"], uint64(100))
				for name, n := range f.Counts {
					if n >= 1<<60 {
						require.Fail(t, "overflow", "%s: %+v", name, f)
					}
				}
			}
		}
		for range 25 {
			next := now.Add([]time.Duration{time.Second, time.Second, 0, time.Hour, -time.Minute, time.Millisecond, 30 * time.Second}[r.IntN(7)])
			for range r.IntN(200) {
				d.Sample([]traffic.Sample{anySample(r, next)})
			}
			found := d.Observe(anyWindow(r, now, next, r.IntN(40), r.IntN(20)))
			require.LessOrEqual(t, len(found), 64)
			check(found)
			now = next
		}
		check(d.Close())
		require.Zero(t, d.Stats().Running)
		require.Positive(t, total)
	}
}

// BenchmarkObserve observes a full window, with as many records as two CPUs hold. That must
// take far less than a second, the length of a window.
func BenchmarkObserve(b *testing.B) {
	r := rand.New(rand.NewPCG(13, 14))
	w := anyWindow(r, start, start.Add(time.Second), 2048, 512)
	for i := range w.Sources {
		w.Sources[i].Addr = random(r)
	}
	for i := range w.Targets {
		w.Targets[i].Addr = random(r)
	}
	d := detect.New(detect.DefaultConfig())
	samples := make([]traffic.Sample, 256)
	for b.Loop() {
		for i := range samples {
			samples[i] = sampled(w.End, random(r), 80)
		}
		d.Sample(samples)
		d.Observe(w)
		w.Start, w.End = w.End, w.End.Add(time.Second)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1e9, "of-a-second/window")
}

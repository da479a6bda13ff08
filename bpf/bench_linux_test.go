package bpf_test

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/ironpost/ironpost/bpf"
	"github.com/ironpost/ironpost/internal/testenv"
)

// Every number here is thread CPU time in BPF_PROG_TEST_RUN as a ratio to a program that only drops, measured in turn with it in this
// process. The minimum of several rounds is taken: the rest is other load on the machine.
const (
	benchRounds  = 15
	benchPackets = 400_000
)

// BenchmarkPass measures a packet of an unlisted source, up to each step of the program. Bounds: all, hot <= 3.6; all, a million
// random sources <= 9.6.
func BenchmarkPass(b *testing.B) {
	steps := []struct {
		name string
		step uint32
	}{{"parse", 1}, {"lists", 2}, {"targets", 3}, {"all", 0}}
	frames := map[string][]byte{"tcp_syn": synFrame(), "tcp_ack": ackFrame(), "udp": udpFrame(), "ipv6": synFrame6()}
	for _, kind := range []string{"tcp_syn", "tcp_ack", "udp", "ipv6"} {
		for _, s := range steps {
			b.Run(kind+"/"+s.name+"/hot", func(b *testing.B) {
				compareWithBareDrop(b, program(b, newFilter(b, 0), bpf.Options{}.LastStep(s.step)), frames[kind])
			})
		}
	}
	for _, kind := range []string{"tcp_syn", "ipv6"} {
		b.Run(kind+"/all/protected", func(b *testing.B) {
			f := newFilter(b, 0)
			require.NoError(b, f.Allow(prefixes("127.0.0.0/8", "169.254.0.0/16", "192.0.2.1/32", "::1/128", "fe80::/10", "2001:db8::2/128")))
			require.NoError(b, f.Block([]bpf.Entry{{Prefix: netip.MustParsePrefix("203.0.113.7/32")}, {Prefix: netip.MustParsePrefix("2001:db8:7::/64")}}))
			compareWithBareDrop(b, program(b, f, bpf.Options{}), frames[kind])
		})
	}
	for _, sources := range []uint32{1 << 10, 1 << 16, 1 << 20} {
		for _, s := range steps {
			b.Run(fmt.Sprintf("tcp_syn/%s/%d_sources", s.name, sources), func(b *testing.B) {
				compareWithBareDrop(b, program(b, newFilter(b, 0), bpf.Options{}.LastStep(s.step).RandomSources(sources)), frames["tcp_syn"])
			})
		}
	}
}

// BenchmarkLists measures a packet of an unlisted source with long lists. Bound: with 100,000 addresses and 10,000 networks <= 2 times
// the pass with empty lists, both for a million random sources and for one.
func BenchmarkLists(b *testing.B) {
	for _, size := range []int{0, 110_000, 1_000_000} {
		for _, sources := range []uint32{0, 1 << 20} {
			b.Run(fmt.Sprintf("%d_entries/%d_sources", size, max(1, sources)), func(b *testing.B) {
				f := newFilter(b, max(size, 10_000))
				fill(b, f, size)
				compareWithBareDrop(b, program(b, f, bpf.Options{}.RandomSources(sources)), synFrame())
			})
		}
	}
}

// BenchmarkDrop measures a packet of a listed source. Bound: <= 4.
func BenchmarkDrop(b *testing.B) {
	for _, prefix := range []string{"10.0.0.1/32", "10.0.0.0/24", "2001:db8::1/128", "2001:db8::/64"} {
		b.Run(prefix, func(b *testing.B) {
			f := newFilter(b, 0)
			p := netip.MustParsePrefix(prefix)
			require.NoError(b, f.Allow(prefixes("10.9.9.9/32", "2001:db8:9::9/128", "10.8.0.0/16")))
			require.NoError(b, f.Block([]bpf.Entry{{Prefix: p, Expires: time.Now().Add(time.Hour)}}))
			frame := synFrame()
			if p.Addr().Is6() {
				frame = synFrame6()
			}
			compareWithBareDrop(b, program(b, f, bpf.Options{}), frame)
		})
	}
}

// BenchmarkBesideXDPFilter compares with Debian's xdp-filter with a deny list of addresses. Bound: <= 1.2 of it, pass and drop.
func BenchmarkBesideXDPFilter(b *testing.B) {
	for _, listed := range []bool{false, true} {
		name := map[bool]string{false: "pass", true: "drop"}[listed]
		b.Run(name, func(b *testing.B) {
			f := newFilter(b, 0)
			other := xdpFilter(b)
			if listed {
				require.NoError(b, f.Block([]bpf.Entry{{Prefix: netip.MustParsePrefix("10.0.0.1/32")}}))
				other.deny(b, netip.MustParseAddr("10.0.0.1"))
			}
			engine := program(b, f, bpf.Options{})
			times := minTimes(b, synFrame(), other.program, engine.XDP())
			b.ReportMetric(times[1]/times[0], "x_xdp_filter")
		})
	}
}

// BenchmarkBlock measures blocking and unblocking one prefix beside 5,000 others, as a ratio to putting one key into a bare map and
// removing it.
func BenchmarkBlock(b *testing.B) {
	bare, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Hash, KeySize: 8, ValueSize: 32, MaxEntries: 10_000, Flags: unix.BPF_F_NO_PREALLOC})
	usable(b, "bpf", err)
	b.Cleanup(func() { require.NoError(b, bare.Close()) })
	for _, size := range []int{10_000, 1 << 20} {
		for _, prefix := range []string{"10.0.0.1/32", "10.0.0.0/24", "10.0.0.0/8", "0.0.0.0/0"} {
			b.Run(fmt.Sprintf("%d_room/%s", size, prefix), func(b *testing.B) {
				f := newFilter(b, size)
				fill(b, f, 5000)
				entry := bpf.Entry{Prefix: netip.MustParsePrefix(prefix)}
				times := minRunTimes(b, func() {
					require.NoError(b, bare.Put(make([]byte, 8), make([]byte, 32)))
					require.NoError(b, bare.Delete(make([]byte, 8)))
				}, func() {
					require.NoError(b, f.Block([]bpf.Entry{entry}))
					require.NoError(b, f.Unblock([]netip.Prefix{entry.Prefix}))
				})
				b.ReportMetric(times[1]/times[0], "x_bare_map")
			})
		}
	}
}

func newFilter(t testing.TB, size int) *bpf.Filter {
	t.Helper()
	f, err := bpf.OpenFilter(bpf.FilterOptions{MaxEntries: size})
	usable(t, "bpf", err)
	t.Cleanup(func() { require.NoError(t, f.Close()) })
	return f
}

func program(t testing.TB, f *bpf.Filter, opts bpf.Options) *bpf.Engine {
	t.Helper()
	opts.Filter, opts.Interface = f, "bench0"
	e, err := bpf.Load(opts)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, e.Close()) })
	return e
}

// compareWithBareDrop reports the time of e as a ratio to a bare XDP_DROP.
func compareWithBareDrop(b *testing.B, e *bpf.Engine, frame []byte) {
	b.Helper()
	times := minTimes(b, frame, bareDrop(b), e.XDP())
	b.ReportMetric(times[1]/times[0], "x_bare_drop")
}

// minTimes returns the minimum time of each program over all rounds, in nanoseconds per packet.
func minTimes(b *testing.B, frame []byte, programs ...*ebpf.Program) []float64 {
	b.Helper()
	runs := make([]func(), len(programs))
	for i, p := range programs {
		runs[i] = func() {
			_, err := p.Run(&ebpf.RunOptions{Data: frame, Repeat: benchPackets})
			require.NoError(b, err)
		}
	}
	times := minRunTimes(b, runs...)
	for i := range times {
		times[i] /= benchPackets
	}
	if os.Getenv("IRONPOST_BENCH_NS") != "" {
		b.Log(times)
	}
	return times
}

// minRunTimes runs each in turn and returns the minimum time of each over all rounds, in nanoseconds.
func minRunTimes(b *testing.B, runs ...func()) []float64 {
	b.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	times := make([]float64, len(runs))
	for i := range times {
		times[i] = math.Inf(1)
	}
	for range benchRounds {
		for i, run := range runs {
			start := threadTime(b)
			run()
			times[i] = min(times[i], float64(threadTime(b)-start))
		}
	}
	b.ReportMetric(0, "ns/op")
	return times
}

func threadTime(b testing.TB) int64 {
	b.Helper()
	var ts unix.Timespec
	require.NoError(b, unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts))
	return ts.Nano()
}

func bareDrop(b testing.TB) *ebpf.Program {
	b.Helper()
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type: ebpf.XDP, License: "Dual BSD/GPL", Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 1), asm.Return()},
	})
	usable(b, "bpf", err)
	b.Cleanup(func() { require.NoError(b, p.Close()) })
	return p
}

// fill blocks size random prefixes, none of which contains 10.0.0.1: one in eleven is a network, four of five of those a /24 and the
// others /16 to /23, as in feeds. Of random IPv4 sources one in seven shares a /16 with one of 10,000 networks, and some are listed.
func fill(b *testing.B, f *bpf.Filter, size int) {
	b.Helper()
	r := rand.New(rand.NewPCG(1, 1))
	entries := make([]bpf.Entry, 0, size)
	for len(entries) < size {
		var a [4]byte
		binary.BigEndian.PutUint32(a[:], r.Uint32())
		bits := 32
		if len(entries)%11 == 0 {
			bits = 24
			if r.IntN(5) == 0 {
				bits = 16 + r.IntN(8)
			}
		}
		p := netip.PrefixFrom(netip.AddrFrom4(a), bits).Masked()
		if p.Contains(netip.AddrFrom4([4]byte{10, 0, 0, 1})) {
			continue
		}
		entries = append(entries, bpf.Entry{Prefix: p})
	}
	require.NoError(b, f.Block(entries))
}

type xdpFilterProgram struct {
	program *ebpf.Program
	addrs   [2]*ebpf.Map // IPv4, IPv6
}

// xdpFilter loads the object of Debian's xdp-tools that allows all but listed addresses.
func xdpFilter(b testing.TB) xdpFilterProgram {
	b.Helper()
	paths := []string{"/usr/lib/x86_64-linux-gnu/bpf/xdpfilt_alw_ip.o", "/usr/lib/aarch64-linux-gnu/bpf/xdpfilt_alw_ip.o", "/usr/lib/bpf/xdpfilt_alw_ip.o"}
	at := slices.IndexFunc(paths, func(p string) bool { _, err := os.Stat(p); return err == nil })
	if at < 0 {
		testenv.Require(b, "xdp-tools", os.ErrNotExist)
	}
	spec, err := ebpf.LoadCollectionSpec(paths[at])
	require.NoError(b, err)
	for _, m := range spec.Maps {
		m.Pinning = ebpf.PinNone
	}
	c, err := ebpf.NewCollection(spec)
	require.NoError(b, err)
	b.Cleanup(c.Close)
	for name, p := range c.Programs {
		if p.Type() == ebpf.XDP {
			return xdpFilterProgram{p, [2]*ebpf.Map{c.Maps["filter_ipv4"], c.Maps["filter_ipv6"]}}
		}
		b.Log(name)
	}
	b.Fatal("no program in " + paths[at])
	return xdpFilterProgram{}
}

// deny lists an address as a source (xdp-filter's flag 1).
func (f xdpFilterProgram) deny(b testing.TB, a netip.Addr) {
	b.Helper()
	cpus, err := ebpf.PossibleCPU()
	require.NoError(b, err)
	values := make([]uint64, cpus)
	for i := range values {
		values[i] = 1
	}
	family := 0
	if a.Is6() {
		family = 1
	}
	require.NoError(b, f.addrs[family].Put(a.AsSlice(), values))
}

package bpf_test

import (
	"context"
	"encoding/binary"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/ironpost/ironpost/bpf"
	"github.com/ironpost/ironpost/bpf/traffic"
)

// packet is a TCP or UDP frame over IPv4.
type packet struct {
	src, dst     string
	sport, dport int
	flags        byte
	udp          bool
}

func (p packet) frame() []byte {
	f := tcpFrame(p.flags)
	if p.udp {
		f = udpFrame()
	}
	copy(f[26:], netip.MustParseAddr(p.src).AsSlice())
	copy(f[30:], netip.MustParseAddr(p.dst).AsSlice())
	binary.BigEndian.PutUint16(f[34:], uint16(p.sport))
	binary.BigEndian.PutUint16(f[36:], uint16(p.dport))
	return f
}

func run(t testing.TB, e *bpf.Engine, at time.Time, packets ...packet) {
	t.Helper()
	for _, p := range packets {
		v, err := e.Run(p.frame(), at)
		require.NoError(t, err)
		require.Equal(t, bpf.Pass, v)
	}
}

// oneCPU keeps the rest of the test on one CPU. The thread is never unlocked, so it ends with the test.
func oneCPU(t testing.TB) {
	t.Helper()
	runtime.LockOSThread()
	var one unix.CPUSet
	one.Set(0)
	require.NoError(t, unix.SchedSetaffinity(0, &one))
}

func collect(t testing.TB, e *bpf.Engine, at time.Time) traffic.Window {
	t.Helper()
	w, err := e.Collect(at)
	require.NoError(t, err)
	return w
}

func source(t testing.TB, w traffic.Window, addr string) traffic.Source {
	t.Helper()
	for _, s := range w.Sources {
		if s.Addr == netip.MustParseAddr(addr) {
			return s
		}
	}
	require.Fail(t, "no source "+addr)
	return traffic.Source{}
}

func target(t testing.TB, w traffic.Window, addr string) traffic.Target {
	t.Helper()
	for _, s := range w.Targets {
		if s.Addr == netip.MustParseAddr(addr) {
			return s
		}
	}
	require.Fail(t, "no target "+addr)
	return traffic.Target{}
}

// The records of the source and the target hold a scan's ports, hosts, class and responses.
func TestScanIsRecorded(t *testing.T) {
	t.Parallel()
	e, _ := replay(t)
	for i := range 1000 {
		run(t, e, start.Add(time.Duration(i)*time.Millisecond),
			packet{src: "203.0.113.9", dst: "192.0.2.1", sport: 40000, dport: i + 1, flags: 2},
			packet{src: "192.0.2.1", dst: "203.0.113.9", sport: i + 1, dport: 40000, flags: 0x14})
	}
	w := collect(t, e, start.Add(time.Second))
	s := source(t, w, "203.0.113.9")
	require.EqualValues(t, 1000, s.Packets, "packets before promotion are included")
	require.InDelta(t, 984, float64(s.ByClass[traffic.TCPSYN]), 0.5)
	require.Equal(t, s.ByClass[traffic.TCPSYN], s.Probes)
	require.InEpsilon(t, 1000.0, s.PortsEstimate, 0.1)
	require.InDelta(t, 1, s.HostsEstimate, 0.1)
	require.EqualValues(t, 984, s.Refused)
	require.Zero(t, s.Answered)
	require.Len(t, s.SamplePorts, 8)
	require.Equal(t, []netip.Addr{netip.MustParseAddr("192.0.2.1")}, s.SampleHosts)
	require.Equal(t, start.Add(16*time.Millisecond), s.First.UTC())
	responses := source(t, w, "192.0.2.1")
	require.Zero(t, responses.Probes, "the target's RST are not probes")
	hit := target(t, w, "192.0.2.1")
	require.EqualValues(t, 1000, hit.SYN)
	require.EqualValues(t, 1000, hit.RSTOut)
	require.Zero(t, hit.ACKCompleted)
	require.InDelta(t, 1, hit.SourcesEstimate, 0.1)
	require.True(t, w.Egress)
	require.Equal(t, start, w.Start.UTC())
	require.EqualValues(t, 2000, w.Totals.Packets)
}

// A UDP sweep of hosts counts as probes; replies to a client's requests do not.
func TestRepliesAreNotProbes(t *testing.T) {
	t.Parallel()
	e, _ := replay(t)
	for i := range 200 {
		run(t, e, start,
			packet{src: "203.0.113.9", dst: netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}).String(), sport: 4000, dport: 161, udp: true},
			packet{src: "192.0.2.200", dst: "198.51.100.53", sport: 20000 + i, dport: 53, udp: true},
			packet{src: "198.51.100.53", dst: "192.0.2.200", sport: 53, dport: 20000 + i, udp: true})
	}
	w := collect(t, e, start.Add(time.Second))
	sweep, dns := source(t, w, "203.0.113.9"), source(t, w, "198.51.100.53")
	require.InEpsilon(t, 184.0, sweep.HostsEstimate, 0.1)
	require.InDelta(t, 1, sweep.PortsEstimate, 0.1)
	require.Zero(t, dns.Probes)
	require.EqualValues(t, 184, dns.Replies)
	require.Empty(t, target(t, w, "192.0.2.200").Origins, "all of it was requested")
}

// Unsolicited packets count as reflected, also beside replies of the same server.
func TestUnsolicitedPacketsCountAsReflected(t *testing.T) {
	t.Parallel()
	e, _ := replay(t)
	for i := range 100 {
		run(t, e, start,
			packet{src: "192.0.2.200", dst: "198.51.100.53", sport: 20000 + i, dport: 53, udp: true},
			packet{src: "198.51.100.53", dst: "192.0.2.200", sport: 53, dport: 20000 + i, udp: true},
			packet{src: "198.51.100.53", dst: "192.0.2.200", sport: 53, dport: 40000 + i, udp: true},
			packet{src: "203.0.113.123", dst: "192.0.2.200", sport: 123, dport: 80, udp: true})
	}
	hit := target(t, collect(t, e, start.Add(time.Second)), "192.0.2.200")
	require.Len(t, hit.Origins, 2)
	for _, o := range hit.Origins {
		require.Contains(t, []uint16{53, 123}, o.Port)
		require.EqualValues(t, 17, o.Proto)
		require.InDelta(t, 100, float64(o.Packets), 3, "cells may be shared by chance")
		require.InDelta(t, 1, o.Sources(), 0.1)
		require.EqualValues(t, 42, o.Size, "of the headers; the rest is padding")
	}
}

// Five ports and a protocol are told apart, beside packets from random ports.
func TestOriginsAreToldApart(t *testing.T) {
	t.Parallel()
	e, _ := replay(t)
	gre := packet{src: "203.0.113.9", dst: "192.0.2.1", udp: true}.frame()
	gre[14+9] = 47
	for i := range 600 {
		for n, port := range []int{5093, 10074, 9999, 37021, 4500} {
			run(t, e, start.Add(time.Duration(i)*time.Millisecond), packet{
				src: netip.AddrFrom4([4]byte{203, 0, byte(n), byte(i % 50)}).String(), dst: "192.0.2.1", sport: port, dport: 20000 + i, udp: true,
			})
		}
		run(t, e, start.Add(time.Duration(i)*time.Millisecond), packet{src: "203.0.113.77", dst: "192.0.2.1", sport: 1024 + 97*i, dport: 80, udp: true})
		_, err := e.Run(gre, start.Add(time.Duration(i)*time.Millisecond))
		require.NoError(t, err)
	}
	hit := target(t, collect(t, e, start.Add(time.Second)), "192.0.2.1")
	found := map[uint16]traffic.Origin{}
	for _, o := range hit.Origins {
		if o.Packets > 300 {
			found[o.Port] = o
		}
	}
	require.Len(t, found, 6, "%+v", hit.Origins)
	require.EqualValues(t, 47, found[0].Proto)
	require.InDelta(t, 1, found[0].Sources(), 0.1)
	require.Greater(t, found[5093].Sources(), 25.0)
	packets, lasting := hit.Burst()
	require.InDelta(t, 600, float64(lasting.Milliseconds()), 70)
	require.InEpsilon(t, 4200.0, packets, 0.1)
	require.Equal(t, start.Add(599*time.Millisecond), hit.Last.UTC())
}

// A tunnel's packets are replies to each other.
func TestRepliesOfOtherProtocolsAreCounted(t *testing.T) {
	t.Parallel()
	e, _ := replay(t)
	out, in := packet{src: "192.0.2.1", dst: "203.0.113.9", udp: true}.frame(), packet{src: "203.0.113.9", dst: "192.0.2.1", udp: true}.frame()
	out[14+9], in[14+9] = 50, 50
	for range 100 {
		for _, frame := range [][]byte{out, in} {
			_, err := e.Run(frame, start)
			require.NoError(t, err)
		}
	}
	hit := target(t, collect(t, e, start.Add(time.Second)), "192.0.2.1")
	require.EqualValues(t, 100, hit.OtherReplies)
	require.Empty(t, hit.Origins)
}

// The estimate is as good for consecutive ports as for others.
func TestConsecutivePortsAreEstimated(t *testing.T) {
	t.Parallel()
	const scanners, tried, gate = 16, 300, 16
	e, _ := replay(t)
	addr := func(i int) string { return netip.AddrFrom4([4]byte{203, 0, 113, byte(i)}).String() }
	for i := range scanners {
		for port := range tried {
			run(t, e, start, packet{src: addr(i), dst: "192.0.2.1", sport: 40000, dport: 1 + i*4001 + port, flags: 2})
		}
	}
	w, sum := collect(t, e, start.Add(time.Second)), 0.0
	for i := range scanners {
		estimate := source(t, w, addr(i)).PortsEstimate
		require.InEpsilon(t, tried-gate, estimate, 0.1)
		sum += estimate
	}
	require.InEpsilon(t, tried-gate, sum/scanners, 0.025, "the mean is off")
}

func TestAnomalousFlagsPromoteAtOnce(t *testing.T) {
	t.Parallel()
	for flags, class := range map[byte]traffic.Class{1: traffic.TCPFIN, 0: traffic.TCPNull, 0x29: traffic.TCPXmas, 3: traffic.TCPOther} {
		e, _ := replay(t)
		run(t, e, start, packet{src: "203.0.113.9", dst: "192.0.2.1", dport: 22, flags: flags})
		s := source(t, collect(t, e, start), "203.0.113.9")
		require.EqualValues(t, 1, s.ByClass[class])
		require.Equal(t, []uint16{22}, s.SamplePorts)
	}
}

// A spoofed flood promotes hardly any source; the number of sources is estimated within 10 %.
func TestSpoofedFloodPromotesHardlyAnySource(t *testing.T) {
	t.Parallel()
	f := newFilter(t, 0)
	e := program(t, f, bpf.Options{Gate: 16}.RandomSources(1<<18))
	oneCPU(t) // all CPUs draw the same sources
	_, err := e.XDP().Run(&ebpf.RunOptions{Data: synFrame(), Repeat: 1_000_000})
	require.NoError(t, err)
	w := collect(t, e, time.Now())
	require.LessOrEqual(t, len(w.Sources), 2, "of 262,144")
	require.Less(t, w.Totals.Sampled, uint64(2000), "the token bucket holds")
	require.Equal(t, uint64(1_000_000), w.Totals.Packets)
	distinct := 262144 * (1 - 0.022) // of a million draws, 1-exp(-3.8) of them
	require.InEpsilon(t, distinct, w.SourcesEstimate, 0.1)
	require.InEpsilon(t, distinct, target(t, w, "192.0.2.1").SourcesEstimate, 0.1)
	require.EqualValues(t, 1_000_000, target(t, w, "192.0.2.1").SYN)
	require.Greater(t, w.Sampling, uint32(100))
}

// A heavy source is promoted within a spoofed flood.
func TestHeavySourceIsPromotedWithinAFlood(t *testing.T) {
	t.Parallel()
	e, _ := replay(t)
	for i := range 40_000 {
		src := netip.AddrFrom4([4]byte{byte(i%200 + 1), byte(i >> 8), byte(i), byte(i * 7)}).String()
		run(t, e, start, packet{src: src, dst: "192.0.2.1", dport: 80, flags: 2})
		if i%100 == 0 {
			run(t, e, start, packet{src: "203.0.113.9", dst: "192.0.2.1", dport: 80, flags: 2})
		}
	}
	w := collect(t, e, start.Add(time.Second))
	require.InEpsilon(t, 400.0, float64(source(t, w, "203.0.113.9").Packets), 0.1)
	require.Less(t, len(w.Sources), 5, "%d of 40,000 light ones", len(w.Sources)-1)
}

// Only the ACK that completes a handshake is counted as such.
func TestCompletedHandshakesAreCounted(t *testing.T) {
	t.Parallel()
	e, _ := replay(t)
	for i := range 100 {
		open := packet{src: "203.0.113.9", dst: "192.0.2.1", sport: 30000 + i, dport: 443, flags: 2}
		back := packet{src: "192.0.2.1", dst: "203.0.113.9", sport: 443, dport: 30000 + i, flags: 0x12}
		run(t, e, start, open, back)
		if i < 60 {
			open.flags = 0x10
			run(t, e, start, open, open, open)
		}
	}
	hit := target(t, collect(t, e, start), "192.0.2.1")
	require.EqualValues(t, 100, hit.SYN)
	require.EqualValues(t, 100, hit.SYNACKOut)
	require.EqualValues(t, 60, hit.ACKCompleted)
	require.Equal(t, []traffic.PortCount{{Port: 443, Packets: 280}}, hit.TopPorts)
}

// A window counts its own packets only; a promoted source stays promoted until it was silent for some windows.
func TestWindowsDoNotOverlap(t *testing.T) {
	t.Parallel()
	e, _ := replay(t)
	probe := packet{src: "203.0.113.9", dst: "192.0.2.1", dport: 80, flags: 2}
	for range 20 {
		run(t, e, start, probe)
	}
	require.EqualValues(t, 20, source(t, collect(t, e, start.Add(time.Second)), "203.0.113.9").Packets)
	run(t, e, start, probe)
	w := collect(t, e, start.Add(2*time.Second))
	require.EqualValues(t, 1, source(t, w, "203.0.113.9").Packets, "one packet of a promoted source")
	require.EqualValues(t, 1, w.Totals.Packets)
	require.Equal(t, start.Add(time.Second), w.Start)
	for range 3 {
		require.Empty(t, collect(t, e, start).Sources)
	}
	run(t, e, start, probe)
	w = collect(t, e, start)
	require.Empty(t, w.Sources, "the record was freed")
	require.Len(t, w.Targets, 1)
}

// When all records are in use, packets are still counted, and so are those without room for a record.
func TestPacketsWithoutRoomForARecordAreCounted(t *testing.T) {
	t.Parallel()
	e, _ := replay(t)
	for i := range 5000 {
		run(t, e, start, packet{src: netip.AddrFrom4([4]byte{20, 0, byte(i >> 8), byte(i)}).String(), dst: netip.AddrFrom4([4]byte{30, 0, byte(i >> 8), byte(i)}).String(), flags: 1})
	}
	w := collect(t, e, start)
	require.EqualValues(t, 5000, w.Totals.Packets)
	require.LessOrEqual(t, len(w.Sources), 1024)
	require.Greater(t, len(w.Sources), 900)
	require.EqualValues(t, 5000-len(w.Sources), w.Totals.SourcesRefused)
	require.EqualValues(t, 5000-len(w.Targets), w.Totals.TargetsRefused)
}

// Each (source, target, port, class) is sampled once in 128 windows.
func TestNewConversationsAreSampled(t *testing.T) {
	t.Parallel()
	e, _ := replay(t)
	for i := range 30 {
		at := start.Add(time.Duration(i) * time.Minute)
		p := packet{src: "203.0.113.9", dst: "192.0.2.1", sport: 40000, dport: i + 1, flags: 0xc2}
		run(t, e, at, p, p, p)
		_ = collect(t, e, at)
	}
	samples, err := e.Drain()
	require.NoError(t, err)
	require.Len(t, samples, 30)
	require.Equal(t, traffic.Sample{
		Time: start.Add(29 * time.Minute).Local(), Source: netip.MustParseAddrPort("203.0.113.9:40000"),
		Target: netip.MustParseAddrPort("192.0.2.1:30"), Proto: 6, Flags: 0xc2, Class: traffic.TCPSYN, Bytes: 54,
	}, samples[29])
	for range 128 {
		_ = collect(t, e, start)
	}
	run(t, e, start.Add(time.Hour), packet{src: "203.0.113.9", dst: "192.0.2.1", sport: 40000, dport: 1, flags: 2})
	samples, err = e.Drain()
	require.NoError(t, err)
	require.Len(t, samples, 1)
}

// Samples that do not fit into the ring buffer are counted as lost, and nothing else changes.
func TestSamplesLostInAFullRingAreCounted(t *testing.T) {
	t.Parallel()
	f := newFilter(t, 0)
	e := program(t, f, bpf.Options{RingBufferSize: 4096, SamplesPerSecond: 1 << 20})
	for i := range 200 {
		run(t, e, start, packet{src: "203.0.113.9", dst: "192.0.2.1", dport: i + 1, flags: 2})
	}
	w := collect(t, e, time.Now())
	require.EqualValues(t, 200, w.Totals.Packets)
	require.EqualValues(t, 200, w.Totals.Candidates)
	require.NotZero(t, w.Lost)
	require.EqualValues(t, 200, w.Totals.Sampled+w.Lost)
}

func TestSamplesAreDelivered(t *testing.T) {
	t.Parallel()
	f := newFilter(t, 0)
	e := program(t, f, bpf.Options{})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	run(t, e, start, packet{src: "203.0.113.9", dst: "192.0.2.1", dport: 22, flags: 2})
	var got []traffic.Sample
	require.NoError(t, e.Samples(ctx, func(s []traffic.Sample) {
		got = append(got, s...)
		cancel()
	}))
	require.Len(t, got, 1)
	require.WithinDuration(t, time.Now(), got[0].Time, 10*time.Second)
}

// The egress program counts responses in the XDP program's records.
func TestEgressProgramCountsResponses(t *testing.T) {
	t.Parallel()
	oneCPU(t)
	f := newFilter(t, 0)
	e := program(t, f, bpf.Options{Gate: 2})
	out, err := e.Egress()
	usable(t, "tcx", err)
	require.NoError(t, e.SetEgressAttached(true))
	send := func(p packet) {
		_, err := out.Run(&ebpf.RunOptions{Data: p.frame()})
		require.NoError(t, err)
	}
	for i, flags := range []byte{0x12, 0x12, 0x12, 0x12, 0x12, 0x14, 0x14, 0x14, 0x04, 0x04} {
		run(t, e, start, packet{src: "203.0.113.9", dst: "192.0.2.1", sport: 4000, dport: i, flags: 2})
		send(packet{src: "192.0.2.1", dst: "203.0.113.9", sport: i, dport: 4000, flags: flags})
		send(packet{src: "192.0.2.1", dst: "198.51.100.53", sport: 5000 + i, dport: 53, udp: true})
		run(t, e, start, packet{src: "198.51.100.53", dst: "192.0.2.1", sport: 53, dport: 5000 + i, udp: true})
	}
	w := collect(t, e, time.Now())
	require.True(t, w.Egress)
	scanner, dns := source(t, w, "203.0.113.9"), source(t, w, "198.51.100.53")
	require.EqualValues(t, 3, scanner.Answered, "two responses were before promotion")
	require.EqualValues(t, 5, scanner.Refused)
	require.EqualValues(t, 2, scanner.RSTWithoutACK)
	require.Zero(t, dns.Probes)
	require.EqualValues(t, 8, dns.Replies)
	hit := target(t, w, "192.0.2.1")
	require.EqualValues(t, 5, hit.SYNACKOut)
	require.EqualValues(t, 5, hit.RSTOut)
	require.EqualValues(t, 2, hit.RSTWithoutACK)
}

func TestEnginesShareOneFilter(t *testing.T) {
	t.Parallel()
	f := newFilter(t, 0)
	a, b := program(t, f, bpf.Options{}), program(t, f, bpf.Options{})
	block(t, f, "192.0.2.7/32")
	require.Equal(t, bpf.Drop, verdict(t, a, "192.0.2.7", start))
	require.Equal(t, bpf.Drop, verdict(t, b, "192.0.2.7", start))
	entries, err := f.Blocked()
	require.NoError(t, err)
	require.EqualValues(t, 2, entries[0].Packets)
	require.EqualValues(t, 1, collect(t, a, time.Now()).Totals.Dropped.Packets)
}

// seesEgress returns an engine whose time is start plus the windows collected, and a function that runs an outgoing packet.
func seesEgress(t testing.TB) (*bpf.Engine, func(at time.Time, frame []byte)) {
	t.Helper()
	f, err := bpf.OpenFilter(bpf.FilterOptions{Replay: true})
	usable(t, "bpf", err)
	t.Cleanup(func() { require.NoError(t, f.Close()) })
	e, err := bpf.Load(bpf.Options{Interface: "replay0", Filter: f, Replay: true, OneWay: true})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, e.Close()) })
	_, err = e.Egress()
	usable(t, "tcx", err)
	require.NoError(t, e.SetEgressAttached(true))
	return e, func(at time.Time, frame []byte) { require.NoError(t, e.RunEgress(frame, at)) }
}

// The sender of a forged SYN gets no SYN-ACK, so the number that its ACK acknowledges is wrong: no handshake was completed.
func TestForgedACKCompletesNoHandshake(t *testing.T) {
	t.Parallel()
	e, send := seesEgress(t)
	connect := func(sport int, acknowledged uint32) (completed uint64, outcomes []traffic.Outcome) {
		run(t, e, start, packet{src: "203.0.113.9", dst: "192.0.2.1", sport: sport, dport: 443, flags: 2})
		back := packet{src: "192.0.2.1", dst: "203.0.113.9", sport: 443, dport: sport, flags: 0x12}.frame()
		binary.BigEndian.PutUint32(back[38:], 7000)
		send(start, back)
		end := packet{src: "203.0.113.9", dst: "192.0.2.1", sport: sport, dport: 443, flags: 0x10}.frame()
		binary.BigEndian.PutUint32(end[42:], acknowledged)
		verdict, err := e.Run(end, start)
		require.NoError(t, err)
		require.Equal(t, bpf.Pass, verdict)
		samples, err := e.Drain()
		require.NoError(t, err)
		for _, s := range samples {
			outcomes = append(outcomes, s.Outcome)
		}
		return target(t, collect(t, e, start), "192.0.2.1").ACKCompleted, outcomes
	}
	completed, outcomes := connect(30000, 7000)
	require.Zero(t, completed)
	require.NotContains(t, outcomes, traffic.Answered)
	completed, outcomes = connect(30001, 7001)
	require.EqualValues(t, 1, completed)
	require.Contains(t, outcomes, traffic.Answered)
}

// The SYN-ACKs of a flood to an open port hide no scan of another source, and forget no conversation of this machine.
func TestSYNFloodHidesNoScan(t *testing.T) {
	t.Parallel()
	e, send := seesEgress(t)
	const windows, perWindow, conversations = 40, 2500, 200
	for i := range conversations {
		send(start, packet{src: "192.0.2.1", dst: "198.51.100.53", sport: 20000 + i, dport: 53, udp: true}.frame())
	}
	for n := range windows * perWindow {
		at := start.Add(time.Duration(n) * time.Second / perWindow)
		src := netip.AddrFrom4([4]byte{100, byte(n >> 16), byte(n >> 8), byte(n)}).String()
		send(at, packet{src: "192.0.2.1", dst: src, sport: 443, dport: 40000, flags: 0x12}.frame())
		if n%perWindow == perWindow-1 {
			collect(t, e, at)
		}
	}
	at := start.Add(windows * time.Second)
	for i := range 1000 {
		run(t, e, at,
			packet{src: "203.0.113.9", dst: "192.0.2.1", sport: 4000, dport: i + 1, udp: true},
			packet{src: "203.0.113.10", dst: "192.0.2.1", sport: 4000, dport: i + 1, flags: 0x10},
			packet{src: "198.51.100.53", dst: "192.0.2.1", sport: 53, dport: 20000 + i%conversations, udp: true})
	}
	w := collect(t, e, at.Add(time.Second))
	for _, scanner := range []string{"203.0.113.9", "203.0.113.10"} {
		require.LessOrEqual(t, source(t, w, scanner).Replies, uint64(3), scanner)
	}
	require.Zero(t, source(t, w, "198.51.100.53").Probes, "all of it was requested")
}

// What may be a flood by this machine is counted by target: no answers, no connections that were completed. An ACK without a SYN-ACK, and one of another
// number, completes none.
func TestEgressProgramCountsFloods(t *testing.T) {
	t.Parallel()
	e, send := seesEgress(t)
	const local, remote = "192.0.2.1", "203.0.113.9"
	for i := range 100 {
		at := start.Add(time.Duration(i) * time.Millisecond)
		send(at, packet{src: local, dst: remote, sport: 40_000 + i, dport: 80, flags: 2}.frame())
		if i%2 == 0 { // every second SYN is answered, and the ACK of every second of these is right
			answer := packet{src: remote, dst: local, sport: 80, dport: 40_000 + i, flags: 0x12}.frame()
			binary.BigEndian.PutUint32(answer[38:], 7000)
			binary.BigEndian.PutUint32(answer[42:], 1)
			verdict, err := e.Run(answer, at)
			require.NoError(t, err)
			require.Equal(t, bpf.Pass, verdict)
		}
		ack := packet{src: local, dst: remote, sport: 40_000 + i, dport: 80, flags: 0x10}.frame()
		ack[41] = 1
		if i%4 == 0 {
			binary.BigEndian.PutUint32(ack[42:], 7001)
		}
		send(at, ack)
		send(at, ack)
		send(at, packet{src: local, dst: remote, sport: 4000, dport: 53, udp: true}.frame())
		send(at, packet{src: local, dst: remote, sport: 80, dport: 40_000 + i, flags: 0x12}.frame())
		send(at, packet{src: local, dst: remote, sport: 80, dport: 40_000 + i, flags: 0x14}.frame())
	}
	w := collect(t, e, start.Add(time.Second))
	require.Len(t, w.Outgoing, 1)
	got := w.Outgoing[0]
	require.Equal(t, remote, got.Addr.String())
	require.Equal(t, []uint64{100, 25, 100, 0}, []uint64{got.SYN, got.Completed, got.UDP, got.ICMP})
	require.Equal(t, local+":4000", got.Sender.String())
	require.InDelta(t, 1, got.Senders.Estimate(), 0.1)
	require.ElementsMatch(t, []traffic.PortCount{{Port: 80, Packets: 100}, {Port: 53, Packets: 100}}, got.TopPorts)
	require.Empty(t, collect(t, e, start.Add(2*time.Second)).Outgoing)
	require.Empty(t, collect(t, e, start.Add(3*time.Second)).Outgoing)
}

// A target of many packets is counted beside thousands of others.
func TestBusiestOutgoingTargetIsCounted(t *testing.T) {
	t.Parallel()
	e, send := seesEgress(t)
	for i := range 20_000 {
		at := start.Add(time.Duration(i) * time.Microsecond)
		send(at, packet{src: "192.0.2.1", dst: netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}).String(), sport: 40_000, dport: 53, udp: true}.frame())
		if i >= 10_000 {
			send(at, packet{src: "192.0.2.1", dst: "203.0.113.9", sport: 40_000, dport: 80, udp: true}.frame())
		}
	}
	w := collect(t, e, start.Add(time.Second))
	require.LessOrEqual(t, len(w.Outgoing), 256)
	require.Equal(t, "203.0.113.9", w.Outgoing[0].Addr.String())
	require.Greater(t, w.Outgoing[0].UDP, uint64(9000))
}

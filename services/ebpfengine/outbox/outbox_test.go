package outbox_test

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bpf/traffic"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/services/ebpfengine/detect"
	"github.com/ironpost/ironpost/services/ebpfengine/outbox"
)

var start = time.Date(2026, 3, 14, 15, 9, 26, 0, time.UTC)

func at(second int) time.Time { return start.Add(time.Duration(second) * time.Second) }

// window returns the window of second n, with 10 packets and one busy source.
func window(name string, n int) *traffic.Window {
	w := &traffic.Window{Interface: name, Start: at(n), End: at(n + 1), Sampling: 4, Lost: 1, SourcesEstimate: float64(n)}
	w.Totals.Packets, w.Totals.Bytes = 10, 600
	w.Totals.ByClass[traffic.TCPSYN] = 10
	w.Sources = []traffic.Source{{Addr: netip.MustParseAddr("192.0.2.7"), Packets: 9, Bytes: 540}}
	return w
}

func samples(n int) []traffic.Sample {
	s := traffic.Sample{
		Source: netip.MustParseAddrPort("192.0.2.7:50022"), Target: netip.MustParseAddrPort("198.51.100.4:22"), Proto: 6, Flags: 0x12, Bytes: 60,
	}
	out := make([]traffic.Sample, n)
	for i := range out {
		out[i] = s
	}
	return out
}

// detection returns record n of an attack by actor.
func detection(actor, phase string, n int) *event.Packet {
	return detect.Detection{Interface: "eth0", Began: at(0), Time: at(n), TrafficFinding: event.TrafficFinding{
		Name: "port_scan", Phase: phase, Actor: actor, Target: event.Endpoint{IP: "198.51.100.4"},
		Counts: map[string]uint64{"announcement": uint64(n)},
	}}.Packet("web-1")
}

// all takes the due records and checks that each is valid and has its own id.
func all(t *testing.T, o *outbox.Outbox, now time.Time) []*event.Packet {
	t.Helper()
	var out []*event.Packet
	ids := map[string]bool{}
	for p := o.Take(now); p != nil; p = o.Take(now) {
		_, err := event.Encode(p)
		require.NoError(t, err)
		require.False(t, ids[p.ID])
		ids[p.ID] = true
		out = append(out, p)
	}
	return out
}

func kinds(list []*event.Packet) []event.PacketKind {
	var out []event.PacketKind
	for _, p := range list {
		out = append(out, p.Kind)
	}
	return out
}

func TestDetectionsGoFirstAndSamplesLast(t *testing.T) {
	t.Parallel()
	o := outbox.New("web-1")
	o.Samples("eth0", at(0), 4, samples(32))
	o.Blocked("eth0", []event.BlockedTraffic{{Prefix: "192.0.2.0/24", Packets: 1}})
	o.Window(window("eth0", 0))
	o.Detection(detection("192.0.2.7", "begun", 1))
	got := all(t, o, at(1))
	require.Equal(t, []event.PacketKind{event.Detection, event.Window, event.Blocked, event.Flows}, kinds(got))
	for _, p := range got {
		require.Equal(t, "web-1", p.Host)
		require.Equal(t, "eth0", p.Interface)
	}
	w := got[1]
	require.Equal(t, at(1), w.Time)
	require.EqualValues(t, 4, w.Sampling)
	require.EqualValues(t, 1, w.Lost)
	require.Equal(t, &event.TrafficWindow{
		DurationMS: 1000, Packets: 10, Bytes: 600, Classes: map[string]uint64{"tcp_syn": 10}, Promoted: 1,
		Talkers: []event.Talker{{IP: "192.0.2.7", Packets: 9, Bytes: 540}},
	}, w.Window)
	require.Equal(t, event.Flow{
		Source: event.Endpoint{IP: "192.0.2.7", Port: 50022}, Target: event.Endpoint{IP: "198.51.100.4", Port: 22},
		Protocol: "tcp", Flags: "SA", Bytes: 60,
	}, got[3].Flows[0])
}

func TestSamplesWaitForFullRecord(t *testing.T) {
	t.Parallel()
	o := outbox.New("web-1")
	o.Samples("eth0", at(0), 1, samples(31))
	require.Empty(t, all(t, o, at(59)), "31 are too few")
	require.Len(t, all(t, o, at(60)), 1, "without much traffic one record a minute")

	o.Samples("eth0", at(100), 1, samples(32))
	require.Empty(t, all(t, o, at(100)), "they wait a second for more")
	require.Len(t, all(t, o, at(101))[0].Flows, 32)

	o.Samples("eth0", at(200), 1, samples(600))
	o.Lost("eth0", 7)
	got := all(t, o, at(200))
	require.Len(t, got, 1, "a full record is due at once")
	require.Len(t, got[0].Flows, event.MaxSamples)
	require.EqualValues(t, 7, got[0].Lost)

	o.Close()
	got = all(t, o, at(200))
	require.Len(t, got[0].Flows, 600-event.MaxSamples, "closed")
	require.Zero(t, got[0].Lost, "reported once")
}

func TestWaitingWindowsAreMerged(t *testing.T) {
	t.Parallel()
	o := outbox.New("web-1")
	const seconds = 120
	for n := range seconds {
		o.Window(window("eth0", n))
	}
	got := all(t, o, at(seconds))
	var lengths []int64
	var packets, lost, talked uint64
	end := start
	for _, p := range got {
		lengths = append(lengths, p.Window.DurationMS/1000)
		packets += p.Window.Packets
		lost += p.Lost
		require.Len(t, p.Window.Talkers, 1)
		talked += p.Window.Talkers[0].Packets
		require.Equal(t, end.Add(time.Duration(p.Window.DurationMS)*time.Millisecond), p.Time, "no gap, no overlap")
		end = p.Time
	}
	require.Equal(t, []int64{5, 5, 5, 5, 5, 5, 30, 30, 30}, lengths)
	require.EqualValues(t, seconds*10, packets, "nothing is lost by merging")
	require.EqualValues(t, seconds, lost)
	require.EqualValues(t, seconds*9, talked)
	require.EqualValues(t, seconds-len(lengths), o.Stats().Merged)
	require.Zero(t, o.Stats().Dropped[outbox.DroppedWindows])
}

func TestEverythingIsBoundedAndCounted(t *testing.T) {
	t.Parallel()
	o := outbox.New("web-1")
	const seconds = 7200
	for n := range seconds {
		o.Window(window("eth0", n))
		o.Samples("eth0", at(n), 1, samples(100))
		o.Detection(detection(fmt.Sprintf("192.0.2.%d", n), "begun", 1))
		o.Blocked("eth0", []event.BlockedTraffic{{Prefix: fmt.Sprint(n), Packets: 1}})
	}
	require.Less(t, o.Stats().Pending, 4200)
	dropped := o.Stats().Dropped
	var windows, flows, detections, blocked uint64
	for _, p := range all(t, o, at(seconds)) {
		switch p.Kind {
		case event.Window:
			windows += p.Window.Packets / 10
		case event.Flows:
			flows += uint64(len(p.Flows))
		case event.Detection:
			detections++
		case event.Blocked:
			blocked += uint64(len(p.Blocked))
		}
	}
	require.EqualValues(t, seconds, windows+dropped[outbox.DroppedWindows])
	require.EqualValues(t, seconds*100, flows+dropped[outbox.DroppedSamples])
	require.EqualValues(t, seconds, detections+dropped[outbox.DroppedDetections])
	require.EqualValues(t, seconds, blocked+dropped[outbox.DroppedBlocked])
	for kind, n := range dropped {
		require.NotZero(t, n, kind)
	}
}

func TestUpdatesOfOneAttackDoNotReplaceAnother(t *testing.T) {
	t.Parallel()
	o := outbox.New("web-1")
	o.Detection(detection("192.0.2.7", "begun", 1))
	for n := range 10_000 {
		o.Detection(detection("192.0.2.7", "ongoing", n+2))
		o.Detection(detection("192.0.2.8", "ongoing", n+2))
	}
	o.Detection(detection("192.0.2.7", "over", 20_000))
	require.EqualValues(t, 2*10_000+2-3, o.Stats().Replaced, "all but three")
	var phases []string
	for _, p := range all(t, o, at(1)) {
		phases = append(phases, fmt.Sprintf("%s %s %d", p.Detection.Actor, p.Detection.Phase, p.Detection.Counts["announcement"]))
	}
	require.Equal(t, []string{"192.0.2.7 begun 1", "192.0.2.7 over 20000", "192.0.2.8 ongoing 10001"}, phases)
}

func TestBlockedCountsAreAdded(t *testing.T) {
	t.Parallel()
	o := outbox.New("web-1")
	for range 3 {
		o.Blocked("eth0", []event.BlockedTraffic{{Prefix: "192.0.2.0/24", Reason: "scan", Packets: 2, Bytes: 100}})
	}
	got := all(t, o, at(0))
	require.Len(t, got, 1)
	require.Equal(t, []event.BlockedTraffic{{Prefix: "192.0.2.0/24", Reason: "scan", Packets: 6, Bytes: 300}}, got[0].Blocked)
}

func TestInterfacesTakeTurns(t *testing.T) {
	t.Parallel()
	o := outbox.New("web-1")
	for n := range 30 {
		o.Window(window("eth0", n))
	}
	o.Window(window("eth1", 0))
	got := all(t, o, at(30))
	require.Equal(t, "eth0", got[0].Interface)
	require.Equal(t, "eth1", got[1].Interface)
}

func TestTalkersAreTheBusiest(t *testing.T) {
	t.Parallel()
	w := window("eth0", 0)
	w.Sources = nil
	for n := range 300 {
		w.Sources = append(w.Sources, traffic.Source{Addr: netip.AddrFrom4([4]byte{192, 0, byte(n >> 8), byte(n)}), Packets: uint64(n)})
	}
	o := outbox.New("web-1")
	o.Window(w)
	got := all(t, o, at(1))[0].Window
	require.EqualValues(t, 300, got.Promoted)
	require.Len(t, got.Talkers, event.MaxTalkers)
	require.EqualValues(t, 299, got.Talkers[0].Packets)
	require.EqualValues(t, 250, got.Talkers[49].Packets)
}

func TestFlowsOfOtherProtocols(t *testing.T) {
	t.Parallel()
	s := samples(1)[0]
	for _, c := range []struct {
		change func(*traffic.Sample)
		want   event.Flow
	}{
		{func(s *traffic.Sample) { s.Flags = 0 }, event.Flow{Protocol: "tcp", Flags: "-"}},
		{func(s *traffic.Sample) { s.Flags = 0xC2 }, event.Flow{Protocol: "tcp", Flags: "SEC"}},
		{func(s *traffic.Sample) { s.Proto = 17 }, event.Flow{Protocol: "udp"}},
		{func(s *traffic.Sample) { s.Proto = 47 }, event.Flow{Protocol: "47"}},
		{func(s *traffic.Sample) { s.Fragment, s.Class = true, traffic.Fragment }, event.Flow{Protocol: "tcp"}},
	} {
		given := s
		c.change(&given)
		o := outbox.New("web-1")
		o.Samples("eth0", at(0), 1, []traffic.Sample{given})
		o.Close()
		got := all(t, o, at(0))[0].Flows[0]
		require.Equal(t, c.want.Protocol, got.Protocol)
		require.Equal(t, c.want.Flags, got.Flags)
		require.EqualValues(t, 22, got.Target.Port)
	}
	s.Proto = 1
	o := outbox.New("web-1")
	o.Samples("eth0", at(0), 1, []traffic.Sample{s})
	o.Close()
	got := all(t, o, at(0))[0].Flows[0]
	require.Equal(t, "icmp", got.Protocol)
	require.Zero(t, got.Target.Port, "type and code are not ports")
}

// Windows with hardly any traffic are sent together; any other is sent at once, with those that waited.
func TestQuietWindowsWait(t *testing.T) {
	t.Parallel()
	o := outbox.New("web-1")
	quiet := func(n int) *traffic.Window {
		w := window("eth0", n)
		w.Sources = nil
		return w
	}
	for n := range 4 {
		o.Window(quiet(n))
		require.Empty(t, all(t, o, at(n+1)))
	}
	o.Window(quiet(4))
	got := all(t, o, at(5))
	require.Len(t, got, 1)
	require.EqualValues(t, 5000, got[0].Window.DurationMS)
	require.EqualValues(t, 50, got[0].Window.Packets)

	o.Window(quiet(5))
	o.Window(window("eth0", 6))
	require.EqualValues(t, 2000, all(t, o, at(7))[0].Window.DurationMS)
	o.Window(quiet(7))
	o.Close()
	require.Len(t, all(t, o, at(8)), 1, "a stop sends everything")
}

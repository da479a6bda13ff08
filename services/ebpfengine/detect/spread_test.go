package detect_test

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bpf/traffic"
	"github.com/ironpost/ironpost/services/ebpfengine/detect"
)

// Reflectors are neither scanners nor actors, whatever their port is, also several at once.
func TestReflectionFromAnyPort(t *testing.T) {
	t.Parallel()
	s := newStage(t, withEgress)
	ports := []int{5093, 10_074, 9999, 37_021, 4500}
	s.flood(5000, 4*time.Second, func(i int) {
		s.udp(at(host("203.0", i%60), ports[i%5]), at(home, 20_000+i%1000), 400)
	})
	found := s.finish()
	require.ElementsMatch(t, []string{
		"reflection/sentinel spoofed > 198.51.100.5", "reflection/tp240 spoofed > 198.51.100.5", "reflection/udp-9999 spoofed > 198.51.100.5",
		"reflection/hikvision spoofed > 198.51.100.5", "reflection/isakmp spoofed > 198.51.100.5",
	}, summaries(found))
	for _, f := range found {
		require.EqualValues(t, 1000, f.Counts["peak_per_second"], f.Method)
		require.InDelta(t, 12, float64(f.Counts["sources"]), 30)
	}
}

// Peers of a service that use its port on both sides, and many servers that answer requests, reflect nothing.
func TestServicesAreNoReflection(t *testing.T) {
	t.Parallel()
	for name, send := range map[string]func(s *stage, i int){
		"a collector": func(s *stage, i int) { s.udp(at(host("10.3", i%200), 514), at(home, 514), 300) },
		"a browser": func(s *stage, i int) {
			server, us := at(host("151.101", i%60), 443), at(home, 32_768+i%500)
			s.out(packet{src: us, dst: server, class: traffic.UDP, proto: 17})
			s.udp(server, us, 1200)
		},
	} {
		s := newStage(t, withEgress)
		s.flood(2000, 4*time.Second, func(i int) { send(s, i) })
		s.until(s.now)
		require.Empty(t, summaries(s.finish()), name)
	}
}

func TestFloodsOfAnyProtocol(t *testing.T) {
	t.Parallel()
	for number, name := range map[uint8]string{47: "gre", 132: "sctp", 50: "esp", 253: "ip-253"} {
		s := newStage(t, withEgress)
		send := func(from netip.Addr) {
			s.see(packet{at: s.now, src: at(from, 0), dst: at(home, 0), class: traffic.Other, proto: number, bytes: 100})
		}
		s.flood(5000, 4*time.Second, func(int) { send(s.randomAddr()) })
		require.Equal(t, []string{"ip_flood/" + name + " spoofed > 198.51.100.5"}, summaries(s.finish()))

		s = newStage(t, withEgress)
		s.flood(5000, 4*time.Second, func(i int) { // a tunnel
			s.out(packet{src: at(home, 0), dst: at(evil, 0), class: traffic.Other, proto: number})
			send(evil)
		})
		require.Empty(t, summaries(s.finish()))
	}
}

// The rate of a burst is computed on the burst; traffic at the same rate beside it does not hide it.
func TestBurstShorterThanWindow(t *testing.T) {
	t.Parallel()
	requireBoth(t, func(s *stage) {
		s.wait(200 * time.Millisecond)
		s.flood(100_000, 300*time.Millisecond, func(int) { s.udp(at(s.randomAddr(), 40_000), at(home, 7777), 100) })
		s.wait(2 * time.Second)
		s.until(s.now)
		counts := s.found[0].Counts
		require.InDelta(s.t, 100_000, float64(counts["peak_per_second"]), 25_000)
		require.InDelta(s.t, 300, float64(counts["burst_ms"]), 70)
		require.EqualValues(s.t, 30_000, counts["packets"])
		require.InDelta(s.t, 300, float64(s.found[0].DurationMS), 10)
	}, "udp_flood/ spoofed > 198.51.100.5:7777")
}

// Pulses are one attack, which waits for the next pulse before it is over.
func TestPulsesAreOneAttack(t *testing.T) {
	t.Parallel()
	s := newStage(t, withEgress)
	for range 5 {
		s.flood(2000, 4*time.Second, func(i int) { s.tcp(traffic.TCPSYN, at(s.randomAddr(), 1024+i), at(home, 80)) })
		s.wait(20 * time.Second)
		s.until(s.now)
	}
	found := s.finish()
	ids, over := map[string]bool{}, 0
	for _, f := range found {
		ids[f.Packet("web-1").TraceID] = true
		if f.Phase == detect.PhaseOver {
			over++
		}
	}
	require.Len(t, ids, 1)
	require.Equal(t, 2, over, "after the first pulse, and at the end")
	last := found[len(found)-1]
	require.EqualValues(t, 5, last.Counts["pulses"])
	require.EqualValues(t, 40_000, last.Counts["packets"])
	require.Equal(t, len(found), int(last.Counts["announcement"]))
}

// A flood spread over a network is told for the network, once; a scan of the network is none.
func TestFloodOverNetwork(t *testing.T) {
	t.Parallel()
	target := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{198, 51, 100, byte(i % 250)}) }
	target6 := func(i int) netip.Addr { return netip.AddrFrom16([16]byte{0xfd, 0x90, 15: byte(i % 250)}) }
	source6 := func(s *stage) netip.Addr {
		a := s.randomAddr().As4()
		return netip.AddrFrom16([16]byte{0x20, 1, 4: a[0], 5: a[1], 6: a[2], 15: a[3]})
	}
	for want, send := range map[string]func(s *stage, i int){
		"udp_flood/ spoofed > 198.51.100.0/24:7777":     func(s *stage, i int) { s.udp(at(s.randomAddr(), 40_000), at(target(i), 7777), 100) },
		"udp_flood/ spoofed > fd90::/64:7777":           func(s *stage, i int) { s.udp(at(source6(s), 40_000), at(target6(i), 7777), 100) },
		"syn_flood/ spoofed > 198.51.100.0/24:80":       func(s *stage, i int) { s.tcp(traffic.TCPSYN, at(s.randomAddr(), 40_000), at(target(i), 80)) },
		"reflection/udp-9999 spoofed > 198.51.100.0/24": func(s *stage, i int) { s.udp(at(host("203.0", i%5000), 9999), at(target(i), i%60_000+1), 400) },
	} {
		s := newStage(t, withEgress)
		s.flood(22_000, 3500*time.Millisecond, func(i int) { send(s, i) })
		s.until(s.now)
		require.Equal(t, []string{want}, summaries(s.finish()))
	}
	s := newStage(t, withEgress)
	s.flood(1000, 3*time.Second, func(i int) { s.tcp(traffic.TCPSYN, at(evil, 40_000), at(target(i), 1+i/250)) })
	require.False(t, slices.ContainsFunc(s.finish(), func(d detect.Detection) bool { return d.Name == detect.SYNFlood }))
}

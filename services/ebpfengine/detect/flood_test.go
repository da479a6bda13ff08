package detect_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bpf/traffic"
)

func TestFloodsHaveActorAndTarget(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		rate int
		send func(s *stage, i int)
		want string
	}{
		"syn, forged": {2000, func(s *stage, i int) { s.tcp(traffic.TCPSYN, at(s.randomAddr(), 1024+i), at(home, 80)) }, "syn_flood/ spoofed > 198.51.100.5:80"},
		"syn, forged, any port": {2000, func(s *stage, i int) {
			s.tcp(traffic.TCPSYN, at(s.randomAddr(), 1024+i), at(home, 1+s.rnd.IntN(60_000)))
		}, "syn_flood/ spoofed > 198.51.100.5"},
		"syn, one source":  {500, func(s *stage, i int) { s.tcp(traffic.TCPSYN, at(evil, 1024+i), at(home, 80)) }, "syn_flood/ 203.0.113.66 > 198.51.100.5:80"},
		"syn, few sources": {1000, func(s *stage, i int) { s.tcp(traffic.TCPSYN, at(host("192.0", i%20), 1024+i), at(home, 80)) }, "syn_flood/ distributed > 198.51.100.5:80"},
		"syn, one source, refused": {8000, func(s *stage, i int) {
			s.tcp(traffic.TCPSYN, at(evil, 1024+i), at(home, 80))
			s.refuse(at(home, 80), at(evil, 1024+i))
		}, "syn_flood/ 203.0.113.66 > 198.51.100.5:80"},
		"fragments, tiny and forged": {8000, func(s *stage, i int) {
			s.see(packet{at: s.now, src: at(s.randomAddr(), 0), dst: at(home, 53), class: traffic.Fragment, proto: 17, bytes: 60, fragment: true, tiny: true})
		}, "fragment_flood/ spoofed > 198.51.100.5"},
		"udp, one source": {21_000, func(s *stage, i int) { s.udp(at(evil, 4000), at(home, 7777), 100) }, "udp_flood/ 203.0.113.66 > 198.51.100.5:7777"},
		"udp, forged":     {21_000, func(s *stage, i int) { s.udp(at(s.randomAddr(), 40_000), at(home, 7777), 100) }, "udp_flood/ spoofed > 198.51.100.5:7777"},
		"icmp": {3000, func(s *stage, i int) {
			s.see(packet{at: s.now, src: at(evil, 0), dst: at(home, 0x0800), class: traffic.ICMPEcho, proto: 1, bytes: 98})
		}, "icmp_flood/ 203.0.113.66 > 198.51.100.5"},
		"icmp, forged": {3000, func(s *stage, i int) {
			s.see(packet{at: s.now, src: at(s.randomAddr(), 0), dst: at(home, 0x0800), class: traffic.ICMPEcho, proto: 1, bytes: 98})
		}, "icmp_flood/ spoofed > 198.51.100.5"},
		"fragments": {8000, func(s *stage, i int) {
			s.see(packet{at: s.now, src: at(s.randomAddr(), 0), dst: at(home, 0), class: traffic.Fragment, proto: 17, bytes: 1400, fragment: true})
		}, "fragment_flood/ spoofed > 198.51.100.5"},
		"ack, forged":   {8000, func(s *stage, i int) { s.tcp(traffic.TCPACK, at(s.randomAddr(), 1024+i), at(home, 80)) }, "tcp_flood/ack spoofed > 198.51.100.5:80"},
		"rst, forged":   {8000, func(s *stage, i int) { s.tcp(traffic.TCPRST, at(s.randomAddr(), 1024+i), at(home, 80)) }, "tcp_flood/rst spoofed > 198.51.100.5:80"},
		"dns":           {2000, func(s *stage, i int) { s.udp(at(host("192.0", i%200), 53), at(home, 33_000), 3000) }, "reflection/dns spoofed > 198.51.100.5"},
		"ntp":           {2000, func(s *stage, i int) { s.udp(at(host("192.0", i%200), 123), at(home, 80), 482) }, "reflection/ntp spoofed > 198.51.100.5"},
		"memcached":     {2000, func(s *stage, i int) { s.udp(at(host("192.0", i%9), 11211), at(home, 80), 1400) }, "reflection/memcached spoofed > 198.51.100.5"},
		"unlisted port": {2000, func(s *stage, i int) { s.udp(at(host("192.0", i%50), 9999), at(home, 20_000+i%1000), 400) }, "reflection/udp-9999 spoofed > 198.51.100.5"},
		"syn-ack":       {2000, func(s *stage, i int) { s.tcp(traffic.TCPSYNACK, at(host("192.0", i%999), 443), at(home, 1024+i)) }, "reflection/tcp spoofed > 198.51.100.5"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			requireBoth(t, func(s *stage) {
				s.flood(c.rate, 3500*time.Millisecond, func(i int) { c.send(s, i) })
				require.LessOrEqual(s.t, s.found[0].Time.Sub(start), 3*time.Second+time.Second/100)
			}, c.want)
		})
	}
}

// A scan is no flood, be it beside the connections of many clients, or by many addresses.
func TestSYNScansAreNoFloods(t *testing.T) {
	t.Parallel()
	busy := func(s *stage, i int) { s.tcp(traffic.TCPACK, at(host("10.2", i%200), 40_000), at(home, 443)) }
	for name, c := range map[string]struct {
		rate int
		send func(s *stage, i int)
		want string
	}{
		"beside much ACK traffic": {2000, func(s *stage, i int) {
			if busy(s, i); i%10 == 0 {
				s.tcp(traffic.TCPSYN, at(evil, 50_000), at(home, 1+i/10))
			}
		}, "port_scan/syn 203.0.113.66 > 198.51.100.5"},
		"by many addresses of a network": {400, func(s *stage, i int) {
			if i < 320 {
				s.tcp(traffic.TCPSYN, at(host("203.0", i%40), 50_000), at(home, 1+i))
			}
		}, "port_scan/syn 203.0.0.0/24 > 198.51.100.5"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, withEgress)
			s.flood(c.rate, 4*time.Second, func(i int) { c.send(s, i) })
			s.until(s.now.Add(5 * time.Second))
			require.Equal(t, []string{c.want}, summaries(s.finish()))
		})
	}
}

// A SYN flood is told beside more traffic to another port.
func TestSYNFloodBesideOtherTraffic(t *testing.T) {
	t.Parallel()
	for name, source := range map[string]func(s *stage) netip.Addr{
		"syn_flood/ spoofed > 198.51.100.5:80": (*stage).randomAddr, "syn_flood/ 203.0.113.66 > 198.51.100.5:80": func(*stage) netip.Addr { return evil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, withEgress)
			s.flood(4000, 4*time.Second, func(i int) {
				s.tcp(traffic.TCPACK, at(host("10.2", i%20), 40_000), at(home, 443))
				if i%20 == 0 {
					s.tcp(traffic.TCPSYN, at(source(s), 1024+i%60_000), at(home, 80))
				}
			})
			s.until(s.now)
			require.Contains(t, summaries(s.finish()), name)
		})
	}
}

// Answered queries are a flood, too, if one host sends enough; a call, a tunnel or a
// download is none, and neither are the queries of many hosts.
func TestAnsweredQueriesMayBeFlood(t *testing.T) {
	t.Parallel()
	names := func(sources, port int) []string {
		s := newScaledStage(t)
		s.flood(2400, 4*time.Second, func(i int) {
			from, to := at(host("10.2", i%sources), 40_000), at(home, port)
			s.udp(from, to, 80)
			s.out(packet{src: to, dst: from, class: traffic.UDP, proto: 17})
		})
		s.until(s.now)
		return summaries(s.finish())
	}
	require.Equal(t, []string{"udp_flood/ 10.2.0.1 > 198.51.100.5:53"}, names(1, 53))
	require.Equal(t, []string{"udp_flood/ 10.2.0.1 > 198.51.100.5:123"}, names(1, 123))
	for _, port := range []int{443, 500, 1194, 3478, 4500, 51_820} {
		require.Empty(t, names(1, port), "%d", port)
	}
	require.Empty(t, names(20, 53))
}

// Queries are not counted by source and port: those of others, over TCP or UDP, must not turn a
// tunnel or a trunk of calls into a flood, nor may other traffic hide a flood.
func TestQueriesOfOthersAreNotCountedForSource(t *testing.T) {
	t.Parallel()
	const peers = 2100
	names := func(service, rate int, proto uint8, peer func(i int) int) []string {
		s := newScaledStage(t)
		s.flood(peers+rate, 4*time.Second, func(i int) {
			if i*peers/(peers+rate) == (i+1)*peers/(peers+rate) {
				class := map[uint8]traffic.Class{6: traffic.TCPACK, 17: traffic.UDP}[proto]
				from, to := at(host("10.3", i%20), 40_000), at(home, service)
				s.see(packet{at: s.now, src: from, dst: to, class: class, proto: proto, bytes: 80})
				s.out(packet{src: to, dst: from, class: class, proto: proto})
				return
			}
			from, to := at(evil, 4000), at(home, peer(i))
			s.out(packet{src: to, dst: from, class: traffic.UDP, proto: 17})
			s.udp(from, to, 100)
		})
		s.until(s.now)
		return summaries(s.finish())
	}
	tunnel, trunk := func(int) int { return 51_820 }, func(i int) int { return 10_000 + i%12 }
	for _, port := range []int{53, 389, 11_211} {
		require.Empty(t, names(port, 3000, 6, tunnel), "%d", port)
		require.Empty(t, names(port, 3000, 6, trunk), "%d", port)
	}
	require.Empty(t, names(53, 1500, 17, trunk))
	asks := func(int) int { return 53 }
	flood := []string{"udp_flood/ 203.0.113.66 > 198.51.100.5:53"}
	require.Equal(t, flood, names(53, 1500, 17, asks))
	require.Equal(t, flood, names(53, 3000, 6, asks))
	require.Equal(t, flood, names(80, 1000, 6, asks))
}

func TestFloodHasCounts(t *testing.T) {
	t.Parallel()
	s := newStage(t, withEgress)
	s.flood(2000, 10*time.Second, func(i int) {
		s.tcp(traffic.TCPSYN, at(s.randomAddr(), 1024+i), at(home, 80))
		if i%4 == 0 {
			s.out(packet{src: at(home, 80), dst: at(evil, 1), class: traffic.TCPSYNACK, proto: 6})
		}
	})
	found := s.finish()
	last := found[len(found)-1].Counts
	require.EqualValues(t, 20_000, last["syn"])
	require.EqualValues(t, 20_000, last["half_open"])
	require.EqualValues(t, 5000, last["syn_ack"])
	require.Zero(t, last["ack"])
	require.EqualValues(t, 100, last["spoofed_percent"])
	require.InEpsilon(t, 2000, last["peak_per_second"], 0.01)
	require.Positive(t, last["sources"])
	require.EqualValues(t, 20_000*60, last["bytes"])
}

func TestConnectionFlood(t *testing.T) {
	t.Parallel()
	requireBoth(t, func(s *stage) {
		s.flood(800, 10*time.Second, func(i int) { s.connect(at(evil, 1024+i), at(home, 443)) })
	}, "connection_flood/ 203.0.113.66 > 198.51.100.5:443")
}

// A forged ACK after each forged SYN completes no connection.
func TestForgedACKsDoNotHideFlood(t *testing.T) {
	t.Parallel()
	s := newStage(t, withEgress)
	s.flood(2000, 3500*time.Millisecond, func(i int) {
		from, to := at(s.randomAddr(), 1024+i), at(home, 80)
		s.tcp(traffic.TCPSYN, from, to)
		s.out(packet{src: to, dst: from, class: traffic.TCPSYNACK, proto: 6})
		s.tcp(traffic.TCPACK, from, to)
		s.reset(to, from)
	})
	s.until(s.now)
	require.Contains(t, summaries(s.finish()), "syn_flood/ spoofed > 198.51.100.5:80")
}

// Forging both halves of a handshake with the address of another host does not make that
// host the actor, where the target's RST are seen; connections that the server resets still
// make a flood.
func TestForgedHandshakesHaveNoActor(t *testing.T) {
	t.Parallel()
	names := func(acks int, answer func(s *stage, by, to netip.AddrPort), answers int) []string {
		s := newStage(t, withEgress)
		s.flood(800, 10*time.Second, func(i int) {
			from, to := at(evil, 1024+i), at(home, 443)
			s.tcp(traffic.TCPSYN, from, to)
			s.out(packet{src: to, dst: from, class: traffic.TCPSYNACK, proto: 6})
			for range acks {
				s.tcp(traffic.TCPACK, from, to)
			}
			for range answers {
				answer(s, to, from)
			}
		})
		s.until(s.now)
		return summaries(s.finish())
	}
	const flood = "connection_flood/ 203.0.113.66 > 198.51.100.5:443"
	require.NotContains(t, names(1, (*stage).reset, 1), flood)
	require.NotContains(t, names(3, (*stage).reset, 3), flood)
	require.Contains(t, names(3, (*stage).reset, 1), flood)
	require.Equal(t, []string{flood}, names(1, (*stage).refuse, 1))
	require.Equal(t, []string{flood}, names(1, (*stage).refuse, 0))
}

// Forged traffic uses up the samples: a scanner beside it is found by its record.
func TestFloodDoesNotHideScan(t *testing.T) {
	t.Parallel()
	s := newStage(t, withEgress)
	s.noSamples = true
	s.flood(2000, 4*time.Second, func(i int) {
		s.tcp(traffic.TCPSYN, at(s.randomAddr(), 1024+i), at(netip.MustParseAddr("198.51.100.9"), 80))
		if i%10 == 0 {
			s.scan(traffic.TCPSYN, home, []int{1 + i/10}, 0)
		}
	})
	names := summaries(s.finish())
	require.Contains(t, names, "port_scan/syn 203.0.113.66 > 198.51.100.5")
	require.Contains(t, names, "syn_flood/ spoofed > 198.51.100.9:80")
	require.Len(t, names, 2)
}

func TestFloodOfChangingPortsIsFewDetections(t *testing.T) {
	t.Parallel()
	s := newStage(t, withEgress)
	s.flood(500, 40*time.Second, func(i int) { s.tcp(traffic.TCPSYN, at(s.randomAddr(), 1024+i), at(home, 1+i/500)) })
	names := summaries(s.finish())
	require.LessOrEqual(t, len(names), 6, "%v", names)
	require.Contains(t, names, "syn_flood/ spoofed > 198.51.100.5")
}

// A capture has both directions: the target's answers are no attack on the attacker.
func TestAnswersToAttackAreNoAttack(t *testing.T) {
	t.Parallel()
	s := newStage(t, withEgress)
	s.flood(9000, 2*time.Second, func(i int) {
		s.tcp(traffic.TCPSYN, at(evil, 1024+i), at(home, 80))
		s.tcp([]traffic.Class{traffic.TCPRST, traffic.TCPSYNACK}[i%2], at(home, 80), at(evil, 1024+i))
		s.see(packet{at: s.now, src: at(evil, 0), dst: at(home, 0x0800), class: traffic.ICMPEcho, proto: 1, bytes: 98})
		s.see(packet{at: s.now, src: at(home, 0), dst: at(evil, 0), class: traffic.ICMPOther, proto: 1, bytes: 98})
	})
	require.ElementsMatch(t, []string{
		"syn_flood/ 203.0.113.66 > 198.51.100.5:80", "icmp_flood/ 203.0.113.66 > 198.51.100.5",
	}, summaries(s.finish()))
}

package detect_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bpf/traffic"
	"github.com/ironpost/ironpost/services/ebpfengine/detect"
)

var (
	start = time.Unix(1_700_000_000, 0).UTC()
	evil  = netip.MustParseAddr("203.0.113.66")
	home  = netip.MustParseAddr("198.51.100.5")
)

// stage is a sensor with a clock of its own.
type stage struct {
	*sensor

	now time.Time
	rnd *rand.Rand
}

func newStage(t testing.TB, egress bool) *stage {
	t.Helper()
	return &stage{sensor: newSensor(t, detect.DefaultConfig(), egress), now: start, rnd: rand.New(rand.NewPCG(1, 2))}
}

func (s *stage) wait(d time.Duration) { s.now = s.now.Add(d) }

func (s *stage) tcp(class traffic.Class, from, to netip.AddrPort) {
	s.see(packet{at: s.now, src: from, dst: to, class: class, proto: 6, bytes: 60})
}

func (s *stage) udp(from, to netip.AddrPort, bytes uint32) {
	s.see(packet{at: s.now, src: from, dst: to, class: traffic.UDP, proto: 17, bytes: bytes})
}

// out is what our side answers: seen only where egress is.
func (s *stage) out(p packet) {
	s.until(s.now)
	if s.egress {
		p.at = s.now
		s.answer(p)
	}
}

// refuse is the answer to a SYN, and the end of a connection that its server aborts.
func (s *stage) refuse(by, to netip.AddrPort) {
	s.out(packet{src: by, dst: to, class: traffic.TCPRST, proto: 6})
}

// disprove is the answer to an ACK of no connection.
func (s *stage) disprove(by, to netip.AddrPort) {
	s.out(packet{src: by, dst: to, class: traffic.TCPRST, proto: 6, bare: true})
}

// connect is a whole connection, answered and completed.
func (s *stage) connect(from, to netip.AddrPort) {
	s.tcp(traffic.TCPSYN, from, to)
	s.out(packet{src: to, dst: from, class: traffic.TCPSYNACK, proto: 6})
	for range 3 {
		s.tcp(traffic.TCPACK, from, to)
	}
	s.tcp(traffic.TCPFINACK, from, to)
	s.tcp(traffic.TCPACK, from, to)
}

func at(a netip.Addr, port int) netip.AddrPort { return netip.AddrPortFrom(a, uint16(port)) }

func host(prefix string, i int) netip.Addr {
	return netip.MustParseAddr(fmt.Sprintf("%s.%d.%d", prefix, i/250, 1+i%250))
}

// ports are n well spread ones, as nmap's list is.
func ports(n int) []int {
	var out []int
	for i := range n {
		out = append(out, 1+(i*7919)%49_000)
	}
	return out
}

// scan tries ports of to, one every gap.
func (s *stage) scan(class traffic.Class, to netip.Addr, list []int, gap time.Duration) {
	for _, p := range list {
		s.wait(gap)
		from := at(evil, 40_125)
		switch class {
		case traffic.UDP:
			s.udp(from, at(to, p), 42)
		case traffic.Fragment:
			s.see(packet{at: s.now, src: from, dst: at(to, p), class: class, proto: 6, bytes: 42, fragment: true, tiny: true})
			s.see(packet{at: s.now, src: at(evil, 0), dst: at(to, 0), class: class, proto: 6, bytes: 42, fragment: true})
		default:
			s.tcp(class, from, at(to, p))
		}
		switch class {
		case traffic.TCPSYN:
			s.refuse(at(to, p), from)
		case traffic.TCPACK:
			s.disprove(at(to, p), from)
		}
	}
}

// what is the essence of findings: names in order of their first announcement.
func what(found []detect.Finding) []string {
	var out []string
	for _, f := range found {
		text := fmt.Sprintf("%s/%s %s > %s", f.Name, f.Method, f.Actor, f.Target.IP)
		if f.Target.Port != 0 {
			text += fmt.Sprintf(":%d", f.Target.Port)
		}
		if !slices.Contains(out, text) {
			out = append(out, text)
		}
	}
	return out
}

// both runs a scenario with and without a view of the answers; findings must be the same.
func both(t *testing.T, play func(s *stage), want ...string) {
	t.Helper()
	for _, egress := range []bool{true, false} {
		t.Run(fmt.Sprintf("egress %v", egress), func(t *testing.T) {
			s := newStage(t, egress)
			play(s)
			s.until(s.now)
			found := s.finish()
			require.Equal(t, want, what(found), "%+v", found)
			for _, f := range found {
				require.Equal(t, !egress, slices.Contains(f.Lacking, detect.LackEgress), "%+v", f)
				require.NoError(t, f.Packet("web-1").Validate())
			}
		})
	}
}

func TestAScanOfEachMethodIsNamed(t *testing.T) {
	t.Parallel()
	for name, class := range map[string]traffic.Class{
		"syn": traffic.TCPSYN, "fin": traffic.TCPFIN, "null": traffic.TCPNull, "xmas": traffic.TCPXmas, "ack": traffic.TCPACK,
		"udp": traffic.UDP, "fragment": traffic.Fragment, "other": traffic.TCPOther,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			both(t, func(s *stage) { s.scan(class, home, ports(1000), time.Millisecond) }, "port_scan/"+name+" 203.0.113.66 > 198.51.100.5")
		})
	}
}

// A default nmap scan takes about a second: it is announced before the next is over, and the last word has the sums.
func TestADefaultScanIsFoundWithinSeconds(t *testing.T) {
	t.Parallel()
	s := newStage(t, true)
	s.scan(traffic.TCPSYN, home, ports(1000), 2*time.Millisecond)
	found := s.finish()
	require.Less(t, found[0].Time.Sub(start), 2*time.Second)
	require.Equal(t, detect.Begun, found[0].Phase)
	last := found[len(found)-1]
	require.Equal(t, detect.Over, last.Phase)
	require.InEpsilon(t, 1000, last.Counts["ports"], 0.1)
	require.InEpsilon(t, 1000, last.Counts["probes"], 0.1)
	require.InEpsilon(t, 1000, last.Counts["refused"], 0.1)
	require.EqualValues(t, 1, last.Counts["hosts"])
	require.InDelta(t, 2000, last.DurationMS, 100)
	require.NotEmpty(t, last.Ports)
	require.Empty(t, last.Lacking)
}

func TestSlowScansAreFoundInTheirRun(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		gap    time.Duration
		ports  int
		within time.Duration
	}{{15 * time.Second, 30, 3 * time.Minute}, {time.Minute, 60, 30 * time.Minute}, {10 * time.Minute, 20, 2 * time.Hour}} {
		t.Run(c.gap.String(), func(t *testing.T) {
			t.Parallel()
			both(t, func(s *stage) {
				s.scan(traffic.TCPSYN, home, ports(c.ports), c.gap)
				s.until(s.now.Add(time.Second))
				require.NotEmpty(s.t, s.found)
				require.LessOrEqual(s.t, s.found[0].Time.Sub(start), c.within)
			}, "slow_scan/syn 203.0.113.66 > 198.51.100.5")
		})
	}
}

func TestHostsAreSwept(t *testing.T) {
	t.Parallel()
	both(t, func(s *stage) {
		for i := range 64 {
			s.wait(10 * time.Millisecond)
			s.see(packet{at: s.now, src: at(evil, 0), dst: at(host("10.1", i), 0x0800), class: traffic.ICMPEcho, proto: 1, bytes: 42})
		}
	}, "host_scan/icmp 203.0.113.66 > 10.1.0.1")
	both(t, func(s *stage) {
		for i := range 40 {
			s.wait(10 * time.Millisecond)
			s.tcp(traffic.TCPSYN, at(evil, 40_000+i), at(host("10.1", i), 445))
		}
	}, "host_scan/syn 203.0.113.66 > 10.1.0.1:445")
	both(t, func(s *stage) {
		for i := range 64 {
			for range 3 {
				s.wait(10 * time.Millisecond)
				s.udp(at(evil, 40_000), at(host("10.1", i), 161), 80)
			}
		}
	}, "host_scan/udp 203.0.113.66 > 10.1.0.1:161")
}

func TestABlockIsOneScan(t *testing.T) {
	t.Parallel()
	s := newStage(t, true)
	for _, p := range ports(100) {
		for i := range 40 {
			s.wait(100 * time.Microsecond)
			s.tcp(traffic.TCPSYN, at(evil, 40_125), at(host("10.1", i), p))
			s.refuse(at(host("10.1", i), p), at(evil, 40_125))
		}
	}
	names := what(s.finish())
	require.LessOrEqual(t, len(names), 5, "%v", names)
	require.Contains(t, names[len(names)-1], "block_scan/syn 203.0.113.66")
}

func TestNoSecondScanIsHidden(t *testing.T) {
	t.Parallel()
	other, second := netip.MustParseAddr("198.51.100.6"), netip.MustParseAddr("203.0.113.67")
	both(t, func(s *stage) {
		s.scan(traffic.TCPSYN, home, ports(200), time.Millisecond)
		s.scan(traffic.TCPSYN, other, ports(200), time.Millisecond) // another target
		s.scan(traffic.TCPFIN, home, ports(200), time.Millisecond)  // another method
		for _, p := range ports(200) {                              // another actor
			s.wait(time.Millisecond)
			s.tcp(traffic.TCPSYN, at(second, 40_000), at(home, p))
			s.refuse(at(home, p), at(second, 40_000))
		}
	},
		"port_scan/syn 203.0.113.66 > 198.51.100.5", "port_scan/syn 203.0.113.66 > 198.51.100.6",
		"port_scan/fin 203.0.113.66 > 198.51.100.5", "port_scan/syn 203.0.113.67 > 198.51.100.5")
}

func TestAnAttackIsAnnouncedAtGrowingIntervalsUntilItIsOver(t *testing.T) {
	t.Parallel()
	s := newStage(t, true)
	for i := range 3000 {
		s.scan(traffic.TCPSYN, home, []int{1 + i}, 100*time.Millisecond)
	}
	end := s.now
	s.until(s.now.Add(5 * time.Minute))
	require.Equal(t, []string{"port_scan/syn 203.0.113.66 > 198.51.100.5"}, what(s.found))
	wait := time.Duration(0)
	for i, f := range s.found[1 : len(s.found)-1] {
		gap := f.Time.Sub(s.found[i].Time)
		require.LessOrEqual(t, gap, 60*time.Second)
		require.GreaterOrEqual(t, gap, wait)
		require.Equal(t, detect.Ongoing, f.Phase)
		require.EqualValues(t, i+2, f.Counts["announcement"])
		wait = gap
	}
	last := s.found[len(s.found)-1]
	require.Equal(t, detect.Over, last.Phase)
	require.LessOrEqual(t, last.Time.Sub(end), 32*time.Second)
	require.Less(t, len(s.found), 15)
	ids := map[string]bool{}
	for _, f := range s.found {
		require.Equal(t, s.found[0].Packet("h").TraceID, f.Packet("h").TraceID)
		ids[f.Packet("h").ID] = true
	}
	require.Len(t, ids, len(s.found))
}

// flood sends packets of make at rate for a time.
func (s *stage) flood(rate int, lasting time.Duration, make func(i int)) {
	for i := range int(lasting.Seconds() * float64(rate)) {
		s.wait(time.Second / time.Duration(rate))
		make(i)
	}
}

func (s *stage) anybody() netip.Addr {
	return netip.AddrFrom4([4]byte{byte(1 + s.rnd.IntN(220)), byte(s.rnd.IntN(256)), byte(s.rnd.IntN(256)), byte(1 + s.rnd.IntN(254))})
}

func TestFloodsAreNamedWithWhoAndWhom(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		rate int
		send func(s *stage, i int)
		want string
	}{
		"syn, forged": {2000, func(s *stage, i int) { s.tcp(traffic.TCPSYN, at(s.anybody(), 1024+i), at(home, 80)) }, "syn_flood/ spoofed > 198.51.100.5:80"},
		"syn, forged, any port": {2000, func(s *stage, i int) {
			s.tcp(traffic.TCPSYN, at(s.anybody(), 1024+i), at(home, 1+s.rnd.IntN(60_000)))
		}, "syn_flood/ spoofed > 198.51.100.5"},
		"syn, one source":  {500, func(s *stage, i int) { s.tcp(traffic.TCPSYN, at(evil, 1024+i), at(home, 80)) }, "syn_flood/ 203.0.113.66 > 198.51.100.5:80"},
		"syn, few sources": {1000, func(s *stage, i int) { s.tcp(traffic.TCPSYN, at(host("192.0", i%20), 1024+i), at(home, 80)) }, "syn_flood/ distributed > 198.51.100.5:80"},
		"syn, one source, refused": {8000, func(s *stage, i int) {
			s.tcp(traffic.TCPSYN, at(evil, 1024+i), at(home, 80))
			s.refuse(at(home, 80), at(evil, 1024+i))
		}, "syn_flood/ 203.0.113.66 > 198.51.100.5:80"},
		"fragments, tiny and forged": {8000, func(s *stage, i int) {
			s.see(packet{at: s.now, src: at(s.anybody(), 0), dst: at(home, 53), class: traffic.Fragment, proto: 17, bytes: 60, fragment: true, tiny: true})
		}, "fragment_flood/ spoofed > 198.51.100.5"},
		"udp, one source": {21_000, func(s *stage, i int) { s.udp(at(evil, 4000), at(home, 7777), 100) }, "udp_flood/ 203.0.113.66 > 198.51.100.5:7777"},
		"udp, forged":     {21_000, func(s *stage, i int) { s.udp(at(s.anybody(), 40_000), at(home, 7777), 100) }, "udp_flood/ spoofed > 198.51.100.5:7777"},
		"icmp": {3000, func(s *stage, i int) {
			s.see(packet{at: s.now, src: at(evil, 0), dst: at(home, 0x0800), class: traffic.ICMPEcho, proto: 1, bytes: 98})
		}, "icmp_flood/ 203.0.113.66 > 198.51.100.5"},
		"icmp, forged": {3000, func(s *stage, i int) {
			s.see(packet{at: s.now, src: at(s.anybody(), 0), dst: at(home, 0x0800), class: traffic.ICMPEcho, proto: 1, bytes: 98})
		}, "icmp_flood/ spoofed > 198.51.100.5"},
		"fragments": {8000, func(s *stage, i int) {
			s.see(packet{at: s.now, src: at(s.anybody(), 0), dst: at(home, 0), class: traffic.Fragment, proto: 17, bytes: 1400, fragment: true})
		}, "fragment_flood/ spoofed > 198.51.100.5"},
		"ack, forged": {8000, func(s *stage, i int) { s.tcp(traffic.TCPACK, at(s.anybody(), 1024+i), at(home, 80)) }, "tcp_flood/ack spoofed > 198.51.100.5:80"},
		"rst, forged": {8000, func(s *stage, i int) { s.tcp(traffic.TCPRST, at(s.anybody(), 1024+i), at(home, 80)) }, "tcp_flood/rst spoofed > 198.51.100.5:80"},
		"dns":         {2000, func(s *stage, i int) { s.udp(at(host("192.0", i%200), 53), at(home, 33_000), 3000) }, "reflection/dns spoofed > 198.51.100.5"},
		"ntp":         {2000, func(s *stage, i int) { s.udp(at(host("192.0", i%200), 123), at(home, 80), 482) }, "reflection/ntp spoofed > 198.51.100.5"},
		"memcached":   {2000, func(s *stage, i int) { s.udp(at(host("192.0", i%9), 11211), at(home, 80), 1400) }, "reflection/memcached spoofed > 198.51.100.5"},
		"syn-ack":     {2000, func(s *stage, i int) { s.tcp(traffic.TCPSYNACK, at(host("192.0", i%999), 443), at(home, 1024+i)) }, "reflection/tcp spoofed > 198.51.100.5"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			both(t, func(s *stage) {
				s.flood(c.rate, 3500*time.Millisecond, func(i int) { c.send(s, i) })
				require.LessOrEqual(s.t, s.found[0].Time.Sub(start), 3*time.Second+time.Second/100)
			}, c.want)
		})
	}
}

func TestAFloodCarriesItsNumbers(t *testing.T) {
	t.Parallel()
	s := newStage(t, true)
	s.flood(2000, 10*time.Second, func(i int) {
		s.tcp(traffic.TCPSYN, at(s.anybody(), 1024+i), at(home, 80))
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

func TestConnectionsOpenedTooFast(t *testing.T) {
	t.Parallel()
	both(t, func(s *stage) {
		s.flood(800, 10*time.Second, func(i int) { s.connect(at(evil, 1024+i), at(home, 443)) })
	}, "connection_flood/ 203.0.113.66 > 198.51.100.5:443")
}

// A forged ACK after each forged SYN completes nothing.
func TestForgedACKsHideNoFlood(t *testing.T) {
	t.Parallel()
	s := newStage(t, true)
	s.flood(2000, 3500*time.Millisecond, func(i int) {
		from, to := at(s.anybody(), 1024+i), at(home, 80)
		s.tcp(traffic.TCPSYN, from, to)
		s.out(packet{src: to, dst: from, class: traffic.TCPSYNACK, proto: 6})
		s.tcp(traffic.TCPACK, from, to)
		s.disprove(to, from)
	})
	s.until(s.now)
	require.Contains(t, what(s.finish()), "syn_flood/ spoofed > 198.51.100.5:80")
}

// A scan that is refused makes no flood of the customers who are served meanwhile.
func TestARefusedScanDisprovesNobodysConnection(t *testing.T) {
	t.Parallel()
	for _, class := range []traffic.Class{traffic.TCPSYN, traffic.TCPFIN, traffic.TCPXmas, traffic.TCPACK} {
		s := newStage(t, true)
		list := ports(1000)
		s.flood(500, 5*time.Second, func(i int) {
			s.connect(at(host("192.0", i%300), 1024+i), at(home, 443))
			s.tcp(class, at(evil, 40_125), at(home, list[i%1000]))
			if class == traffic.TCPACK {
				s.disprove(at(home, list[i%1000]), at(evil, 40_125))
			} else {
				s.refuse(at(home, list[i%1000]), at(evil, 40_125))
			}
		})
		s.until(s.now)
		for _, name := range what(s.finish()) {
			require.NotContains(t, name, "syn_flood", class.String())
		}
	}
}

// Who forges both halves of a handshake in somebody's name gets nobody blamed, where the refusals of it are seen; a server that
// resets its connections is flooded all the same.
func TestForgedHandshakesBlameNobody(t *testing.T) {
	t.Parallel()
	names := func(acks int, answer func(s *stage, by, to netip.AddrPort), answers int) []string {
		s := newStage(t, true)
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
		return what(s.finish())
	}
	const flood = "connection_flood/ 203.0.113.66 > 198.51.100.5:443"
	require.NotContains(t, names(1, (*stage).disprove, 1), flood)
	require.NotContains(t, names(3, (*stage).disprove, 3), flood)
	require.Contains(t, names(3, (*stage).disprove, 1), flood)
	require.Equal(t, []string{flood}, names(1, (*stage).refuse, 1))
	require.Equal(t, []string{flood}, names(1, (*stage).refuse, 0))
}

// Forged traffic uses up the samples: a scanner beside it is found by its record all the same.
func TestAFloodDoesNotHideAScan(t *testing.T) {
	t.Parallel()
	s := newStage(t, true)
	s.deaf = true
	s.flood(2000, 4*time.Second, func(i int) {
		s.tcp(traffic.TCPSYN, at(s.anybody(), 1024+i), at(netip.MustParseAddr("198.51.100.9"), 80))
		if i%10 == 0 {
			s.scan(traffic.TCPSYN, home, []int{1 + i/10}, 0)
		}
	})
	names := what(s.finish())
	require.Contains(t, names, "port_scan/syn 203.0.113.66 > 198.51.100.5")
	require.Contains(t, names, "syn_flood/ spoofed > 198.51.100.9:80")
	require.Len(t, names, 2)
}

func TestNormalTrafficIsSilent(t *testing.T) {
	t.Parallel()
	for name, play := range map[string]func(s *stage){
		"a browser": func(s *stage) {
			for i := range 400 {
				s.wait(20 * time.Millisecond)
				server, us := at(host("151.101", i%60), 443), at(home, 32_768+s.rnd.IntN(28_000))
				s.out(packet{src: us, dst: server, class: traffic.TCPSYN, proto: 6})
				s.tcp(traffic.TCPSYNACK, server, us)
				for range 10 {
					s.tcp(traffic.TCPACK, server, us)
				}
				s.tcp(traffic.TCPFINACK, server, us)
				s.tcp(traffic.TCPRST, server, us)
				quic := at(home, 32_768+s.rnd.IntN(28_000))
				s.out(packet{src: quic, dst: server, class: traffic.UDP, proto: 17})
				s.udp(server, quic, 1200)
			}
		},
		"a download over udp": func(s *stage) {
			server, us := at(host("151.101", 1), 443), at(home, 40_000)
			s.out(packet{src: us, dst: server, class: traffic.UDP, proto: 17})
			s.flood(21_000, 3*time.Second, func(int) { s.udp(server, us, 1400) })
		},
		"a resolver's clients and upstreams": func(s *stage) {
			s.flood(2000, 3*time.Second, func(i int) {
				s.udp(at(host("10.2", s.rnd.IntN(5000)), 1024+s.rnd.IntN(60_000)), at(home, 53), 80)
				up, us := at(host("192.5", i%8), 53), at(home, 1024+s.rnd.IntN(64_000))
				s.out(packet{src: us, dst: up, class: traffic.UDP, proto: 17})
				s.udp(up, us, 220)
			})
		},
		"answers that come late, when the requests are forgotten": func(s *stage) {
			for i := range 300 {
				s.wait(50 * time.Millisecond)
				s.udp(at(host("9.9", i%3), 53), at(home, 1024+s.rnd.IntN(64_000)), 220)
				s.udp(at(host("9.9", 7), 123), at(home, 1024+s.rnd.IntN(64_000)), 90)
			}
		},
		"a busy web server": func(s *stage) {
			s.flood(1500, 6*time.Second, func(i int) { s.connect(at(host("10.7", s.rnd.IntN(20_000)), 1024+s.rnd.IntN(60_000)), at(home, 443)) })
		},
		"open connections that are rarely used": func(s *stage) {
			s.flood(8000, 4*time.Second, func(i int) {
				client := s.rnd.IntN(20_000)
				s.see(packet{at: s.now, src: at(host("10.7", client), 1024+client), dst: at(home, 443), class: traffic.TCPACK, proto: 6, bytes: 120})
			})
		},
		"a reverse proxy in front": func(s *stage) {
			s.flood(300, 10*time.Second, func(i int) { s.connect(at(host("10.7", 1), 1024+i), at(home, 8080)) })
		},
		"health checks of many services": func(s *stage) {
			for range 20 {
				for p := range 14 {
					s.wait(50 * time.Millisecond)
					s.connect(at(host("10.7", 1), 30_000+s.rnd.IntN(30_000)), at(home, 8000+p))
				}
				s.wait(10 * time.Second)
			}
		},
		"health checks that are reset": func(s *stage) {
			s.flood(200, 10*time.Second, func(i int) {
				from, to := at(host("10.7", 1), 1024+i), at(home, 8080)
				s.tcp(traffic.TCPSYN, from, to)
				s.out(packet{src: to, dst: from, class: traffic.TCPSYNACK, proto: 6})
				s.tcp(traffic.TCPACK, from, to)
				s.refuse(to, from)
			})
		},
		"pings of a few hosts": func(s *stage) {
			for range 60 {
				for i := range 20 {
					s.see(packet{at: s.now, src: at(evil, 0), dst: at(host("10.1", i), 0x0800), class: traffic.ICMPEcho, proto: 1, bytes: 98})
				}
				s.wait(time.Second)
			}
		},
		"a dead service that is tried again and again": func(s *stage) {
			for i := range 300 {
				s.wait(time.Second)
				s.tcp(traffic.TCPSYN, at(evil, 1024+i), at(home, 5432))
				s.refuse(at(home, 5432), at(evil, 1024+i))
			}
		},
		"connections that were there before us, of a client with low ports": func(s *stage) {
			for i := range 500 {
				s.wait(time.Millisecond)
				s.tcp(traffic.TCPACK, at(host("10.7", 1), 5432), at(home, 1024+i*50))
			}
		},
		"traceroute": func(s *stage) {
			for p := range 60 {
				s.wait(10 * time.Millisecond)
				s.udp(at(evil, 50_000), at(home, 33_434+p), 60)
			}
		},
		"a few ports": func(s *stage) {
			for _, p := range []int{22, 80, 443, 8080, 8443} {
				s.tcp(traffic.TCPSYN, at(evil, 50_000), at(home, p))
				s.refuse(at(home, p), at(evil, 50_000))
			}
		},
		"connections that were there before us": func(s *stage) {
			for i := range 500 {
				s.wait(time.Millisecond)
				s.tcp(traffic.TCPACK, at(host("151.101", i%3), 443), at(home, 32_768+i))
				s.tcp(traffic.TCPACK, at(host("10.7", i%3), 1024+i), at(home, 443))
			}
		},
		"backscatter": func(s *stage) {
			for i := range 2000 {
				s.wait(100 * time.Millisecond)
				s.tcp([]traffic.Class{traffic.TCPSYNACK, traffic.TCPRST}[i%2], at(host("203.9", i%9), 80), at(host("10.1", i%200), 1024+i))
			}
		},
		"calls on many ports": func(s *stage) {
			for call := range 60 {
				ours, theirs := at(home, 10_000+2*call), at(evil, 20_000+2*call)
				for i := range 100 {
					s.wait(20 * time.Millisecond)
					s.udp(theirs, ours, 214)
					if i > 2 {
						s.out(packet{src: ours, dst: theirs, class: traffic.UDP, proto: 17})
					}
				}
			}
		},
		"neighbours that look for each other": func(s *stage) {
			for i := range 300 {
				s.wait(time.Second)
				for _, p := range []int{67, 137, 138, 1900, 5353, 5355, 5678, 10_001, 17_500, 27_036, 57_621, 3702} {
					s.udp(at(evil, 1024+i), at(netip.MustParseAddr("198.51.100.255"), p), 200)
					s.udp(at(evil, 1024+i), at(netip.MustParseAddr("239.255.255.250"), p), 200)
				}
			}
		},
		"a game": func(s *stage) {
			server, us := at(host("151.101", 1), 27_015), at(home, 40_000)
			s.out(packet{src: us, dst: server, class: traffic.UDP, proto: 17})
			s.flood(500, 5*time.Second, func(int) { s.udp(server, us, 900) })
		},
		"a crawler of ours": func(s *stage) {
			s.flood(800, 5*time.Second, func(i int) {
				server, us := at(host("151.101", i%5000), 443), at(home, 32_768+i%28_000)
				s.out(packet{src: us, dst: server, class: traffic.TCPSYN, proto: 6})
				s.tcp(traffic.TCPSYNACK, server, us)
				for range 5 {
					s.tcp(traffic.TCPACK, server, us)
				}
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			both(t, play)
		})
	}
}

// A host that polls many devices gets as many large answers as one that is under attack: but it asked.
func TestAnswersThatWereAskedForAreNoReflection(t *testing.T) {
	t.Parallel()
	poll := func(asks bool) []string {
		s := newStage(t, true)
		s.flood(1500, 6*time.Second, func(i int) {
			device, us := at(host("10.3", i%3000), 161), at(home, 33_000+i%900)
			if asks {
				s.out(packet{src: us, dst: device, class: traffic.UDP, proto: 17})
			}
			s.udp(device, us, 700)
		})
		return what(s.finish())
	}
	require.Empty(t, poll(true))
	require.Equal(t, []string{"reflection/snmp spoofed > 198.51.100.5"}, poll(false))
}

// A capture holds both directions: a client asks many servers, and they answer.
func TestAskingManyServersIsNoScan(t *testing.T) {
	t.Parallel()
	s := newStage(t, true)
	for i := range 400 {
		s.wait(20 * time.Millisecond)
		for _, port := range []int{53, 443, 123} {
			us, server := at(home, 33_000+s.rnd.IntN(20_000)), at(host("151.101", i), port)
			s.udp(us, server, 80)
			s.wait(10 * time.Millisecond)
			s.udp(server, us, 200)
		}
		us, server := at(home, 33_000+s.rnd.IntN(20_000)), at(host("151.101", i), 443)
		s.tcp(traffic.TCPSYN, us, server)
		s.tcp(traffic.TCPSYNACK, server, us)
		for range 4 {
			s.tcp(traffic.TCPACK, us, server)
			s.tcp(traffic.TCPACK, server, us)
		}
	}
	require.Empty(t, what(s.finish()))
}

func TestAFloodThatChangesItsPortIsNotToldAThousandTimes(t *testing.T) {
	t.Parallel()
	s := newStage(t, true)
	s.flood(500, 40*time.Second, func(i int) { s.tcp(traffic.TCPSYN, at(s.anybody(), 1024+i), at(home, 1+i/500)) })
	names := what(s.finish())
	require.LessOrEqual(t, len(names), 6, "%v", names)
	require.Contains(t, names, "syn_flood/ spoofed > 198.51.100.5")
}

// A capture holds both directions: what a victim answers is no attack on the attacker.
func TestAnswersToAnAttackAreNone(t *testing.T) {
	t.Parallel()
	s := newStage(t, true)
	s.flood(9000, 2*time.Second, func(i int) {
		s.tcp(traffic.TCPSYN, at(evil, 1024+i), at(home, 80))
		s.tcp([]traffic.Class{traffic.TCPRST, traffic.TCPSYNACK}[i%2], at(home, 80), at(evil, 1024+i))
		s.see(packet{at: s.now, src: at(evil, 0), dst: at(home, 0x0800), class: traffic.ICMPEcho, proto: 1, bytes: 98})
		s.see(packet{at: s.now, src: at(home, 0), dst: at(evil, 0), class: traffic.ICMPOther, proto: 1, bytes: 98})
	})
	require.ElementsMatch(t, []string{
		"syn_flood/ 203.0.113.66 > 198.51.100.5:80", "icmp_flood/ 203.0.113.66 > 198.51.100.5",
	}, what(s.finish()))
}

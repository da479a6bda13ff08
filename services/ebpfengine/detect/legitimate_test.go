package detect_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bpf/traffic"
)

// A refused scan does not make a flood of the clients that are served meanwhile.
func TestRefusedScanDoesNotCountAsConnection(t *testing.T) {
	t.Parallel()
	for _, class := range []traffic.Class{traffic.TCPSYN, traffic.TCPFIN, traffic.TCPXmas, traffic.TCPACK} {
		s := newStage(t, withEgress)
		list := ports(1000)
		s.flood(500, 5*time.Second, func(i int) {
			s.connect(at(host("192.0", i%300), 1024+i), at(home, 443))
			s.tcp(class, at(evil, 40_125), at(home, list[i%1000]))
			if class == traffic.TCPACK {
				s.reset(at(home, list[i%1000]), at(evil, 40_125))
			} else {
				s.refuse(at(home, list[i%1000]), at(evil, 40_125))
			}
		})
		s.until(s.now)
		for _, name := range summaries(s.finish()) {
			require.NotContains(t, name, "syn_flood", class.String())
		}
	}
}

func TestNormalTrafficHasNoDetections(t *testing.T) {
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
		"3,000 connections of one client within five seconds": func(s *stage) {
			s.flood(600, 5*time.Second, func(i int) { s.connect(at(host("10.7", 1), 1024+i), at(home, 443)) })
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
			requireBoth(t, play)
		})
	}
}

// A host that polls many devices gets as many large answers as one under attack, but has
// sent requests.
func TestSolicitedAnswersAreNoReflection(t *testing.T) {
	t.Parallel()
	poll := func(asks bool) []string {
		s := newStage(t, withEgress)
		s.flood(1500, 6*time.Second, func(i int) {
			device, us := at(host("10.3", i%3000), 161), at(home, 33_000+i%900)
			if asks {
				s.out(packet{src: us, dst: device, class: traffic.UDP, proto: 17})
			}
			s.udp(device, us, 700)
		})
		return summaries(s.finish())
	}
	require.Empty(t, poll(true))
	require.Equal(t, []string{"reflection/snmp spoofed > 198.51.100.5"}, poll(false))
}

// A capture has both directions: a client sends requests to many servers, and they answer.
func TestQueryingManyServersIsNoScan(t *testing.T) {
	t.Parallel()
	s := newStage(t, bothWays)
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
	require.Empty(t, summaries(s.finish()))
}

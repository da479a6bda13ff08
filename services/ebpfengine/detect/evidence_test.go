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

// views are all ways in which packets are seen.
func views() map[string]view {
	return map[string]view{"with egress": withEgress, "no egress": noEgress, "both ways": bothWays}
}

// A try that is answered is no failure, however many there are and however it is seen.
func TestAnsweredTriesAreNoScan(t *testing.T) {
	t.Parallel()
	for name, play := range map[string]func(s *stage){
		"passive ftp": func(s *stage) {
			for i := range 30 {
				s.wait(200 * time.Millisecond)
				s.connect(at(evil, 40_000+i), at(home, 30_000+i*7))
			}
		},
		"an office behind NAT and sixty proxy ports": func(s *stage) {
			s.flood(600, time.Second, func(i int) { s.connect(at(evil, 20_000+i), at(home, 8000+i%60)) })
		},
		"a health checker of twelve ports": func(s *stage) {
			for range 30 {
				for p := range 12 {
					s.connect(at(evil, 30_000+s.rnd.IntN(30_000)), at(home, 8000+p))
				}
				s.wait(2 * time.Second)
			}
		},
		"a client of twenty virtual hosts": func(s *stage) {
			for i := range 20 {
				s.wait(50 * time.Millisecond)
				s.connect(at(evil, 40_000+i), at(host("10.1", i), 443))
			}
		},
		"requests without keep-alive": func(s *stage) {
			s.flood(6000, 500*time.Millisecond, func(i int) { s.connect(at(evil, 10_000+i), at(home, 80)) })
		},
		"handshakes that take long and span two windows": func(s *stage) {
			s.wait(900 * time.Millisecond)
			for i := range 60 {
				s.tcp(traffic.TCPSYN, at(evil, 40_000+i), at(home, 8000+i))
				s.out(packet{src: at(home, 8000+i), dst: at(evil, 40_000+i), class: traffic.TCPSYNACK, proto: protoTCP})
			}
			s.wait(300 * time.Millisecond)
			for i := range 60 {
				s.tcp(traffic.TCPACK, at(evil, 40_000+i), at(home, 8000+i))
			}
			s.wait(5 * time.Second)
		},
		"connections that are older than this engine": func(s *stage) {
			for i := range 300 {
				s.wait(10 * time.Millisecond)
				client, server := at(evil, 40_000+i%30), at(home, 5000+i%30)
				s.tcp(traffic.TCPACK, client, server)
				s.out(packet{src: server, dst: client, class: traffic.TCPACK, proto: protoTCP})
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for name, sees := range views() {
				s := newStage(t, sees)
				play(s)
				require.Empty(t, summaries(s.finish()), name)
			}
		})
	}
}

// Replies to UDP and ICMP can only be seen to go out.
func TestRepliesOfThisHostAreEvidence(t *testing.T) {
	t.Parallel()
	for name, play := range map[string]func(s *stage){
		"udp": func(s *stage) {
			for i := range 40 {
				s.wait(20 * time.Millisecond)
				s.udp(at(evil, 40_000), at(home, 900+i), 80)
				s.out(packet{src: at(home, 900+i), dst: at(evil, 40_000), class: traffic.UDP, proto: protoUDP, bytes: 90})
			}
		},
		"pings of thirty addresses": func(s *stage) {
			for i := range 300 {
				s.wait(10 * time.Millisecond)
				s.ping(evil, host("10.1", i%30))
				s.pong(host("10.1", i%30), evil)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, sees := range []view{withEgress, bothWays} {
				s := newStage(t, sees)
				play(s)
				require.Empty(t, summaries(s.finish()))
			}
			s := newStage(t, noEgress)
			play(s)
			require.NotEmpty(t, s.finish(), "unseen replies are no evidence")
		})
	}
}

// Completed handshakes beside a scan clear their own tries only.
func TestCompletedHandshakesHideNoScan(t *testing.T) {
	t.Parallel()
	requireBoth(t, func(s *stage) {
		list := ports(400)
		s.flood(400, time.Second, func(i int) {
			for n := range 4 {
				s.connect(at(evil, 10_000+4*i+n), at(home, 60_000+i%50))
			}
			s.tcp(traffic.TCPSYN, at(evil, 40_125), at(home, list[i]))
			s.refuse(at(home, list[i]), at(evil, 40_125))
		})
	}, "port_scan/syn 203.0.113.66 > 198.51.100.5")
}

// What else a scanner sends, answered or not, hides none of its tries.
func TestOwnTrafficHidesNoScan(t *testing.T) {
	t.Parallel()
	for _, answered := range []bool{true, false} {
		s := newStage(t, withEgress)
		for _, p := range ports(100) {
			s.wait(50 * time.Millisecond)
			s.udp(at(evil, 40_000), at(home, p%30_000), 60)
			for range 20 {
				s.udp(at(evil, 40_001), at(home, 443), 200)
				if answered {
					s.out(packet{src: at(home, 443), dst: at(evil, 40_001), class: traffic.UDP, proto: protoUDP})
				}
			}
		}
		require.Equal(t, []string{"port_scan/udp 203.0.113.66 > 198.51.100.5"}, summaries(s.finish()))
	}
	s := newStage(t, withEgress)
	s.noSamples = true
	list := ports(400)
	s.flood(400, time.Second, func(i int) {
		s.tcp(traffic.TCPSYN, at(evil, 40_125), at(home, list[i]))
		for range 4 { // of a connection
			s.tcp(traffic.TCPACK, at(evil, 40_000), at(home, 443))
			s.out(packet{src: at(home, 443), dst: at(evil, 40_000), class: traffic.TCPACK, proto: protoTCP})
		}
	})
	s.wait(5 * time.Second)
	require.Contains(t, summaries(s.finish()), "port_scan/syn 203.0.113.66 > 198.51.100.5")
}

// An ACK without a SYN-ACK of this host completes nothing, whether the SYN was refused or ignored.
func TestForgedACKClearsNoTry(t *testing.T) {
	t.Parallel()
	for _, refused := range []bool{true, false} {
		s := newStage(t, withEgress)
		for _, p := range ports(100) {
			s.wait(10 * time.Millisecond)
			from, to := at(evil, 40_125), at(home, p)
			s.tcp(traffic.TCPSYN, from, to)
			if refused {
				s.refuse(to, from)
			}
			s.tcp(traffic.TCPACK, from, to)
			s.reset(to, from)
		}
		require.Contains(t, summaries(s.finish()), "port_scan/syn 203.0.113.66 > 198.51.100.5")
	}
}

// Packets of connections whose beginning was not seen are a scan if this host refuses them, or if they come from one port.
func TestACKScanIsFoundByRefusals(t *testing.T) {
	t.Parallel()
	ack := func(class traffic.Class, sees view, refused, onePort bool) []string {
		s := newStage(t, sees)
		for i, p := range ports(100) {
			s.wait(10 * time.Millisecond)
			from := at(evil, 40_000)
			if !onePort {
				from = at(evil, 40_000+i)
			}
			s.tcp(class, from, at(home, p%30_000))
			if refused {
				s.reset(at(home, p%30_000), from)
			}
		}
		return summaries(s.finish())
	}
	want := []string{"port_scan/ack 203.0.113.66 > 198.51.100.5"}
	for _, class := range []traffic.Class{traffic.TCPACK, traffic.TCPFINACK} {
		require.Equal(t, want, ack(class, withEgress, true, false), class.String())
		require.Equal(t, want, ack(class, bothWays, true, false), class.String())
		require.Equal(t, want, ack(class, withEgress, false, true), class.String())
		require.Equal(t, want, ack(class, noEgress, false, true), class.String())
		require.Empty(t, ack(class, withEgress, false, false), class.String())
		require.Empty(t, ack(class, noEgress, true, false), class.String())
	}
}

// A RST that ends a conversation with this host is no scan.
func TestAbortsOfConnectionsAreNoScan(t *testing.T) {
	t.Parallel()
	s := newStage(t, withEgress)
	for i := range 200 {
		s.wait(50 * time.Millisecond)
		client, server := at(evil, 40_000+i), at(home, 5000+i%40)
		s.out(packet{src: server, dst: client, class: traffic.TCPACK, proto: protoTCP})
		s.tcp(traffic.TCPRST, client, server)
	}
	require.Empty(t, summaries(s.finish()))
}

// Devices that look for each other, and programs that share files, are no scanners.
func TestDiscoveryIsNoScan(t *testing.T) {
	t.Parallel()
	for name, play := range map[string]func(s *stage){
		"a printer's driver": func(s *stage) {
			for i := range 60 {
				s.wait(100 * time.Millisecond)
				for _, p := range []int{427, 3702, 5353, 8610, 8611, 8612, 8613, 8614, 137, 138, 1900} {
					s.udp(at(host("192.168", 7), 50_000), at(host("192.168", 20+i), p), 60)
				}
			}
		},
		"peer to peer": func(s *stage) {
			for i := range 400 {
				s.wait(50 * time.Millisecond)
				s.udp(at(evil, 51_413), at(host("10.1", i), 1024+s.rnd.IntN(60_000)), 145)
			}
		},
		"requests that nobody answers": func(s *stage) {
			for i := range 40 {
				s.wait(time.Second)
				s.udp(at(evil, 50_000+i), at(host("10.1", i), 443), 1242)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for name, sees := range views() {
				s := newStage(t, sees)
				play(s)
				for _, found := range summaries(s.finish()) {
					require.NotContains(t, found, "block_scan", name)
					require.NotContains(t, found, "port_scan", name)
				}
			}
		})
	}
}

func TestScansOfOtherProtocols(t *testing.T) {
	t.Parallel()
	each := func(gap time.Duration, n int, send func(s *stage, i int)) func(s *stage) {
		return func(s *stage) {
			for i := range n {
				s.wait(gap)
				send(s, i)
			}
		}
	}
	sctp := func(s *stage, chunk uint8, port int) {
		s.see(packet{at: s.now, src: at(evil, 40_000), dst: at(home, port), class: traffic.Other, proto: protoSCTP, chunk: chunk, bytes: 66})
	}
	query := func(s *stage, kind, i int) {
		s.see(packet{at: s.now, src: at(evil, 0), dst: at(host("10.1", i), kind<<8), class: traffic.ICMPOther, proto: protoICMP, bytes: 54})
	}
	gap := 10 * time.Millisecond
	for name, c := range map[string]struct {
		play func(s *stage)
		want string
	}{
		"sctp init":   {each(gap, 50, func(s *stage, i int) { sctp(s, 1, 1+i*7) }), "port_scan/sctp-init 203.0.113.66 > 198.51.100.5"},
		"sctp cookie": {each(gap, 50, func(s *stage, i int) { sctp(s, 10, 1+i*7) }), "port_scan/sctp-cookie 203.0.113.66 > 198.51.100.5"},
		"protocols": {each(gap, 100, func(s *stage, i int) {
			if i != protoICMP && i != protoTCP && i != protoUDP && i != 44 {
				s.see(packet{at: s.now, src: at(evil, 0), dst: at(home, 0), class: traffic.Other, proto: uint8(i), bytes: 60})
			}
		}), "port_scan/protocol 203.0.113.66 > 198.51.100.5"},
		"timestamps":    {each(gap, 60, func(s *stage, i int) { query(s, 13, i) }), "host_scan/icmp 203.0.113.66 > 10.1.0.1"},
		"address masks": {each(gap, 60, func(s *stage, i int) { query(s, 17, i) }), "host_scan/icmp 203.0.113.66 > 10.1.0.1"},
		"syn-ack":       {each(gap, 50, func(s *stage, i int) { s.tcp(traffic.TCPSYNACK, at(evil, 40_000), at(home, 1+i*7)) }), "port_scan/syn-ack 203.0.113.66 > 198.51.100.5"},
		"rst":           {each(gap, 50, func(s *stage, i int) { s.tcp(traffic.TCPRST, at(evil, 40_000), at(home, 1+i*7)) }), "port_scan/rst 203.0.113.66 > 198.51.100.5"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			requireBoth(t, c.play, c.want)
		})
	}
}

// An association that is completed clears its try.
func TestSCTPAssociationsAreNoScan(t *testing.T) {
	t.Parallel()
	requireBoth(t, func(s *stage) {
		for i := range 40 {
			s.wait(50 * time.Millisecond)
			client, server := at(evil, 40_000+i), at(home, 2000+i)
			for _, chunk := range []uint8{1, 10, 0} { // INIT, COOKIE ECHO, DATA
				s.see(packet{at: s.now, src: client, dst: server, class: traffic.Other, proto: protoSCTP, chunk: chunk, bytes: 66})
				s.out(packet{src: server, dst: client, class: traffic.Other, proto: protoSCTP, chunk: chunk + 1, bytes: 66})
			}
		}
	})
}

// A scan by many addresses of a network is one of the network, unless they are the network's scanners each by itself.
func TestScanOfNetwork(t *testing.T) {
	t.Parallel()
	from6 := func(i int) netip.Addr { return netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 0, 1, 0, 2, 15: byte(i)}) }
	home6 := netip.MustParseAddr("2001:db8::5")
	s := newStage(t, withEgress)
	for i, p := range ports(200) {
		s.wait(20 * time.Millisecond)
		s.tcp(traffic.TCPSYN, at(from6(i%45), 40_000), at(home6, p))
		s.refuse(at(home6, p), at(from6(i%45), 40_000))
	}
	found := s.finish()
	require.Equal(t, []string{"port_scan/syn 2001:db8:1:2::/64 > 2001:db8::5"}, summaries(found))
	require.EqualValues(t, 45, found[len(found)-1].Counts["addresses"])
	requireBoth(t, func(s *stage) {
		for i, p := range ports(200) {
			s.wait(50 * time.Millisecond)
			s.tcp(traffic.TCPSYN, at(netip.AddrFrom4([4]byte{203, 0, 113, byte(1 + i%40)}), 40_000), at(home, p))
		}
	}, "port_scan/syn 203.0.113.0/24 > 198.51.100.5")
	requireBoth(t, func(s *stage) { // subscribers that share a /24
		for i := range 400 {
			s.wait(100 * time.Millisecond)
			s.tcp(traffic.TCPSYN, at(netip.AddrFrom4([4]byte{203, 0, 113, byte(1 + i%100)}), 40_000+i), at(home, 8000+i%7))
		}
	})
}

// Three ports of each of many hosts, over hours.
func TestSlowBlockScan(t *testing.T) {
	t.Parallel()
	requireBoth(t, func(s *stage) {
		for i := range 30 {
			s.wait(7 * time.Minute)
			s.tcp(traffic.TCPSYN, at(evil, 40_000+i), at(host("10.1", i/3), []int{80, 8080, 88}[i%3]))
		}
	}, "slow_scan/syn 203.0.113.66 > 10.1.0.1")
}

// The scans of the host itself, and of those behind it.
func TestOutboundScans(t *testing.T) {
	t.Parallel()
	container := netip.MustParseAddr("172.17.0.2")
	for name, c := range map[string]struct {
		play func(s *stage)
		want []string
	}{
		"ports": {func(s *stage) {
			for i, p := range ports(200) {
				s.wait(5 * time.Millisecond)
				s.out(packet{src: at(container, 40_000), dst: at(evil, p), class: traffic.TCPSYN, proto: protoTCP})
				if i%2 == 0 {
					s.tcp(traffic.TCPRST, at(evil, p), at(container, 40_000))
				}
			}
		}, []string{"port_scan/syn 172.17.0.2 > 203.0.113.66"}},
		"ports, slowly": {func(s *stage) {
			for _, p := range ports(40) {
				s.wait(time.Minute)
				s.out(packet{src: at(container, 40_000), dst: at(evil, p), class: traffic.TCPSYN, proto: protoTCP})
			}
		}, []string{"slow_scan/syn 172.17.0.2 > 203.0.113.66"}},
		"hosts, slowly, by a busy host": {func(s *stage) {
			for i := range 200 {
				s.wait(time.Minute)
				s.out(packet{src: at(home, 40_000+i), dst: at(host("10.9", i), 22), class: traffic.TCPSYN, proto: protoTCP})
				for n := range 10 {
					us, server := at(home, 20_000+i*10+n), at(host("203.0", i*10+n), 443)
					s.out(packet{src: us, dst: server, class: traffic.TCPSYN, proto: protoTCP})
					s.tcp(traffic.TCPSYNACK, server, us)
				}
			}
		}, []string{"slow_scan/syn 198.51.100.5 > 10.9.0.1:22"}},
		"ports, beside a crawler": {func(s *stage) {
			for i := range 600 {
				s.wait(20 * time.Millisecond)
				us, server := at(home, 20_000+i), at(host("10.9", i), 443)
				s.out(packet{src: us, dst: server, class: traffic.TCPSYN, proto: protoTCP})
				if i%4 != 0 {
					s.tcp(traffic.TCPSYNACK, server, us)
				}
				if i >= 300 {
					s.out(packet{src: at(home, 40_000), dst: at(evil, i), class: traffic.TCPSYN, proto: protoTCP})
				}
			}
		}, []string{"port_scan/syn 198.51.100.5 > 203.0.113.66"}},
		"a mail server": {func(s *stage) {
			for i := range 240 {
				s.wait(time.Minute)
				us, server := at(home, 20_000+i), at(host("10.9", i), 25)
				s.out(packet{src: us, dst: server, class: traffic.TCPSYN, proto: protoTCP})
				if i%2 == 0 {
					s.tcp(traffic.TCPSYNACK, server, us)
				}
			}
		}, nil},
		"a worm": {func(s *stage) {
			for i := range 200 {
				s.wait(5 * time.Millisecond)
				s.out(packet{src: at(container, 40_000+i), dst: at(host("10.9", i), 445), class: traffic.TCPSYN, proto: protoTCP})
			}
		}, []string{"host_scan/syn 172.17.0.2 > 10.9.0.1:445"}},
		"a crawler": {func(s *stage) {
			for i := range 400 {
				s.wait(20 * time.Millisecond)
				us, server := at(home, 32_768+i), at(host("10.9", i), 443)
				s.out(packet{src: us, dst: server, class: traffic.TCPSYN, proto: protoTCP})
				if i%4 != 0 { // the others are down
					s.tcp(traffic.TCPSYNACK, server, us)
					s.out(packet{src: us, dst: server, class: traffic.TCPACK, proto: protoTCP})
				}
			}
		}, nil},
		"a resolver": {func(s *stage) {
			for i := range 400 {
				s.wait(10 * time.Millisecond)
				us, server := at(home, 32_768+i), at(host("10.9", i), 53)
				s.out(packet{src: us, dst: server, class: traffic.UDP, proto: protoUDP})
				s.udp(server, us, 200)
			}
		}, nil},
		"a game server": {func(s *stage) {
			for i := range 400 {
				s.wait(10 * time.Millisecond)
				s.udp(at(host("10.9", i), 1024+i*31), at(home, 27_015), 80)
				s.out(packet{src: at(home, 27_015), dst: at(host("10.9", i), 1024+i*31), class: traffic.UDP, proto: protoUDP})
			}
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, withEgress)
			c.play(s)
			found := s.finish()
			require.Equal(t, c.want, summaries(found))
			for _, f := range found {
				require.Equal(t, detect.Outbound, f.Direction)
			}
		})
	}
}

// Decoys scan the same ports at the same time as the scanner, which may be any of them. Another scan is none.
func TestDecoysAreMarked(t *testing.T) {
	t.Parallel()
	actors := []netip.Addr{evil, netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("192.0.2.130"), netip.MustParseAddr("100.64.3.9")}
	s := newStage(t, withEgress)
	for _, p := range ports(300) {
		for _, actor := range actors {
			s.wait(time.Millisecond)
			s.tcp(traffic.TCPSYN, at(actor, 40_000), at(home, p))
			s.refuse(at(home, p), at(actor, 40_000))
		}
	}
	other := netip.MustParseAddr("192.0.2.200")
	s.wait(20 * time.Second)
	for i := range 300 {
		s.wait(time.Millisecond)
		s.tcp(traffic.TCPSYN, at(other, 40_000), at(home, 50_000+i))
		s.refuse(at(home, 50_000+i), at(other, 40_000))
	}
	marked := map[string]bool{}
	for _, f := range s.finish() {
		marked[f.Actor] = marked[f.Actor] || f.MayBeDecoy
	}
	for _, actor := range actors {
		require.True(t, marked[actor.String()], actor)
	}
	require.False(t, marked[other.String()])
	require.Len(t, marked, len(actors)+1)
	require.True(t, slices.Contains(detect.Counts(), "addresses"))
}

package detect_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bpf/traffic"
	"github.com/ironpost/ironpost/services/ebpfengine/detect"
)

var victim = netip.MustParseAddr("203.0.113.80")

func (s *stage) sendTCP(class traffic.Class, from, to netip.AddrPort) {
	s.out(packet{src: from, dst: to, class: class, proto: protoTCP, bytes: 60})
}

func (s *stage) sendUDP(from, to netip.AddrPort, bytes uint32) {
	s.out(packet{src: from, dst: to, class: traffic.UDP, proto: protoUDP, bytes: bytes})
}

func (s *stage) sendPing(from, to netip.Addr) {
	s.out(packet{src: at(from, 0), dst: at(to, echoRequest), class: traffic.ICMPEcho, proto: protoICMP, bytes: 98})
}

// What this machine floods is told with its address and the target, and forged sources as such.
func TestFloodsByThisMachine(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		rate int
		send func(s *stage, i int)
		want string
	}{
		"syn": {1500, func(s *stage, i int) { s.sendTCP(traffic.TCPSYN, at(home, 1024+i%60_000), at(victim, 80)) }, "syn_flood/ 198.51.100.5 > 203.0.113.80:80"},
		"syn, answered and not completed": {1500, func(s *stage, i int) {
			from, to := at(home, 1024+i%60_000), at(victim, 80)
			s.sendTCP(traffic.TCPSYN, from, to)
			s.tcp(traffic.TCPSYNACK, to, from)
			s.reset(from, to)
		}, "syn_flood/ 198.51.100.5 > 203.0.113.80:80"},
		"syn, with a forged ACK": {1500, func(s *stage, i int) {
			from, to := at(home, 1024+i%60_000), at(victim, 80)
			s.sendTCP(traffic.TCPSYN, from, to)
			s.out(packet{src: from, dst: to, class: traffic.TCPACK, proto: protoTCP, seq: 1})
		}, "syn_flood/ 198.51.100.5 > 203.0.113.80:80"},
		"syn, forged":   {1500, func(s *stage, i int) { s.sendTCP(traffic.TCPSYN, at(s.randomAddr(), 1024+i%60_000), at(victim, 80)) }, "syn_flood/ spoofed > 203.0.113.80:80"},
		"udp":           {2500, func(s *stage, i int) { s.sendUDP(at(home, 40_000), at(victim, 27_015), 100) }, "udp_flood/ 198.51.100.5 > 203.0.113.80:27015"},
		"udp, forged":   {2500, func(s *stage, i int) { s.sendUDP(at(s.randomAddr(), 1024+i%60_000), at(victim, 80), 1400) }, "udp_flood/ spoofed > 203.0.113.80:80"},
		"udp, any port": {50_000, func(s *stage, i int) { s.sendUDP(at(home, 40_000), at(victim, 1+s.rnd.IntN(60_000)), 600) }, "udp_flood/ 198.51.100.5 > 203.0.113.80"},
		"icmp":          {1500, func(s *stage, i int) { s.sendPing(home, victim) }, "icmp_flood/ 198.51.100.5 > 203.0.113.80"},
		"syn, over a network": {3000, func(s *stage, i int) {
			s.sendTCP(traffic.TCPSYN, at(home, 1024+i%60_000), at(netip.AddrFrom4([4]byte{203, 0, 113, byte(1 + i%200)}), 80))
		}, "syn_flood/ 198.51.100.5 > 203.0.113.0/24:80"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScaledStage(t)
			s.flood(c.rate, 5*time.Second, func(i int) { c.send(s, i) })
			s.until(s.now)
			found := s.finish()
			require.NotEmpty(t, found)
			for _, f := range found {
				require.NoError(t, f.Packet("web-1").Validate())
			}
			require.Equal(t, []string{c.want}, summaries(found))
			require.Equal(t, detect.Outbound, found[0].Direction)
			require.LessOrEqual(t, found[0].Time.Sub(start), 5*time.Second)
			last := found[len(found)-1]
			require.Equal(t, detect.PhaseOver, last.Phase)
			require.InDelta(t, c.rate, float64(last.Counts["peak_per_second"]), float64(c.rate)/5)
			require.Greater(t, last.Counts["packets"], uint64(c.rate))
		})
	}
}

// What a host sends much of in ordinary operation, and what it answers, is no flood by it.
func TestBusyHostFloodsNobody(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		rate int
		send func(s *stage, i int)
	}{
		"an upload": {5000, func(s *stage, i int) {
			if i == 0 {
				s.sendTCP(traffic.TCPSYN, at(home, 40_000), at(victim, 443))
			}
			s.sendTCP(traffic.TCPACK, at(home, 40_000), at(victim, 443))
		}},
		"connections without keep-alive": {4500, func(s *stage, i int) {
			from, to := at(home, 1024+i/3%60_000), at(victim, 80)
			switch i % 3 {
			case 0:
				s.sendTCP(traffic.TCPSYN, from, to)
				s.tcp(traffic.TCPSYNACK, to, from)
			case 1:
				s.out(packet{src: from, dst: to, class: traffic.TCPACK, proto: protoTCP, seq: 1})
			case 2:
				s.sendTCP(traffic.TCPFINACK, from, to)
			}
		}},
		"a backend that is down": {1500, func(s *stage, i int) {
			from, to := at(home, 1024+i%60_000), at(victim, 80)
			s.sendTCP(traffic.TCPSYN, from, to)
			s.tcp(traffic.TCPRST, to, from)
		}},
		"a load test by UDP": {6000, func(s *stage, i int) { // iperf3 -u: one datagram is answered
			s.sendUDP(at(home, 40_000), at(victim, 5201), 1460)
			if i == 0 {
				s.udp(at(victim, 5201), at(home, 40_000), 60)
			}
		}},
		"a load test by UDP in reverse": {6000, func(s *stage, i int) {
			if i == 0 {
				s.udp(at(victim, 40_000), at(home, 5201), 60)
			}
			s.sendUDP(at(home, 5201), at(victim, 40_000), 1460)
		}},
		"a bulk transfer in a tunnel": {6000, func(s *stage, i int) { // WireGuard has high ports on both sides
			s.sendUDP(at(home, 51_820), at(victim, 51_820), 1400)
			if i%6000 == 0 {
				s.udp(at(victim, 51_820), at(home, 51_820), 148)
			}
		}},
		"a call whose other end is silent": {6000, func(s *stage, i int) {
			s.sendUDP(at(home, 40_000), at(victim, 50_000), 214)
			if i == 10 {
				s.udp(at(victim, 50_000), at(home, 40_000), 214)
			}
		}},
		"video by QUIC": {3000, func(s *stage, i int) {
			s.sendUDP(at(home, 443), at(victim, 50_000), 1300)
			if i%20 == 0 {
				s.udp(at(victim, 50_000), at(home, 443), 80)
			}
		}},
		"a resolver": {1000, func(s *stage, i int) {
			from, to := at(home, 1024+s.rnd.IntN(60_000)), at(host("203.0", i%50), 53)
			s.sendUDP(from, to, 80)
			s.udp(to, from, 200)
		}},
		"pings that are answered": {1500, func(s *stage, i int) {
			s.sendPing(home, victim)
			s.see(packet{at: s.now, src: at(victim, 0), dst: at(home, 0), class: traffic.ICMPOther, proto: protoICMP, bytes: 98})
		}},
		"answers to a SYN flood": {2000, func(s *stage, i int) {
			from := at(evil, 1024+i%60_000)
			s.tcp(traffic.TCPSYN, from, at(home, 80))
			s.sendTCP(traffic.TCPSYNACK, at(home, 80), from)
		}},
		"refusals of a SYN flood": {2000, func(s *stage, i int) {
			from := at(evil, 1024+i%60_000)
			s.tcp(traffic.TCPSYN, from, at(home, 80))
			s.refuse(at(home, 80), from)
		}},
		"ICMP errors to a UDP flood": {3000, func(s *stage, i int) {
			s.udp(at(evil, 4000), at(home, 7777), 100)
			s.out(packet{src: at(home, 0), dst: at(evil, 3<<8|3), class: traffic.ICMPOther, proto: protoICMP})
		}},
		"answers to a flood of queries": {3000, func(s *stage, i int) {
			s.udp(at(evil, 4000), at(home, 53), 100)
			s.sendUDP(at(home, 53), at(evil, 4000), 500)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScaledStage(t)
			s.flood(c.rate, 5*time.Second, func(i int) { c.send(s, i) })
			s.until(s.now)
			for _, f := range s.finish() {
				require.Empty(t, f.Direction, "%+v", f)
			}
		})
	}
}

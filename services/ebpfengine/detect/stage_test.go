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

// stage is a sensor with a clock.
type stage struct {
	*sensor

	now time.Time
	rnd *rand.Rand
}

func newStage(t testing.TB, sees view) *stage {
	t.Helper()
	return &stage{sensor: newSensor(t, detect.DefaultConfig(), sees), now: start, rnd: rand.New(rand.NewPCG(1, 2))}
}

// newScaledStage returns a stage with egress that takes a tenth of the UDP for a flood.
func newScaledStage(t testing.TB) *stage {
	t.Helper()
	cfg := detect.DefaultConfig()
	cfg.UDPFloodPPS /= 10
	return &stage{sensor: newSensor(t, cfg, withEgress), now: start, rnd: rand.New(rand.NewPCG(1, 2))}
}

func (s *stage) wait(d time.Duration) { s.now = s.now.Add(d) }

func (s *stage) tcp(class traffic.Class, from, to netip.AddrPort) {
	s.see(packet{at: s.now, src: from, dst: to, class: class, proto: 6, bytes: 60})
}

func (s *stage) udp(from, to netip.AddrPort, bytes uint32) {
	s.see(packet{at: s.now, src: from, dst: to, class: traffic.UDP, proto: 17, bytes: bytes})
}

// echoRequest is the type and code of an ICMP echo request, as a port.
const echoRequest = 8 << 8

// ping is an ICMP echo request.
func (s *stage) ping(from, to netip.Addr) {
	s.see(packet{at: s.now, src: at(from, 0), dst: at(to, echoRequest), class: traffic.ICMPEcho, proto: protoICMP, bytes: 98})
}

// pong is the reply to a ping.
func (s *stage) pong(by, to netip.Addr) {
	s.out(packet{src: at(by, 0), dst: at(to, 0), class: traffic.ICMPOther, proto: protoICMP, bytes: 98})
}

// out adds an outgoing packet.
func (s *stage) out(p packet) {
	p.at = s.now
	s.leave(p)
}

// refuse is RST with ACK: the answer to a SYN, or a server that aborts a connection.
func (s *stage) refuse(by, to netip.AddrPort) {
	s.out(packet{src: by, dst: to, class: traffic.TCPRST, proto: 6})
}

// reset is RST without ACK: the answer to an ACK without a connection.
func (s *stage) reset(by, to netip.AddrPort) {
	s.out(packet{src: by, dst: to, class: traffic.TCPRST, proto: 6, bare: true})
}

// connect is a connection, answered and completed.
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

// ports returns n ports spread as in nmap's list.
func ports(n int) []int {
	var out []int
	for i := range n {
		out = append(out, 1+(i*7919)%49_000)
	}
	return out
}

// scan probes ports of a host, one every gap.
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
			s.reset(at(to, p), from)
		}
	}
}

// summaries returns name, method, actor and target of each attack, in order of first records.
func summaries(found []detect.Detection) []string {
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

// requireBoth runs a scenario with and without egress; the detections must be the same.
func requireBoth(t *testing.T, play func(s *stage), want ...string) {
	t.Helper()
	for _, egress := range []bool{true, false} {
		t.Run(fmt.Sprintf("egress %v", egress), func(t *testing.T) {
			s := newStage(t, map[bool]view{true: withEgress, false: noEgress}[egress])
			play(s)
			s.until(s.now)
			found := s.finish()
			require.ElementsMatch(t, want, summaries(found), "%+v", found)
			for _, f := range found {
				require.Equal(t, !egress, slices.Contains(f.Lacking, detect.MissingEgress), "%+v", f)
				require.NoError(t, f.Packet("web-1").Validate())
			}
		})
	}
}

// flood sends the packets of make at a rate for a time.
func (s *stage) flood(rate int, lasting time.Duration, make func(i int)) {
	for i := range int(lasting.Seconds() * float64(rate)) {
		s.wait(time.Second / time.Duration(rate))
		make(i)
	}
}

func (s *stage) randomAddr() netip.Addr {
	return netip.AddrFrom4([4]byte{byte(1 + s.rnd.IntN(220)), byte(s.rnd.IntN(256)), byte(s.rnd.IntN(256)), byte(1 + s.rnd.IntN(254))})
}

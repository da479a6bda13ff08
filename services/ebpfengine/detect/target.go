package detect

import (
	"net/netip"
	"slices"
	"time"

	"github.com/ironpost/ironpost/bpf/traffic"
)

const (
	// rateSpan is the time over which rates are averaged.
	rateSpan = 3 * time.Second
	// A flood ends after floodIdle without traffic.
	floodIdle = 8 * time.Second
	// Forged ACKs come once from each source and have no payload: Ethernet, a VLAN tag, IPv4
	// or IPv6, TCP.
	onceEach = 1.5
	bareACK  = 78
	// maxTargets bounds the targets in memory; the kernel counts no more of them.
	maxTargets = 8192
)

// floodKind is a kind of flood.
type floodKind uint8

const (
	kindSYN floodKind = iota
	kindUDP
	kindICMP
	kindFragment
	kindTCP
	kindReflectedUDP
	kindReflectedTCP
	kindIP
	kinds
)

var kindNames = [kinds]string{SYNFlood, UDPFlood, ICMPFlood, FragmentFlood, TCPFlood, Reflection, Reflection, IPFlood}

// windowCounts are the packets to one target in one window, by kind of flood.
type windowCounts struct {
	at         time.Time
	duration   time.Duration
	suspicious [kinds]float64
	total      [kinds]float64 // suspicious and legitimate packets
}

// targetState is what is known about one target.
type targetState struct {
	windows    []windowCounts
	lastSource [kinds]netip.Addr // newest sampled source of each kind
	flows      [kinds][2]Flow    // of outgoing packets, those of the newest two windows
	sum        [kinds]float64    // suspicious packets since it was last forgotten
	reflected  []traffic.Origin  // in the newest window
	synPorts   majority          // of the SYN sampled since the last window
}

// majority finds the value that most of a sequence have (Boyer and Moore 1981).
type majority struct {
	port         uint16
	surplus, all int
}

func (m *majority) add(port uint16) {
	m.all++
	switch {
	case m.surplus == 0:
		m.port, m.surplus = port, 1
	case m.port == port:
		m.surplus++
	default:
		m.surplus--
	}
}

// most returns the port that certainly most of many values have, or 0.
func (m *majority) most() uint16 {
	const many = 8
	if m.all >= many && 2*m.surplus >= m.all {
		return m.port
	}
	return 0
}

// add adds a window and drops those before rateSpan.
func (v *targetState) add(s windowCounts) {
	v.windows = append(v.windows, s)
	for k, n := range s.suspicious {
		v.sum[k] += n
	}
	v.windows = slices.DeleteFunc(v.windows, func(o windowCounts) bool { return s.at.Sub(o.at) >= rateSpan && o.at != s.at })
}

// rememberSources takes over the newest sources of another target.
func (v *targetState) rememberSources(other *targetState) {
	if other == nil {
		return
	}
	for k, addr := range other.lastSource {
		if addr.IsValid() {
			v.lastSource[k], v.flows[k] = addr, other.flows[k]
		}
	}
}

// suspiciousWindows returns in how many windows there were suspicious packets of a kind.
func (v *targetState) suspiciousWindows(k floodKind) int {
	n := 0
	for _, s := range v.windows {
		if s.suspicious[k] > 0 {
			n++
		}
	}
	return n
}

// isIdle reports whether the target has had no traffic for so long that it can be forgotten.
func (v *targetState) isIdle(now time.Time) bool {
	return len(v.windows) == 0 || now.Sub(v.windows[len(v.windows)-1].at) > floodIdle
}

// rate returns the suspicious packets of a kind per second, over rateSpan or the windows if
// those are longer, and their share of all packets of that kind.
func (v *targetState) rate(k floodKind) (perSecond, share float64) {
	var by, total float64
	var long time.Duration
	for _, s := range v.windows {
		by += s.suspicious[k]
		total += s.total[k]
		long += s.duration
	}
	if total == 0 {
		return 0, 0
	}
	return by / max(rateSpan, long).Seconds(), by / total
}

// measure turns a target's counters into windowCounts. From heavy SYN per second on, even
// refused ones are a flood.
func measure(t *traffic.Target, w traffic.Window, known legitimate, heavy float64) windowCounts {
	s := windowCounts{at: w.End, duration: w.End.Sub(w.Start)}
	n := func(c traffic.Class) float64 { return float64(t.ByClass[c]) }
	syn := float64(t.SYN)
	data := n(traffic.TCPACK) + n(traffic.TCPFINACK)
	invalid := n(traffic.TCPOther) + n(traffic.TCPNull) + n(traffic.TCPXmas) + n(traffic.TCPFIN)
	// An ACK that is answered with RST completes no connection: forging it costs no more than a forged SYN.
	refused := min(max(0, float64(t.RSTOut)-float64(t.RSTWithoutACK)), max(0, syn-float64(t.SYNACKOut)))
	completed := min(syn, float64(t.ACKCompleted), max(0, data-float64(t.RSTWithoutACK)))
	if syn-completed < heavy*s.duration.Seconds() {
		completed = min(syn, completed+refused) // a service that is down; no legitimate client retries at a higher rate
	}
	s.total[kindSYN] = max(0, syn-known.scanned)
	s.suspicious[kindSYN] = max(0, s.total[kindSYN]-completed)

	s.suspicious[kindReflectedUDP], s.total[kindReflectedUDP] = known.reflected, known.reflected
	udp := n(traffic.UDP)
	s.suspicious[kindUDP], s.total[kindUDP] = max(0, udp-known.replies-known.reflected), udp
	s.total[kindIP] = n(traffic.Other)
	s.suspicious[kindIP] = max(0, s.total[kindIP]-float64(t.OtherReplies))

	icmp := n(traffic.ICMPEcho) + n(traffic.ICMPOther)
	s.suspicious[kindICMP], s.total[kindICMP] = max(0, icmp-known.pings), icmp
	fragments := float64(t.Fragmented)
	s.suspicious[kindFragment], s.total[kindFragment] = max(0, fragments-known.fragments), fragments

	loose := max(0, n(traffic.TCPRST)-known.refusals) + invalid
	if w.Egress {
		loose += min(data, max(0, float64(t.RSTOut)-syn))
	}
	if t.SourcesEstimate >= manySources && data <= onceEach*t.SourcesEstimate && float64(t.Bytes) <= bareACK*float64(t.Packets) {
		loose = max(loose, data) // real connections do not consist of one bare ACK per second
	}
	s.suspicious[kindTCP], s.total[kindTCP] = loose, loose+data
	answers := max(0, n(traffic.TCPSYNACK)-known.calls)
	s.suspicious[kindReflectedTCP], s.total[kindReflectedTCP] = answers, answers+2*data
	return s
}

// legitimate counts packets to a target that are no flood: UDP answers to its requests,
// refusals of its packets, answers to its pings and connections, and what belongs to an
// attack of another kind: reflected packets, SYN of scanners, and the fragments of a scan or of a reflection.
type legitimate struct{ replies, refusals, pings, calls, scanned, fragments, reflected float64 }

// mainPort returns the port of most of the packets, or 0.
func mainPort(t *traffic.Target, packets float64) uint16 {
	if len(t.TopPorts) > 0 && 2*float64(t.TopPorts[0].Packets) >= packets {
		return t.TopPorts[0].Port
	}
	return 0
}

package detect

import (
	"net/netip"
	"slices"
	"time"

	"github.com/ironpost/ironpost/bpf/traffic"
)

const (
	// rateSpan is what rates are averaged over.
	rateSpan = 3 * time.Second
	// floodIdle is the silence that ends a flood.
	floodIdle = 10 * time.Second
	// Forged ACKs come once from each source, and carry nothing: Ethernet, a VLAN tag, IPv4 or IPv6, TCP.
	onceEach = 1.5
	bareACK  = 78
	// maxTargets bounds the targets whose last windows are kept; the kernel counts no more of them itself.
	maxTargets = 8192
)

// floodKind is one way to flood a target.
type floodKind uint8

const (
	kindSYN floodKind = iota
	kindUDP
	kindICMP
	kindFragment
	kindTCP
	kindReflectedUDP
	kindReflectedTCP
	kinds
)

var kindNames = [kinds]string{SYNFlood, UDPFlood, ICMPFlood, FragmentFlood, TCPFlood, Reflection, Reflection}

// windowCounts are what one window held of one target: packets by kind, and what tells them from honest ones.
type windowCounts struct {
	at       time.Time
	duration time.Duration
	by       [kinds]float64
	total    [kinds]float64 // of which by is the part that counts
}

// targetState is a target of the last few windows.
type targetState struct {
	windows []windowCounts
	from    [kinds]netip.Addr // the latest sampled source of each kind
	// Sampled UDP from reflector ports, by whether it was asked for; what is older counts for less.
	asked, unasked float64
}

// add keeps the windows of the last span.
func (v *targetState) add(s windowCounts) {
	v.windows = append(v.windows, s)
	v.windows = slices.DeleteFunc(v.windows, func(o windowCounts) bool { return s.at.Sub(o.at) >= rateSpan && o.at != s.at })
}

// heard counts a sample of a service that may be misused.
func (v *targetState) heard(asked bool) {
	if asked {
		v.asked++
	} else {
		v.unasked++
	}
}

// honest tells whether nearly all of it was asked for.
func (v *targetState) honest() bool {
	const nearly = 4
	return v.asked > nearly*v.unasked
}

// rate is the mean per second of a kind over span, or over the windows there are if they are longer. share is
// what part of the total that is.
func (v *targetState) rate(k floodKind) (perSecond, share float64) {
	var by, total float64
	var long time.Duration
	for _, s := range v.windows {
		by += s.by[k]
		total += s.total[k]
		long += s.duration
	}
	if total == 0 {
		return 0, 0
	}
	return by / max(rateSpan, long).Seconds(), by / total
}

// measure turns a target's counters into sums. From heavy SYN a second on, even those refused are a flood.
func measure(t *traffic.Target, w traffic.Window, explained legitimate, heavy float64) windowCounts {
	s := windowCounts{at: w.End, duration: w.End.Sub(w.Start)}
	n := func(c traffic.Class) float64 { return float64(t.ByClass[c]) }
	syn := float64(t.SYN)
	data := n(traffic.TCPACK) + n(traffic.TCPFINACK)
	odd := n(traffic.TCPOther) + n(traffic.TCPNull) + n(traffic.TCPXmas) + n(traffic.TCPFIN)
	// An ACK that is disproved completes no connection: forged ones cost as little as forged SYN.
	refused := min(max(0, float64(t.RSTOut)-float64(t.RSTWithoutACK)), max(0, syn-float64(t.SYNACKOut)))
	completed := min(syn, float64(t.ACKCompleted), max(0, data-float64(t.RSTWithoutACK)))
	if syn-completed < heavy*s.duration.Seconds() {
		completed = min(syn, completed+refused) // a service that is down, unless it is tried like nothing honest
	}
	s.by[kindSYN], s.total[kindSYN] = syn-completed, syn

	var reflected float64
	for _, count := range t.FromReflectorPorts {
		reflected += float64(count)
	}
	s.by[kindReflectedUDP], s.total[kindReflectedUDP] = reflected, reflected
	udp := n(traffic.UDP)
	s.by[kindUDP], s.total[kindUDP] = max(0, udp-explained.replies), udp

	icmp := n(traffic.ICMPEcho) + n(traffic.ICMPOther)
	s.by[kindICMP], s.total[kindICMP] = max(0, icmp-explained.pings), icmp
	fragments := float64(t.Fragmented)
	s.by[kindFragment], s.total[kindFragment] = max(0, fragments-explained.fragments), fragments

	loose := max(0, n(traffic.TCPRST)-explained.refusals) + odd
	if w.Egress {
		loose += min(data, max(0, float64(t.RSTOut)-syn))
	}
	if t.SourcesEstimate >= manySources && data <= onceEach*t.SourcesEstimate && float64(t.Bytes) <= bareACK*float64(t.Packets) {
		loose = max(loose, data) // nobody with a connection to lose sends one bare ACK a second
	}
	s.by[kindTCP], s.total[kindTCP] = loose, loose+data
	answers := max(0, n(traffic.TCPSYNACK)-explained.calls)
	s.by[kindReflectedTCP], s.total[kindReflectedTCP] = answers, answers+2*data
	return s
}

// legitimate is traffic to a target that is no flood: answers to what it asked, refusals of what it tried, answers to its pings
// and connections, and the fragments of a scan told already.
type legitimate struct{ replies, refusals, pings, calls, fragments float64 }

// port is where most of the packets go, or 0.
func port(t *traffic.Target, packets float64) uint16 {
	if len(t.TopPorts) > 0 && 2*float64(t.TopPorts[0].Packets) >= packets {
		return t.TopPorts[0].Port
	}
	return 0
}

package detect

import (
	"net/netip"
	"slices"

	"github.com/ironpost/ironpost/bpf/traffic"
)

const (
	// manySources are more than one attacker has, perForged the most packets a second that one forged source is seen with.
	manySources  = 16
	maxPerForged = 8
	// spreadSources are so many that a flood needs no port in common.
	spreadSources = 32
	// Answers of servers are a reflection from this mean size on where honest ones are common: DNS.
	busyAmplified = 400
	// amplified is that size elsewhere: an NTP answer has 90 bytes, the list that is misused 482.
	amplified = 120
)

// targetTraffic is one kind of traffic at one target in one window.
type targetTraffic struct {
	w    traffic.Window
	t    *traffic.Target
	v    *targetState
	by   sourceIndex
	kind floodKind
}

// amount is how many packets of the kind the window held.
func (s targetTraffic) amount() float64 { return s.v.windows[len(s.v.windows)-1].by[s.kind] }

// hostile tells a flood from what honest hosts do at such a rate.
func (s targetTraffic) hostile() bool {
	switch s.kind {
	case kindSYN:
		// A scan begins many connections too, but from one source to many ports.
		return s.t.SourcesEstimate >= spreadSources || port(s.t, s.v.windows[len(s.v.windows)-1].by[kindSYN]) != 0
	case kindReflectedUDP:
		return s.amplifies()
	}
	return true
}

// amplifies tells a reflection from a busy client of the same service: large answers, or a protocol no client is busy with.
func (s targetTraffic) amplifies() bool {
	if s.w.Egress && s.v.honest() {
		return false
	}
	if slices.Contains(busyPorts[:], s.reflector()) {
		return s.t.SourcesEstimate >= manySources && s.bytesPerPacket() >= busyAmplified
	}
	return s.bytesPerPacket() >= amplified
}

// busyPorts are reflector ports with honest traffic at high rates: DNS, VPN, VoIP, remote desktops, games.
var busyPorts = [...]uint16{53, 500, 1194, 3389, 3478, 5060, 5353, 6881, 27015}

func (s targetTraffic) bytesPerPacket() float64 {
	const largest = 65_535 + 14 // IP over Ethernet
	return min(largest, float64(s.t.Bytes)/max(1, float64(s.t.Packets)))
}

// reflector is the source port most answers come from.
func (s targetTraffic) reflector() uint16 {
	var best uint16
	for p, n := range s.t.FromReflectorPorts {
		if m := s.t.FromReflectorPorts[best]; n > m || (n == m && p < best) {
			best = p
		}
	}
	return best
}

func (s targetTraffic) method() string {
	switch s.kind {
	case kindReflectedUDP:
		return reflectorProtocol(s.reflector())
	case kindReflectedTCP:
		return "tcp"
	case kindTCP:
		n := s.t.ByClass
		odd := n[traffic.TCPOther] + n[traffic.TCPNull] + n[traffic.TCPXmas] + n[traffic.TCPFIN]
		data := n[traffic.TCPACK] + n[traffic.TCPFINACK]
		switch {
		case data >= odd && data >= n[traffic.TCPRST]:
			return "ack"
		case n[traffic.TCPRST] >= odd:
			return "rst"
		}
		return "other"
	}
	return ""
}

// port is the one under attack, if it is one.
func (s targetTraffic) port() uint16 {
	switch s.kind {
	case kindSYN, kindUDP, kindTCP:
		return port(s.t, s.amount())
	}
	return 0
}

// actor names who sends s, and estimates how many of 100 sources are forged.
func (s targetTraffic) actor() (string, uint64) {
	amount, sources := s.amount(), s.t.SourcesEstimate
	if s.kind == kindReflectedUDP || s.kind == kindReflectedTCP {
		return Spoofed, 0 // the servers are real, and misused
	}
	if sources < 1.5 && s.v.from[s.kind].IsValid() {
		return s.v.from[s.kind].String(), 0
	}
	top, most, known := s.top()
	if 2*most >= amount {
		return top.String(), 0
	}
	forged := max(0, amount-known) / amount
	if sources < manySources || amount > maxPerForged*sources*max(1, s.seconds()) {
		forged = 0
	}
	percent := uint64(100*forged + 0.5)
	if percent >= 50 {
		return Spoofed, percent
	}
	return Distributed, percent
}

func (s targetTraffic) seconds() float64 { return s.w.End.Sub(s.w.Start).Seconds() }

// top returns the promoted source that sends most of the kind to the target, how much that is, and the sum of those that send
// more than a forged one would.
func (s targetTraffic) top() (addr netip.Addr, most, sum float64) {
	for _, src := range s.by.to(s.t.Addr) {
		n := s.of(src)
		if n > maxPerForged*max(1, s.seconds()) {
			sum += n // few packets are what a forged address has, too
		}
		if n > most {
			addr, most = src.Addr, n
		}
	}
	return addr, most, sum
}

// of is how much of the kind src sent, to whomever.
func (s targetTraffic) of(src *traffic.Source) float64 {
	n := src.ByClass
	switch s.kind {
	case kindSYN:
		return float64(n[traffic.TCPSYN])
	case kindUDP:
		return float64(n[traffic.UDP])
	case kindICMP:
		return float64(n[traffic.ICMPEcho] + n[traffic.ICMPOther])
	case kindFragment:
		return float64(src.Fragmented)
	case kindTCP:
		return float64(n[traffic.TCPACK] + n[traffic.TCPFINACK] + n[traffic.TCPRST] + n[traffic.TCPOther] + n[traffic.TCPNull] + n[traffic.TCPXmas] + n[traffic.TCPFIN])
	}
	return 0
}

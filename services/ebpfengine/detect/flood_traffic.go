package detect

import (
	"net/netip"
	"slices"

	"github.com/ironpost/ironpost/bpf/traffic"
)

const (
	// One attacker has fewer than manySources addresses. A forged source is seen with at most
	// maxPerForged packets per second.
	manySources  = 16
	maxPerForged = 8
	// From spreadSources on, a SYN flood needs no common port.
	spreadSources = 32
	// Mean sizes from which answers are a reflection: where large answers are common, as with
	// DNS, and elsewhere (an NTP answer has 90 bytes, the list that is misused 482).
	busyAmplified = 400
	// amplified is that size elsewhere: an NTP answer has 90 bytes, the list that is misused 482.
	amplified = 120
)

// targetTraffic is one kind of traffic at one target in one window.
type targetTraffic struct {
	w       traffic.Window
	t       *traffic.Target
	v       *targetState
	sources sourceIndex
	kind    floodKind
}

// packets counts the suspicious packets of this kind in the window.
func (s targetTraffic) packets() float64 { return s.v.windows[len(s.v.windows)-1].suspicious[s.kind] }

// isFlood tells a flood from legitimate traffic at the same rate.
func (s targetTraffic) isFlood() bool {
	switch s.kind {
	case kindSYN:
		// A scan opens many connections, too, but from one source to many ports.
		return s.t.SourcesEstimate >= spreadSources || mainPort(s.t, s.v.windows[len(s.v.windows)-1].suspicious[kindSYN]) != 0
	case kindReflectedUDP:
		return s.isReflection()
	}
	return true
}

// isReflection tells a reflection from a busy client of the same service, by the size of
// the answers, and by the protocol.
func (s targetTraffic) isReflection() bool {
	if s.w.Egress && s.v.mostlySolicited() {
		return false
	}
	if slices.Contains(busyPorts[:], s.reflector()) {
		return s.t.SourcesEstimate >= manySources && s.bytesPerPacket() >= busyAmplified
	}
	return s.bytesPerPacket() >= amplified
}

// busyPorts are reflector ports with legitimate traffic at high rates: DNS, VPN, VoIP,
// remote desktops, games.
var busyPorts = [...]uint16{53, 500, 1194, 3389, 3478, 5060, 5353, 6881, 27015}

func (s targetTraffic) bytesPerPacket() float64 {
	const largest = 65_535 + 14 // IP over Ethernet
	return min(largest, float64(s.t.Bytes)/max(1, float64(s.t.Packets)))
}

// reflector returns the source port of most answers.
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
		invalid := n[traffic.TCPOther] + n[traffic.TCPNull] + n[traffic.TCPXmas] + n[traffic.TCPFIN]
		data := n[traffic.TCPACK] + n[traffic.TCPFINACK]
		switch {
		case data >= invalid && data >= n[traffic.TCPRST]:
			return "ack"
		case n[traffic.TCPRST] >= invalid:
			return "rst"
		}
		return "other"
	}
	return ""
}

// port returns the port under attack, 0 if there is not one alone.
func (s targetTraffic) port() uint16 {
	switch s.kind {
	case kindSYN, kindUDP, kindTCP:
		return mainPort(s.t, s.packets())
	}
	return 0
}

// actor returns the actor, and an estimate of the percentage of forged traffic.
func (s targetTraffic) actor() (string, uint64) {
	amount, sources := s.packets(), s.t.SourcesEstimate
	if s.kind == kindReflectedUDP || s.kind == kindReflectedTCP {
		return Spoofed, 0 // the servers are real, but misused
	}
	if sources < 1.5 && s.v.lastSource[s.kind].IsValid() {
		return s.v.lastSource[s.kind].String(), 0
	}
	top, most, known := s.topSource()
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

// topSource returns the recorded source with the most packets of this kind to the target,
// their number, and the packets of all sources that send more than a forged one would.
func (s targetTraffic) topSource() (addr netip.Addr, most, sum float64) {
	for _, src := range s.sources.sendingTo(s.t.Addr) {
		n := s.packetsFrom(src)
		if n > maxPerForged*max(1, s.seconds()) {
			sum += n // fewer may come from a forged address
		}
		if n > most {
			addr, most = src.Addr, n
		}
	}
	return addr, most, sum
}

// packetsFrom returns how many packets of this kind src sent, to any target.
func (s targetTraffic) packetsFrom(src *traffic.Source) float64 {
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

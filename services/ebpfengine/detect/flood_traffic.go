package detect

import (
	"net/netip"
	"time"

	"github.com/ironpost/ironpost/bpf/traffic"
)

const (
	// One attacker has fewer than manySources addresses. A forged source is seen with at most
	// maxPerForged packets per second.
	manySources  = 16
	maxPerForged = 8
	// From spreadSources on, a SYN flood needs no source that stands out, and at manyPorts times the limit no common port:
	// else it may be a scan by many.
	spreadSources = 32
	manyPorts     = 10
)

// targetTraffic is one kind of traffic at one target in one window.
type targetTraffic struct {
	w       traffic.Window
	t       *traffic.Target
	v       *targetState
	senders []*traffic.Source // recorded sources that sent, or may have sent, to it
	kind    floodKind
	network netip.Prefix   // valid: t is the sum of its addresses
	origin  traffic.Origin // of reflected UDP

	outbound bool
}

// packets counts the suspicious packets of this kind in the window.
func (s targetTraffic) packets() float64 {
	if s.kind == kindReflectedUDP {
		return float64(s.origin.Packets)
	}
	return s.v.windows[len(s.v.windows)-1].suspicious[s.kind]
}

// burst returns the suspicious packets of this kind in a burst that is shorter than the window, and its length; 0 if there is none.
func (s targetTraffic) burst() (packets float64, lasting time.Duration) {
	const steady = 0.8 // of the window
	n, lasting := s.t.Burst()
	if s.t.Packets == 0 || lasting.Seconds() >= steady*s.seconds() {
		return 0, 0
	}
	share := min(1, s.packets()/float64(s.t.Packets))
	return float64(n) * share, lasting
}

// perSecond returns the rate in the window or in its burst, whichever is higher, and the length of the burst if that is it.
func (s targetTraffic) perSecond() (rate float64, burst time.Duration) {
	rate = s.packets() / max(s.seconds(), time.Millisecond.Seconds())
	n, lasting := s.burst()
	if lasting > 0 && n/lasting.Seconds() > rate {
		return n / lasting.Seconds(), lasting
	}
	return rate, 0
}

// isFlood tells a flood from legitimate traffic at the same rate.
func (s targetTraffic) isFlood(limit float64) bool {
	switch s.kind {
	case kindSYN:
		// A scan opens many connections, too, but to many ports.
		rate, _ := s.v.rate(kindSYN)
		return s.synPort() != 0 || s.t.SourcesEstimate >= spreadSources && rate >= manyPorts*limit
	case kindIP:
		// One peer that the host is not seen to answer may be the other end of a tunnel.
		return s.w.Egress || s.t.SourcesEstimate >= manySources
	}
	return true
}

// busyPorts are reflector ports with legitimate traffic at high rates: DNS, VPN, VoIP,
// remote desktops, games.
var busyPorts = [...]uint16{53, 500, 1194, 3389, 3478, 5060, 5353, 6881, 27015}

func (s targetTraffic) bytesPerPacket() float64 {
	const largest = 65_535 + 14 // IP over Ethernet
	if s.kind == kindReflectedUDP {
		return min(largest, float64(s.origin.Size))
	}
	return min(largest, float64(s.t.Bytes)/max(1, float64(s.t.Packets)))
}

func (s targetTraffic) method() string {
	switch s.kind {
	case kindReflectedUDP:
		return reflectorProtocol(s.origin.Port)
	case kindReflectedTCP:
		return "tcp"
	case kindIP:
		for _, o := range s.t.Origins {
			if o.Proto != protoUDP {
				return protocolName(o.Proto)
			}
		}
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

// synPort returns the port that gets most of the suspicious SYN, or 0. The ports of a target are counted for all its traffic, so that
// what the other packets cannot have been counts, and else the SYN that were sampled, and the source with the most.
func (s targetTraffic) synPort() uint16 {
	var others float64
	for _, n := range s.t.ByClass {
		others += float64(n)
	}
	amount := s.packets()
	others = max(0, others-amount)
	for _, p := range s.t.TopPorts {
		if 2*(float64(p.Packets)-others) >= amount {
			return p.Port
		}
	}
	if port := s.v.synPorts.most(); port != 0 && s.t.SourcesEstimate >= spreadSources {
		return port
	}
	for _, src := range s.senders {
		if 2*s.packetsFrom(src) >= amount && src.Ports.Count() == 1 && len(src.SamplePorts) > 0 {
			return src.SamplePorts[0]
		}
	}
	return 0
}

// port returns the port under attack, 0 if there is not one alone.
func (s targetTraffic) port() uint16 {
	switch s.kind {
	case kindSYN:
		return s.synPort()
	case kindUDP, kindTCP:
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
	if s.outbound && sources >= manySources {
		return Spoofed, 100 // few machines are behind this one
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
	for _, src := range s.senders {
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
	case kindIP:
		return float64(n[traffic.Other])
	case kindTCP:
		return float64(n[traffic.TCPACK] + n[traffic.TCPFINACK] + n[traffic.TCPRST] + n[traffic.TCPOther] + n[traffic.TCPNull] + n[traffic.TCPXmas] + n[traffic.TCPFIN])
	}
	return 0
}

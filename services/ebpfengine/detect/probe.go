package detect

import (
	"net/netip"
	"slices"
	"time"

	"github.com/ironpost/ironpost/bpf/traffic"
)

// method is how something was tried.
type method uint8

const (
	bySYN method = iota
	byFIN
	byNull
	byXmas
	byACK
	byUDP
	byICMP
	byFragment
	byOther
	methods
)

var methodNames = [methods]string{"syn", "fin", "null", "xmas", "ack", "udp", "icmp", "fragment", "other"}

func (m method) String() string { return methodNames[m] }

const (
	protoTCP = 6
	// Ports from here on are those of clients: replies go there (Linux ip_local_port_range; RFC 6335 from 49152 on).
	firstClientPort = 32_768
	lastSystemPort  = 1023
	// traceroute counts up from here (traceroute(8)).
	firstTracePort, lastTracePort = 33_434, 33_534
)

// probe is one thing that was tried.
type probe struct {
	host   netip.Addr
	port   uint16
	method method
}

// probeIn returns what s tries, or false if it is no probe: an answer, or part of a
// conversation. SYN-ACK, RST and ICMP errors never are, so backscatter is no scan.
func probeIn(s traffic.Sample) (probe, bool) {
	p := probe{host: s.Target.Addr(), port: s.Target.Port()}
	if s.Reply {
		return p, false
	}
	switch s.Class {
	case traffic.TCPSYN:
		p.method = bySYN
	case traffic.TCPFIN:
		p.method = byFIN
	case traffic.TCPNull:
		p.method = byNull
	case traffic.TCPXmas:
		p.method = byXmas
	case traffic.TCPOther:
		p.method = byOther
	case traffic.TCPACK, traffic.TCPFINACK:
		p.method = byACK
		return p, !toClient(s.Source.Port(), p.port)
	case traffic.UDP:
		p.method = byUDP
		return p, !answersClient(s.Source.Port(), p.port) && !isTraceroute(p.port) && !isBroadcast(p.host)
	case traffic.ICMPEcho:
		p.method, p.port = byICMP, 0
		return p, !isBroadcast(p.host)
	case traffic.Fragment:
		p.method = byFragment
		return p, s.Proto == protoTCP && p.port != 0
	default:
		return p, false
	}
	return p, true
}

// toClient tells whether TCP from one port to the other, whose beginning was not seen, is what a server sends its client. Hosts may
// be told to use nearly all ports as clients (ip_local_port_range).
func toClient(from, to uint16) bool {
	return to >= firstClientPort || (from < firstClientPort && to > lastSystemPort)
}

// answersClient tells whether UDP from one port to the other is how a service answers a client, asked for or not.
func answersClient(from, to uint16) bool {
	if to <= lastSystemPort {
		return false
	}
	return from <= lastSystemPort || slices.Contains(traffic.ReflectorPorts[:], from)
}

func isTraceroute(port uint16) bool { return port >= firstTracePort && port <= lastTracePort }

// isBroadcast tells whether host stands for many: hosts look for each other there. The broadcast address of a network smaller than
// a class C is not known here.
func isBroadcast(host netip.Addr) bool {
	return host.IsMulticast() || (host.Is4() && host.As4()[3] == 255)
}

// attempt is a probe and what became of it.
type attempt struct {
	probe

	at   time.Time
	done bool // a handshake was completed
}

const (
	// maxAttempts bounds what is remembered of one source before it is a scan.
	maxAttempts = 48
	// minAttempts is the least that may be called a scan.
	minAttempts = 3
	// evaluationWindows is for how many windows a new contact is reason to judge.
	evaluationWindows = 3
	// handshakeTimeout is how long a handshake may take before it counts as failed.
	handshakeTimeout = 500 * time.Millisecond
	// maxScansPerMethod is how many scans of one actor and method are told apart. What it does beyond them is one
	// block scan.
	maxScansPerMethod = 4
)

// sourceState is what is known about one source that tried something.
type sourceState struct {
	addr     netip.Addr
	last     time.Time
	contacts []attempt
	scans    []*scan
	due      int       // for so many windows more it is judged: something is new, or a handshake may still fail
	talked   time.Time // when it last sent far more UDP than there are ports: calls and games, no scan
	vlan     uint16
}

// done counts the handshakes it completed.
func (p *sourceState) done() int {
	n := 0
	for _, c := range p.contacts {
		if c.done {
			n++
		}
	}
	return n
}

// suspicion orders probers for eviction: the least goes first.
func (p *sourceState) suspicion() int { return len(p.contacts) - p.done() }

// completed notes that s, an ACK, ends a handshake that p began.
func (p *sourceState) completed(t probe) bool {
	for i, c := range p.contacts {
		if c.method == bySYN && c.host == t.host && c.port == t.port {
			p.contacts[i].done = true
			return true
		}
	}
	for _, s := range p.scans {
		if s.method == bySYN && s.covers(t.host, t.port) {
			return true
		}
	}
	return false
}

// answered notes that a port answered what p sent there by UDP: where both directions are seen.
func (p *sourceState) answered(host netip.Addr, port uint16) {
	for i, c := range p.contacts {
		if c.method == byUDP && c.host == host && c.port == port {
			p.contacts[i].done = true
		}
	}
}

// note remembers t; it returns false if there is no room.
func (p *sourceState) note(t probe, at time.Time) bool {
	for i, c := range p.contacts {
		if c.probe == t {
			p.contacts[i].at = at
			return true
		}
	}
	if len(p.contacts) >= maxAttempts {
		return false
	}
	p.contacts = append(p.contacts, attempt{probe: t, at: at})
	p.due = evaluationWindows
	return true
}

// forget drops what is older than memory.
func (p *sourceState) forget(before time.Time) {
	p.contacts = slices.DeleteFunc(p.contacts, func(c attempt) bool { return c.at.Before(before) })
}

package detect

import (
	"net/netip"
	"slices"

	"github.com/ironpost/ironpost/bpf/traffic"
)

// method is how a port or host is probed.
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
	// firstClientPort is the first port of clients, to which replies go (Linux
	// ip_local_port_range; RFC 6335 has 49152).
	firstClientPort = 32_768
	lastSystemPort  = 1023
	// traceroute counts up from the first of these (traceroute(8)).
	firstTracePort, lastTracePort = 33_434, 33_534
)

// probe is an attempt to find out about a port or a host.
type probe struct {
	host   netip.Addr
	port   uint16
	method method
}

// probeIn returns the probe that a sample is, and false if it is an answer or part of a
// conversation. SYN-ACK, RST and ICMP errors are never probes, so backscatter is no scan.
func probeIn(s traffic.Sample) (probe, bool) {
	p := probe{host: s.Target.Addr(), port: s.Target.Port()}
	if s.Reply {
		return p, false
	}
	from := s.Source.Port()
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
		// Not what a server sends its client, in a connection whose beginning was not seen.
		// Hosts may be configured to use nearly all ports as clients (ip_local_port_range).
		return p, p.port < firstClientPort && (from >= firstClientPort || p.port <= lastSystemPort)
	case traffic.UDP:
		p.method = byUDP
		isTraceroute := p.port >= firstTracePort && p.port <= lastTracePort
		return p, !answersClient(from, p.port) && !isTraceroute && !isBroadcast(p.host)
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

// answersClient reports whether UDP between the ports looks like the answer of a service to a
// client, solicited or not.
func answersClient(from, to uint16) bool {
	return to > lastSystemPort && (from <= lastSystemPort || slices.Contains(traffic.ReflectorPorts[:], from))
}

// isBroadcast reports whether host is an address at which hosts discover each other. The
// broadcast address of an IPv4 network smaller than a /24 is not recognised.
func isBroadcast(host netip.Addr) bool {
	return host.IsMulticast() || (host.Is4() && host.As4()[3] == 255)
}

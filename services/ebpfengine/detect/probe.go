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
	bySYNACK
	byRST
	bySCTPInit
	bySCTPCookie
	byProtocol
	methods
)

var methodNames = [methods]string{
	"syn", "fin", "null", "xmas", "ack", "udp", "icmp", "fragment", "other", "syn-ack", "rst", "sctp-init", "sctp-cookie", "protocol",
}

func (m method) String() string { return methodNames[m] }

const (
	protoICMP, protoTCP, protoUDP, protoICMPv6, protoSCTP = 1, 6, 17, 58, 132
	// The types of SCTP chunks (RFC 9260, section 3.2).
	chunkInit, chunkCookieEcho = 1, 10
	// firstClientPort is the first port of clients, to which replies go (Linux
	// ip_local_port_range; RFC 6335 has 49152).
	firstClientPort = 32_768
	lastSystemPort  = 1023
	// minBulk is the size from which UDP is no probe, but the beginning of a conversation, such as a QUIC Initial
	// (RFC 9000, section 14.1), which is padded so that it cannot be used for amplification.
	minBulk = 1200
	// traceroute counts up from the first of these (traceroute(8)).
	firstTracePort, lastTracePort = 33_434, 33_534
)

// probe is an attempt to find out about a port or a host. For byProtocol, port is the protocol's number.
type probe struct {
	host   netip.Addr
	port   uint16
	method method
}

// probeIn returns the probe that a sample is, and false if it is an answer or part of a
// conversation. ICMP errors are never probes, and SYN-ACK and RST only from a client's port
// to a service's, so backscatter is no scan.
func probeIn(s traffic.Sample) (probe, bool) {
	p := probe{host: s.Target.Addr(), port: s.Target.Port()}
	from := s.Source.Port()
	switch {
	case s.Class == traffic.TCPSYNACK:
		p.method = bySYNACK
		return p, isClientToService(from, p.port)
	case s.Class == traffic.TCPRST:
		p.method = byRST
		return p, isClientToService(from, p.port)
	case s.Reply && (s.Proto != protoSCTP || s.Flags != chunkCookieEcho):
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
		// Not what a server sends its client, in a connection whose beginning was not seen.
		// Hosts may be configured to use nearly all ports as clients (ip_local_port_range).
		return p, p.port < firstClientPort && (from >= firstClientPort || p.port <= lastSystemPort)
	case traffic.UDP:
		p.method = byUDP
		isTraceroute := p.port >= firstTracePort && p.port <= lastTracePort
		return p, !answersClient(from, p.port) && !isTraceroute && !isBroadcast(p.host) && !isDiscovery(s.Source.Addr(), p.port) && s.Bytes < minBulk
	case traffic.ICMPEcho:
		p.method, p.port = byICMP, 0
		return p, !isBroadcast(p.host)
	case traffic.ICMPOther: // the program samples requests for the time, the address mask and information
		p.method, p.port = byICMP, 0
		return p, !isBroadcast(p.host)
	case traffic.Other:
		return p, p.other(s)
	case traffic.Fragment:
		p.method = byFragment
		return p, s.Proto == protoTCP && p.port != 0
	default:
		return p, false
	}
	return p, true
}

// protocol returns the number of the IP protocol of the probe.
func (p probe) protocol() uint8 {
	switch {
	case p.method == byUDP:
		return protoUDP
	case p.method == byICMP && p.host.Is6():
		return protoICMPv6
	case p.method == byICMP:
		return protoICMP
	case p.method == bySCTPInit || p.method == bySCTPCookie:
		return protoSCTP
	case p.method == byProtocol:
		return uint8(p.port)
	}
	return protoTCP
}

// other completes the probe of another protocol than TCP, UDP and ICMP, and reports whether
// it is one.
func (p *probe) other(s traffic.Sample) bool {
	switch {
	case s.Proto != protoSCTP:
		p.method, p.port = byProtocol, uint16(s.Proto)
		return !isBroadcast(p.host)
	case s.Flags == chunkInit:
		p.method = bySCTPInit
	case s.Flags == chunkCookieEcho:
		p.method = bySCTPCookie
	default:
		return false
	}
	return p.port != 0
}

// isClientToService reports whether a packet goes from a client's port to one of a service.
func isClientToService(from, to uint16) bool { return from >= firstClientPort && to < firstClientPort }

// isDiscovery reports whether UDP is that of a device that looks for others of its network.
func isDiscovery(from netip.Addr, port uint16) bool {
	return (from.IsPrivate() || from.IsLinkLocalUnicast()) && isDiscoveryPort(port)
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

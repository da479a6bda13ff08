package traffic

// Class is the kind of a packet. TCP classes depend on FIN, SYN, RST, PSH, ACK and URG only; ECE and CWR are ignored, so 0xC2 is a SYN
// (RFC 3168, section 6.1.1).
type Class uint8

// The classes, in the order of enum class in bpf/src/state.h.
const (
	// TCPSYN has SYN and none of ACK, FIN, RST.
	TCPSYN Class = iota
	// TCPSYNACK has SYN and ACK and neither FIN nor RST.
	TCPSYNACK
	// TCPFIN has FIN, and none of ACK, SYN, RST, URG.
	TCPFIN
	// TCPNull has no flag at all.
	TCPNull
	// TCPXmas has FIN and URG, and none of ACK, SYN, RST; with or without PSH.
	TCPXmas
	// TCPACK has ACK and none of SYN, FIN, RST: data and bare acknowledgements.
	TCPACK
	// TCPFINACK has FIN and ACK and neither SYN nor RST: the normal end, and the Maimon probe.
	TCPFINACK
	// TCPRST has RST and neither SYN nor FIN.
	TCPRST
	// TCPOther is every other combination, such as SYN with FIN; no stack sends them.
	TCPOther
	// UDP is UDP, and UDP-Lite.
	UDP
	// ICMPEcho is an echo request (ICMP type 8, ICMPv6 type 128).
	ICMPEcho
	// ICMPOther is every other ICMP and ICMPv6 type.
	ICMPOther
	// Fragment is a fragment without a complete layer 4 header: every one but the first, and tiny first ones.
	Fragment
	// Other is every other IP protocol.
	Other
	// NonIP is a frame that is neither IPv4 nor IPv6, such as ARP.
	NonIP

	// NumClasses is the number of classes.
	NumClasses = iota
)

var classNames = [NumClasses]string{
	"tcp_syn", "tcp_synack", "tcp_fin", "tcp_null", "tcp_xmas", "tcp_ack", "tcp_finack", "tcp_rst", "tcp_other",
	"udp", "icmp_echo", "icmp_other", "fragment", "other", "non_ip",
}

// String returns the name of the class in records and metrics, such as "tcp_syn".
func (c Class) String() string {
	if int(c) >= len(classNames) {
		return "unknown"
	}
	return classNames[c]
}

// Anomalous reports a class of packets that no network stack sends, so that a single one makes the program keep a record of its source.
func (c Class) Anomalous() bool {
	return c == TCPFIN || c == TCPNull || c == TCPXmas || c == TCPOther
}

// Reason is why a packet is malformed. Malformed packets pass, unless their source could be read and is blocked.
type Reason uint8

// The reasons, in the order of enum reason in bpf/src/state.h.
const (
	// ShortEthernet is a frame without a complete Ethernet or VLAN header.
	ShortEthernet Reason = iota
	// ShortIP is a frame that ends within the IPv4 or IPv6 header.
	ShortIP
	// BadIP has a version, header length or total length that contradict each other or the EtherType.
	BadIP
	// CutIP states more bytes than the frame has. Replay does not report it: captures may cut frames.
	CutIP
	// ShortExtension ends within an IPv6 extension header.
	ShortExtension
	// TooManyExtensions has more than eight extension headers.
	TooManyExtensions
	// ShortTCP, ShortUDP and ShortICMP end within the layer 4 header.
	ShortTCP
	ShortUDP
	ShortICMP
	// BadTCP has a data offset below 5 words or beyond the packet.
	BadTCP
	// BadUDP has a length below 8 bytes or beyond the packet.
	BadUDP
	// BadFragment is an IPv4 or IPv6 fragment that ends beyond 65,535 bytes (the ping of death).
	BadFragment

	// NumReasons is the number of reasons.
	NumReasons = iota
)

var reasonNames = [NumReasons]string{
	"short_ethernet", "short_ip", "bad_ip", "cut_ip", "short_extension", "too_many_extensions",
	"short_tcp", "short_udp", "short_icmp", "bad_tcp", "bad_udp", "bad_fragment",
}

// String returns the name of the reason in metrics, such as "short_tcp".
func (r Reason) String() string {
	if int(r) >= len(reasonNames) {
		return "unknown"
	}
	return reasonNames[r]
}

// ReflectorPorts are the UDP source ports of services that are abused for amplification (US-CERT TA14-017A and later reports), in the
// order of reflector_of in bpf/src/ironpost.c.
var ReflectorPorts = [...]uint16{
	17, 19, 53, 69, 111, 123, 137, 161, 389, 427, 500, 520, 1194, 1434, 1900, 3283, 3389, 3478, 3702, 5060, 5351, 5353,
	5683, 6881, 10001, 11211, 17185, 20811, 27015, 33848, 37810, 47808,
}

package traffic

import "net/netip"

// Outgoing counts the packets to one address, in one window, that left through the interface and may be a flood: of this machine or of
// one behind it. What answers others is not counted. An address with more than a fifth of the packets of its set of the
// kernel's table is always there; counts of others are lower bounds.
type Outgoing struct {
	Addr  netip.Addr
	Bytes uint64
	// SYN counts connection attempts, Completed the ACK that completed one, UDP all UDP, ICMP requests (echo, timestamp, mask).
	SYN, Completed, UDP, ICMP uint64
	// Sender, Proto and Port are of the latest packet; of ICMP, Port is type<<8 | code.
	Sender netip.AddrPort
	Proto  uint8
	Port   uint16
	// Senders is the sketch of distinct source addresses. Its estimate ends at 45.
	Senders Registers
	// TopPorts holds the most frequent destination ports, the most frequent first, as lower bounds.
	TopPorts []PortCount
}

// Packets counts SYN, UDP and ICMP.
func (o *Outgoing) Packets() uint64 { return o.SYN + o.UDP + o.ICMP }

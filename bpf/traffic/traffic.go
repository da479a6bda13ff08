// Package traffic describes the counts of the packet program as plain Go values: one Window per second and interface, and Samples of
// single packets. It depends on no kernel, so that detectors and replay compile and are tested everywhere. The live engine and replay
// through BPF_PROG_TEST_RUN give the same types.
package traffic

import (
	"net/netip"
	"time"
)

// Count is a number of packets and of their bytes (layer 2 header included).
type Count struct{ Packets, Bytes uint64 }

// Add adds o to c.
func (c *Count) Add(o Count) {
	c.Packets += o.Packets
	c.Bytes += o.Bytes
}

// Counters are the exact counts of all CPUs in one window.
type Counters struct {
	// Packets and Bytes count all packets, including malformed ones and those that are not IP.
	Packets, Bytes uint64
	// ByClass counts packets that were parsed and not dropped, by Class.
	ByClass [NumClasses]uint64
	// Dropped counts packets dropped by an entry of the blocklist, Monitored those that a monitoring entry would have dropped,
	// Allowed those that passed because of the allow list.
	Dropped, Monitored, Allowed Count
	// DroppedFor counts the packets of Dropped by the lowest two bits of the entry's reason.
	DroppedFor [4]uint64
	// Fragmented counts fragments, first ones included; they are in ByClass too.
	Fragmented uint64
	// Malformed counts malformed packets that were not dropped, by Reason.
	Malformed [NumReasons]uint64
	// Candidates counts packets that were due to be sampled, Sampled those written to the ring buffer, RingLost those for which
	// it was full.
	Candidates, Sampled, RingLost uint64
	// SourcesRefused counts packets of sources that were due for a record but had no room for one, TargetsRefused those of targets
	// without room.
	SourcesRefused, TargetsRefused uint64
}

// Add adds o to c.
func (c *Counters) Add(o *Counters) {
	c.Packets += o.Packets
	c.Bytes += o.Bytes
	for i := range c.ByClass {
		c.ByClass[i] += o.ByClass[i]
	}
	c.Dropped.Add(o.Dropped)
	c.Monitored.Add(o.Monitored)
	c.Allowed.Add(o.Allowed)
	for i := range c.DroppedFor {
		c.DroppedFor[i] += o.DroppedFor[i]
	}
	c.Fragmented += o.Fragmented
	for i := range c.Malformed {
		c.Malformed[i] += o.Malformed[i]
	}
	c.Candidates += o.Candidates
	c.Sampled += o.Sampled
	c.RingLost += o.RingLost
	c.SourcesRefused += o.SourcesRefused
	c.TargetsRefused += o.TargetsRefused
}

// Source counts the packets of one promoted source in one window. A source is promoted, that is, gets a record of its own, when it has
// sent enough packets in a window, or one that no network stack sends (FIN, NULL, XMAS, tiny fragments); it stays promoted until it has
// sent nothing for some windows. Packets counts those before promotion too, estimated from the sketch.
type Source struct {
	Addr netip.Addr
	// VLAN is the outer VLAN id of the latest packet, 0 for none.
	VLAN           uint16
	Packets, Bytes uint64
	ByClass        [NumClasses]uint64
	// Probes counts packets that may open a conversation: SYN, anomalous flags, ICMP echo, and UDP and ACK that are not replies.
	// Only these are in Ports and Hosts. Replies counts packets that are known to be replies to this machine.
	Probes, Replies uint64
	// Ports and Hosts are the distinct destination ports and addresses of probes; Or makes the union of several windows. The
	// estimates are Ports.Estimate() and Hosts.Estimate().
	Ports, Hosts                 Bitmap
	PortsEstimate, HostsEstimate float64
	// SamplePorts and SampleHosts hold the latest few of them.
	SamplePorts []uint16
	SampleHosts []netip.Addr
	// Refused and Answered count RST (or ICMP unreachable) and SYN-ACK sent back to it, RSTWithoutACK the RST without ACK among the
	// refusals: the response to an ACK of no connection, while a refused or aborted connection gets a RST with ACK (RFC 9293,
	// section 3.10.7). See Window.Egress.
	Refused, Answered, RSTWithoutACK uint64
	// Completed counts the handshakes that it completed; with egress only those that this machine answered.
	Completed uint64
	// Fragmented counts its fragments, first ones included.
	Fragmented  uint64
	First, Last time.Time
}

// PortCount is the number of packets to a port.
type PortCount struct {
	Port    uint16
	Packets uint64
}

// Target counts the packets to one address in one window, from all sources.
type Target struct {
	Addr           netip.Addr
	Packets, Bytes uint64
	ByClass        [NumClasses]uint64
	// SYN counts connection attempts, ACKCompleted the handshakes completed by the client's ACK. SYNACKOut and RSTOut count the
	// target's responses, RSTWithoutACK the RST without ACK among them (see Source); see Window.Egress.
	SYN, SYNACKOut, RSTOut, RSTWithoutACK, ACKCompleted uint64
	// Sources is the sketch of distinct source addresses, SourcesEstimate its estimate. Merge makes the union of several windows.
	Sources         Registers
	SourcesEstimate float64
	// Fragmented counts fragments, first ones included.
	Fragmented uint64
	// TopPorts holds the most frequent destination ports, the most frequent first, as lower bounds.
	TopPorts []PortCount
	// Origins holds the most frequent origins of UDP and of class Other, the most frequent first; with Egress only unsolicited
	// packets count. OtherReplies counts packets of class Other that are solicited.
	Origins      []Origin
	OtherReplies uint64
	// Slices counts packets by time of arrival: the element of a time is its nanoseconds / SliceLength modulo the number of Slices,
	// which is a little more than a second.
	Slices      [16]uint64
	First, Last time.Time
}

// Window holds the counts of one interface in one window, the input of the detectors.
type Window struct {
	Interface  string
	Start, End time.Time
	Totals     Counters
	// Sources holds the promoted sources with packets in this window, Targets the addresses that received any, both busiest
	// first.
	Sources []Source
	Targets []Target
	// Outgoing holds the addresses that this machine, or one behind it, sent what may be a flood to, busiest first. It is empty
	// without the egress program.
	Outgoing []Outgoing
	// SourcesEstimate is the number of distinct source addresses, promoted or not.
	SourcesEstimate float64
	// Sampling is the reciprocal of the share of candidates that became Samples, at least 1.
	Sampling uint32
	// Lost counts samples for which the ring buffer was full.
	Lost uint64
	// Egress says that outgoing packets are seen (TCX program attached, or a capture of both directions), so that Refused, Answered,
	// RSTWithoutACK, SYNACKOut and RSTOut are meaningful even if 0.
	Egress bool
}

// Sample is a try, or the outcome of one. A try is the first packet of a (source, target, target port, kind) in about two minutes,
// within the sampling budget; SYN, ACK and FIN-ACK are of one kind. So a scan of one port a minute is one Sample a minute. Ports are 0
// without ports; for ICMP the target's port is type<<8 | code. Each sampled try is followed by at most one outcome, outside the budget.
type Sample struct {
	Time           time.Time
	Source, Target netip.AddrPort
	// Proto is the IP protocol number after extension headers.
	Proto uint8
	// Flags are the TCP flags, ECE and CWR included; of SCTP the type of the first chunk.
	Flags    uint8
	Class    Class
	Bytes    uint32
	Fragment bool
	VLAN     uint16
	// Reply says that the packet is a reply to one that this machine sent (see Window.Egress).
	Reply bool
	// Outcome is not Open for an outcome: Source, Target and Class are then those of the try, and Flags and Bytes those of the packet
	// that ended it.
	Outcome Outcome
	// Outbound says that the packet left through the interface: a try of this machine, or of one behind it.
	Outbound bool
}

// Outcome is what is known of a try.
type Outcome uint8

// The outcomes, in the order of the enum in bpf/src/tries.h.
const (
	// Open is a try that may still be answered.
	Open Outcome = iota
	// Answered is a completed handshake, a reply to UDP or to an ICMP query; of outbound tries, a SYN-ACK.
	Answered
	// Refused is a RST.
	Refused
)

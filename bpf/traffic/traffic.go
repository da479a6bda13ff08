// Package traffic describes what the packet program counted, as plain Go values: one Window for each interval and
// interface, and Samples of single packets. It knows neither the kernel nor a library for it, so that detectors and
// offline replay compile and are tested everywhere. The live engine, replay through BPF_PROG_TEST_RUN and the pure-Go
// model all fill the same types.
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

// Counters sums one interval over all CPUs; they are exact.
type Counters struct {
	// Packets and Bytes count everything the program saw, malformed and not IP included.
	Packets, Bytes uint64
	// ByClass counts what was parsed and not dropped, by Class.
	ByClass [NumClasses]Count
	// Dropped counts what a block entry dropped, Monitored what an entry that only watches would have dropped,
	// Allowed what the allow list let through without asking the blocklist.
	Dropped, Monitored, Allowed Count
	// DroppedFor counts the packets of Dropped by the lowest two bits of the entry's reason.
	DroppedFor [4]uint64
	// Fragmented counts fragments, first ones included; these are in ByClass too.
	Fragmented uint64
	// Malformed counts packets passed unread, by Reason.
	Malformed [NumReasons]uint64
	// Candidates counts packets that were due to be sampled, Sampled those that were handed to the ring buffer,
	// RingLost those that found it full.
	Candidates, Sampled, RingLost uint64
	// SourcesRefused counts packets of sources due for a record of their own for which there was no room;
	// TargetsRefused counts packets of targets that had no room.
	SourcesRefused, TargetsRefused uint64
}

// Add adds o to c.
func (c *Counters) Add(o *Counters) {
	c.Packets += o.Packets
	c.Bytes += o.Bytes
	for i := range c.ByClass {
		c.ByClass[i].Add(o.ByClass[i])
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

// Source is what one promoted address sent in one interval. A source is promoted when it passes the rate gate or sends
// what no stack sends (FIN, NULL, XMAS, tiny fragments); it stays so until it has been silent for some intervals.
// Packets before promotion within the interval are estimated from the sketch and contained in Packets.
type Source struct {
	Addr netip.Addr
	// VLAN is the outer VLAN id of its latest packet, 0 for untagged.
	VLAN           uint16
	Packets, Bytes uint64
	ByClass        [NumClasses]uint64
	// Probes counts packets that may open a conversation: SYN, odd flags, and UDP, ICMP echo, ACK that answer
	// nothing. Only these go into Ports and Hosts. Replies counts those known to answer something of ours.
	Probes, Replies uint64
	// Ports and Hosts are the distinct destination ports and addresses probed; sets of several intervals may be
	// united with Or. The estimates are Ports.Estimate() and Hosts.Estimate().
	Ports, Hosts                 Bitmap
	PortsEstimate, HostsEstimate float64
	// SamplePorts and SampleHosts hold the newest few distinct ones.
	SamplePorts []uint16
	SampleHosts []netip.Addr
	// Refused and Answered count RST (or ICMP unreachable) and SYN-ACK that went back to it, Disproved the RST without ACK among
	// the refusals: the answer to an ACK that belongs to no connection, while one that is refused or aborted gets a RST with
	// ACK (RFC 9293, section 3.10.7). See Window.Egress.
	Refused, Answered, RSTWithoutACK uint64
	// Fragmented counts its fragments, first ones included.
	Fragmented  uint64
	First, Last time.Time
}

// PortCount is how many packets went to a port.
type PortCount struct {
	Port    uint16
	Packets uint64
}

// Target is what one address received in one interval, from all sources.
type Target struct {
	Addr           netip.Addr
	Packets, Bytes uint64
	ByClass        [NumClasses]uint64
	// SYN counts connection attempts, ACKCompleted the handshakes completed by the client's ACK. SYNACKOut and
	// RSTOut count what the target answered, Disproved the RST without ACK among it (see Source); see Window.Egress.
	SYN, SYNACKOut, RSTOut, RSTWithoutACK, ACKCompleted uint64
	// Sources is the sketch of distinct source addresses, SourcesEstimate its value. Sketches may be merged.
	Sources         Registers
	SourcesEstimate float64
	// Fragmented counts fragments, first ones included.
	Fragmented uint64
	// TopPorts holds the most frequent destination ports, the most frequent first, as lower bounds.
	TopPorts []PortCount
	// FromReflectorPorts counts UDP packets by source port for the ports of ReflectorPorts; where Egress is seen, only
	// those nobody here is known to have asked for.
	FromReflectorPorts map[uint16]uint64
	First, Last        time.Time
}

// Window is all a detector sees of one interval on one interface.
type Window struct {
	Interface  string
	Start, End time.Time
	Totals     Counters
	// Sources holds the promoted sources with packets in this interval, Targets the addresses that received any,
	// both busiest first.
	Sources []Source
	Targets []Target
	// SourcesEstimate is the number of distinct source addresses, promoted or not.
	SourcesEstimate float64
	// Sampling is the reciprocal of the share of candidates that became Samples, at least 1.
	Sampling uint32
	// Lost counts samples that found the ring buffer full.
	Lost uint64
	// Egress says that answers were seen (TCX program attached, or a capture of both directions), so that Refused,
	// Answered, Disproved, SYNACKOut and RSTOut mean something even when they are 0.
	Egress bool
}

// Sample is one packet: the first of a (source, target, target port) seen lately, as far as the sampling budget goes.
// So a scan of one port a minute is one Sample a minute. Ports are 0 where the packet has none to read; for ICMP the
// target's port holds type<<8 | code.
type Sample struct {
	Time           time.Time
	Source, Target netip.AddrPort
	// Proto is the IP protocol number after extension headers.
	Proto uint8
	// Flags are the TCP flags as on the wire, ECE and CWR included.
	Flags    uint8
	Class    Class
	Bytes    uint32
	Fragment bool
	VLAN     uint16
	// Reply says that the packet answers one that was seen going out (see Window.Egress).
	Reply bool
}

package detect

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/ironpost/ironpost/event"
)

// The names of detections; the package documentation describes them.
const (
	PortScan        = "port_scan"
	HostScan        = "host_scan"
	BlockScan       = "block_scan"
	SlowScan        = "slow_scan"
	SYNFlood        = "syn_flood"
	UDPFlood        = "udp_flood"
	ICMPFlood       = "icmp_flood"
	FragmentFlood   = "fragment_flood"
	TCPFlood        = "tcp_flood"
	IPFlood         = "ip_flood"
	Reflection      = "reflection"
	ConnectionFlood = "connection_flood"

	// Discovery and PeerToPeer are notices, no attacks: they have no phase.
	Discovery  = "discovery"
	PeerToPeer = "peer_to_peer"
)

// Names returns all names, in the order of the documentation.
func Names() []string {
	return []string{
		PortScan, HostScan, BlockScan, SlowScan, SYNFlood, UDPFlood, ICMPFlood, FragmentFlood, TCPFlood, IPFlood, Reflection, ConnectionFlood,
		Discovery, PeerToPeer,
	}
}

// Counts returns the names of all counts except the record number, the most telling first.
func Counts() []string {
	return []string{
		countProbes, countPorts, countHosts, countAddresses, countRefused, countAnswered, countConnections, countSYN, countSYNACK, countACK, countHalfOpen,
		countSources, countSpoofed, countPeak, countPerSecond, countBurst, countPulses, countFragments, countPackets, countBytes, countBytesSecond,
	}
}

// Actors that are not an address, and cannot be blocked.
const (
	Spoofed     = "spoofed"
	Distributed = "distributed"
)

// The phases: of the first record of an attack, of updates, and of the last.
const (
	PhaseBegun   = "begun"
	PhaseOngoing = "ongoing"
	PhaseOver    = "over"
)

// Outbound is the direction of attacks by this machine, or by one behind it.
const Outbound = "outbound"

// Evidence that may be missing.
const (
	MissingEgress  = "egress"
	MissingFlags   = "flags"
	MissingSamples = "samples"
	MissingMemory  = "memory"
)

// Detection is one record about an attack: the first, an update, or the last. Its parts
// are not shared with the Detector.
type Detection struct {
	event.TrafficFinding

	Interface string
	// Flow is a conversation of an outbound attack, the latest that was seen, and EarlierFlow one of another attempt, or of a window
	// before.
	Flow, EarlierFlow Flow
	// Began is when the attack began, Time the end of the window of this record.
	Began, Time time.Time
	// Sampling and Lost are those of that window.
	Sampling uint32
	Lost     uint64
}

// Flow is a conversation as it left through the interface, behind the address translation of this host. Ports are 0 where unknown.
type Flow struct {
	Proto          uint8
	Source, Target netip.AddrPort
}

// Packet returns d as a record of host. The record's id follows from the attack and the
// number of the record, so a capture read twice gives the same ids; the trace id is one for
// all records of an attack.
func (d Detection) Packet(host string) *event.Packet {
	attack := event.ID(host, d.Interface, d.Name, d.Method, d.Direction, d.Actor, d.Target.IP, fmt.Sprint(d.Target.Port), fmt.Sprint(d.Began.UnixNano()))
	finding := d.TrafficFinding
	return &event.Packet{
		ID: event.ID(attack, d.Phase, fmt.Sprint(d.Counts[countRecord])), Schema: event.Schema, TraceID: attack,
		Time: d.Time.UTC(), Host: host, Interface: d.Interface,
		Kind: event.Detection, Sampling: d.Sampling, Lost: d.Lost, Detection: &finding,
	}
}

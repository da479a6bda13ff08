package detect

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
	"time"

	"github.com/ironpost/ironpost/event"
)

// The names of findings; the package documentation says what each means.
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
	Reflection      = "reflection"
	ConnectionFlood = "connection_flood"
)

// Names returns all names, in the order of the documentation.
func Names() []string {
	return []string{
		PortScan, HostScan, BlockScan, SlowScan, SYNFlood, UDPFlood, ICMPFlood, FragmentFlood, TCPFlood, Reflection, ConnectionFlood,
	}
}

// Counts returns all names of counts but that of the announcement, what tells most first.
func Counts() []string {
	return []string{
		countProbes, countPorts, countHosts, countRefused, countAnswered, countConnections, countSYN, countSYNACK, countACK, countHalfOpen,
		countSources, countSpoofed, countPeak, countPerSecond, countFragments, countPackets, countBytes, countBytesSecond,
	}
}

// Actors that are no address. Nobody can or should block them.
const (
	Spoofed     = "spoofed"
	Distributed = "distributed"
)

// The phases of an attack.
const (
	PhaseBegun   = "begun"
	PhaseOngoing = "ongoing"
	PhaseOver    = "over"
)

// What may be lacking.
const (
	MissingEgress  = "egress"
	MissingFlags   = "flags"
	MissingSamples = "samples"
	MissingMemory  = "memory"
)

// Detection is one announcement of an attack. Its parts are not shared with the Detector.
type Detection struct {
	event.TrafficFinding

	Interface string
	// Began is when the attack did, Time the end of the window it is announced for.
	Began, Time time.Time
	// Sampling and Lost are those of that window.
	Sampling uint32
	Lost     uint64
}

// Packet returns f as a record of host. Its id follows from what was found and when it began, so
// that a capture read twice gives the same records.
func (f Detection) Packet(host string) *event.Packet {
	id := f.id(host)
	finding := f.TrafficFinding
	return &event.Packet{
		ID: id, Schema: event.Schema, TraceID: f.trace(host), Time: f.Time.UTC(), Host: host, Interface: f.Interface,
		Kind: event.Detection, Sampling: f.Sampling, Lost: f.Lost, Detection: &finding,
	}
}

func (f Detection) id(host string) string {
	return digest(f.key(host), f.Phase, fmt.Sprint(f.Counts[countRecord]))
}

// trace is one for all announcements of an attack.
func (f Detection) trace(host string) string { return digest("trace", f.key(host)) }

func (f Detection) key(host string) string {
	return fmt.Sprintf("%s|%s|%s|%s|%s|%s|%d|%d", host, f.Interface, f.Name, f.Method, f.Actor, f.Target.IP, f.Target.Port, f.Began.UnixNano())
}

// digest is the hash of parts, each with its length.
func digest(parts ...string) string {
	h := sha256.New()
	for _, part := range parts {
		_, _ = fmt.Fprintf(h, "%d:%s", len(part), part) // a hash takes everything
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

func endpoint(a netip.Addr, port uint16) event.Endpoint {
	return event.Endpoint{IP: a.String(), Port: port}
}

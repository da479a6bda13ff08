package event

import (
	"fmt"
	"time"
)

// PacketKind tells the four shapes of a Packet record apart.
type PacketKind string

// The kinds of Packet. A record fills the one part named like its kind.
const (
	Window    PacketKind = "window"
	Flows     PacketKind = "flows"
	Detection PacketKind = "detection"
	Blocked   PacketKind = "blocked"
)

// Caps on what one Packet may carry.
const (
	MaxTalkers = 50
	MaxSamples = 512
)

// Packet is what the packet engine saw on one interface. Sampling is the reciprocal of
// the sampling rate (1: every packet); Lost counts the records that the engine could not
// publish.
type Packet struct {
	ID        string     `json:"id"`
	Schema    int        `json:"schema"`
	TraceID   string     `json:"trace_id"`
	Time      time.Time  `json:"time"`
	Host      string     `json:"host"`
	Interface string     `json:"interface"`
	Kind      PacketKind `json:"kind"`
	Sampling  uint32     `json:"sampling,omitempty"`
	Lost      uint64     `json:"lost,omitempty"`

	Window    *TrafficWindow   `json:"window,omitempty"`
	Flows     []Flow           `json:"flows,omitempty"`
	Detection *TrafficFinding  `json:"detection,omitempty"`
	Blocked   []BlockedTraffic `json:"blocked,omitempty"`
}

// TrafficWindow sums one interval. Classes counts packets by class, such as
// "tcp_syn", "udp" or "malformed". Sources estimates how many different addresses
// sent any; Promoted counts those that the engine tracks one by one, because they sent
// many or suspicious packets. Talkers holds the busiest of these.
type TrafficWindow struct {
	DurationMS int64             `json:"duration_ms"`
	Packets    uint64            `json:"packets"`
	Bytes      uint64            `json:"bytes"`
	Dropped    uint64            `json:"dropped"`
	Classes    map[string]uint64 `json:"classes,omitempty"`
	Sources    uint64            `json:"sources,omitempty"`
	Promoted   uint64            `json:"promoted,omitempty"`
	Talkers    []Talker          `json:"talkers,omitempty"`
}

// Talker is one busy source.
type Talker struct {
	IP      string `json:"ip"`
	Packets uint64 `json:"packets"`
	Bytes   uint64 `json:"bytes"`
}

// Flow is one sampled packet.
type Flow struct {
	Source   Endpoint `json:"source"`
	Target   Endpoint `json:"target"`
	Protocol string   `json:"protocol"`
	Flags    string   `json:"flags,omitempty"`
	Bytes    uint32   `json:"bytes"`
}

// TrafficFinding is a detection: an attack in the traffic, with the counts that are its
// evidence. Actor is an address, "spoofed" where the source addresses are not credible, or
// "distributed" where they are many. Method is how (syn, udp, dns …), Phase whether it
// has begun, is ongoing or over. Ports and Hosts are a sample of the targets. Lacking
// names evidence that could not be collected. Direction is "outbound" where the actor is
// the watched host or one behind it, and else empty; NATAddress is then the address that its
// packets have behind the host's address translation, if that differs. MayBeDecoy says that others do the
// same to the target at the same time, so that the actor's address may be forged. Package
// services/ebpfengine/detect lists the values of each.
type TrafficFinding struct {
	Name       string            `json:"name"`
	Method     string            `json:"method,omitempty"`
	Phase      string            `json:"phase,omitempty"`
	Actor      string            `json:"actor"`
	Target     Endpoint          `json:"target"`
	Direction  string            `json:"direction,omitempty"`
	NATAddress string            `json:"nat_address,omitempty"`
	MayBeDecoy bool              `json:"may_be_decoy,omitempty"`
	DurationMS int64             `json:"duration_ms"`
	Counts     map[string]uint64 `json:"counts,omitempty"`
	Ports      []uint16          `json:"ports,omitempty"`
	Hosts      []string          `json:"hosts,omitempty"`
	Lacking    []string          `json:"lacking,omitempty"`
}

// BlockedTraffic counts what one blocklist entry dropped.
type BlockedTraffic struct {
	Prefix  string `json:"prefix"`
	Reason  string `json:"reason,omitempty"`
	Packets uint64 `json:"packets"`
	Bytes   uint64 `json:"bytes"`
}

// Meta implements Record.
func (p *Packet) Meta() Meta {
	return Meta{ID: p.ID, Schema: p.Schema, TraceID: p.TraceID}
}

// Validate returns the first reason why p is not a valid packet record.
func (p *Packet) Validate() error {
	return firstError(
		validMeta(p.Meta(), p.Time),
		required("host", p.Host),
		required("interface", p.Interface),
		p.validatePart(),
	)
}

func (p *Packet) validatePart() error {
	filled := map[PacketKind]bool{
		Window: p.Window != nil, Flows: len(p.Flows) > 0,
		Detection: p.Detection != nil, Blocked: len(p.Blocked) > 0,
	}
	known, ok := filled[p.Kind]
	if !ok {
		return fmt.Errorf("kind %q is none of window, flows, detection, blocked", string(p.Kind))
	}
	if !known {
		return fmt.Errorf("kind %q without its part", string(p.Kind))
	}
	return nil
}

func (p *Packet) clamp() {
	p.Flows = first(p.Flows, MaxSamples)
	p.Blocked = first(p.Blocked, MaxSamples)
	if p.Window != nil {
		w := *p.Window
		w.Talkers = first(w.Talkers, MaxTalkers)
		p.Window = &w
	}
}

func (p *Packet) dropDetail() bool {
	switch {
	case len(p.Flows) > 1:
		p.Flows = p.Flows[:len(p.Flows)/2]
	case len(p.Blocked) > 1:
		p.Blocked = p.Blocked[:len(p.Blocked)/2]
	default:
		return false
	}
	return true
}

package detect

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"github.com/ironpost/ironpost/bpf/traffic"
)

// The counts of floods.
const (
	countSources     = "sources"
	countSYN         = "syn"
	countSYNACK      = "syn_ack"
	countACK         = "ack"
	countHalfOpen    = "half_open"
	countSpoofed     = "spoofed_percent"
	countPerSecond   = "packets_per_second"
	countPeak        = "peak_per_second"
	countBytesSecond = "bytes_per_second"
)

// flood is a running flood.
type flood struct {
	*attack

	kind    floodKind
	sources traffic.Registers
}

// floods finds floods in the traffic to each target, and sources that open too many
// connections.
type floods struct {
	cfg        Config
	attacks    *attacks
	scans      *scans
	connectors map[netip.Addr]*connector

	targets map[netip.Addr]*targetState
	active  map[identity]*flood
}

// sample remembers the source of each kind of traffic to a target: the actor of a flood
// from one source.
func (f *floods) sample(s traffic.Sample) {
	v := f.target(s.Target.Addr())
	if s.Class == traffic.UDP && slices.Contains(traffic.ReflectorPorts[:], s.Source.Port()) {
		v.countReflectorSample(s.Reply)
	}
	if k, ok := kindOf(s); ok {
		v.lastSource[k] = s.Source.Addr()
	}
}

func kindOf(s traffic.Sample) (floodKind, bool) {
	switch s.Class {
	case traffic.TCPSYN:
		return kindSYN, true
	case traffic.UDP:
		return kindUDP, !s.Reply
	case traffic.ICMPEcho, traffic.ICMPOther:
		return kindICMP, true
	case traffic.Fragment:
		return kindFragment, true
	case traffic.TCPACK, traffic.TCPRST, traffic.TCPOther, traffic.TCPNull, traffic.TCPXmas, traffic.TCPFIN:
		return kindTCP, !s.Reply
	}
	return 0, false
}

// target returns the state of a target, creating it if there is room.
func (f *floods) target(addr netip.Addr) *targetState {
	v := f.targets[addr]
	if v == nil {
		v = &targetState{}
		if len(f.targets) >= maxTargets {
			return v // for this call only: a busy target would have got a place
		}
		f.targets[addr] = v
	}
	return v
}

// endWindow evaluates the traffic of a window.
func (f *floods) endWindow(w traffic.Window) {
	sources := indexSources(w)
	for i := range w.Targets {
		t := &w.Targets[i]
		v := f.target(t.Addr)
		v.add(measure(t, w, f.legitimateTraffic(t, w, sources), float64(f.cfg.TCPFloodPPS)))
		for k := range kinds {
			f.evaluate(targetTraffic{w: w, t: t, v: v, kind: k, sources: sources})
		}
	}
	f.checkConnections(w)
	for addr, v := range f.targets {
		v.solicited, v.unsolicited = v.solicited/2, v.unsolicited/2
		if len(v.windows) == 0 || w.End.Sub(v.windows[len(v.windows)-1].at) > floodIdle {
			delete(f.targets, addr)
		}
	}
}

// legitimateTraffic sums the traffic to t that is known to be no flood.
func (f *floods) legitimateTraffic(t *traffic.Target, w traffic.Window, sources sourceIndex) legitimate {
	var e legitimate
	if own := sources.byAddr[t.Addr]; own != nil {
		e.refusals, e.pings = float64(own.Refused), float64(own.ByClass[traffic.ICMPEcho])
		e.calls = float64(own.ByClass[traffic.TCPSYN])
	}
	for _, src := range sources.sendingTo(t.Addr) {
		if !f.isQueryFlood(src, t, w) {
			e.replies += float64(min(src.Replies, src.ByClass[traffic.UDP]))
		}
	}
	for _, sc := range f.scans.active {
		if sc.method == byFragment && !sc.ended && sc.hosts.has(hashAddr(t.Addr.As16())) {
			e.fragments += float64(t.Fragmented)
		}
	}
	return e
}

// isQueryFlood reports whether src sends t so many queries that they are a flood although t
// answers them. A service that answers each query on its own has many clients; tunnels,
// calls and downloads are long conversations of one. Ports are counted for all traffic to
// t, TCP too, so only what the other sources cannot have sent counts for src.
func (f *floods) isQueryFlood(src *traffic.Source, t *traffic.Target, w traffic.Window) bool {
	udp := float64(src.ByClass[traffic.UDP])
	if udp < f.limit(kindUDP)/2*max(1, w.End.Sub(w.Start).Seconds()) {
		return false
	}
	others := -udp
	for _, n := range t.ByClass[:traffic.UDP+1] {
		others += float64(n)
	}
	return slices.ContainsFunc(t.TopPorts, func(p traffic.PortCount) bool {
		return answersEachQuery(p.Port) && 2*(float64(p.Packets)-max(0, others)) >= udp
	})
}

// answersEachQuery reports whether the service of a port answers each query on its own.
func answersEachQuery(port uint16) bool {
	return port == 53 || slices.Contains(traffic.ReflectorPorts[:], port) && !slices.Contains(busyPorts[:], port)
}

// evaluate starts or updates a flood if the traffic to the target amounts to one.
func (f *floods) evaluate(s targetTraffic) {
	rate, share := s.v.rate(s.kind)
	limit := f.limit(s.kind)
	if rate < limit/2 || share < 0.5 || s.packets() == 0 || !s.isFlood() {
		return
	}
	id := identity{name: kindNames[s.kind], method: s.method(), target: s.t.Addr, port: s.port()}
	var spoofed uint64
	id.actor, spoofed = s.actor()
	fl := f.active[id]
	if fl == nil {
		if rate < limit {
			return
		}
		id = f.coarsen(id)
		if fl = f.active[id]; fl == nil {
			fl = f.start(id, s)
		}
	}
	fl.add(s, spoofed)
}

// coarsen bounds the floods of one kind at one target that are told apart: an attacker
// that changes ports or addresses every second does not make a flood of each.
func (f *floods) coarsen(id identity) identity {
	const ports, actors = 4, 8
	wide := id
	wide.port = 0
	if f.active[wide] != nil {
		return wide
	}
	n := 0
	for other := range f.active {
		if other.name == id.name && other.target == id.target {
			n++
		}
	}
	if n >= ports {
		id.port = 0
	}
	if n >= actors && id.actor != Spoofed {
		id.actor = Distributed
	}
	return id
}

func (f *floods) limit(k floodKind) float64 {
	return float64([kinds]int{
		f.cfg.SYNFloodPPS, f.cfg.UDPFloodPPS, f.cfg.ICMPFloodPPS, f.cfg.FragmentFloodPPS, f.cfg.TCPFloodPPS,
		f.cfg.ReflectionPPS, f.cfg.ReflectionPPS,
	}[k])
}

func (f *floods) start(id identity, s targetTraffic) *flood {
	began := s.t.First
	if began.IsZero() || began.Before(s.w.Start) || began.After(s.w.End) {
		began = s.w.Start
	}
	fl := &flood{attack: f.attacks.start(id, began, s.w.End), kind: s.kind}
	fl.idle = floodIdle
	fl.onEnd = func() { delete(f.active, id) }
	f.active[id] = fl
	return fl
}

// add adds a window to the counts of a flood.
func (fl *flood) add(s targetTraffic, spoofed uint64) {
	fl.last, fl.changed = s.w.End, true
	if s.t.Last.After(fl.began) && s.t.Last.Before(fl.last) {
		fl.last = s.t.Last
	}
	amount := s.packets()
	perSecond := uint64(amount/max(s.seconds(), time.Millisecond.Seconds()) + 0.5)
	fl.counts[countPackets] += uint64(amount)
	fl.counts[countBytes] += uint64(amount * s.bytesPerPacket())
	fl.counts[countPerSecond] = perSecond
	fl.counts[countPeak] = max(fl.counts[countPeak], perSecond)
	fl.counts[countBytesSecond] = uint64(float64(perSecond) * s.bytesPerPacket())
	fl.mergeSources(s.t)
	if fl.kind != kindReflectedUDP && fl.kind != kindReflectedTCP {
		fl.counts[countSpoofed] = max(fl.counts[countSpoofed], spoofed)
	}
	if fl.kind == kindSYN {
		fl.counts[countSYN] += s.t.SYN
		fl.counts[countACK] += s.t.ACKCompleted
		fl.counts[countHalfOpen] += uint64(amount)
		if s.w.Egress {
			fl.counts[countSYNACK] += s.t.SYNACKOut
		}
	}
	if fl.kind == kindFragment || s.t.Fragmented > 0 {
		fl.counts[countFragments] += s.t.Fragmented
	}
	if !s.w.Egress {
		fl.missing[MissingEgress] = true
	}
	for _, p := range s.t.TopPorts {
		if fl.kind == kindSYN || fl.kind == kindUDP {
			fl.showPort(p.Port)
		}
	}
}

// mergeSources counts the different sources of the whole flood.
func (fl *flood) mergeSources(t *traffic.Target) {
	if len(fl.sources) < len(t.Sources) {
		fl.sources = append(traffic.Registers(nil), t.Sources...)
	} else {
		fl.sources.Merge(t.Sources)
	}
	estimate := cmp.Or(fl.sources.Estimate(), t.SourcesEstimate)
	fl.counts[countSources] = max(fl.counts[countSources], uint64(max(estimate, t.SourcesEstimate)+0.5))
}

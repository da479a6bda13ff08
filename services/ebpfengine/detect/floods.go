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
	countBurst       = "burst_ms"
	countPulses      = "pulses"
)

// flood is a running flood.
type flood struct {
	*attack

	kind    floodKind
	sources traffic.Registers
	origin  traffic.Origin // of reflected UDP: its sources, while there are few
}

// floods finds floods in the traffic to each target, and sources that open too many
// connections.
type floods struct {
	cfg        Config
	attacks    *attacks
	scans      *scans
	connectors map[netip.Addr]*connector

	targets  map[netip.Addr]*targetState
	networks map[netip.Prefix]*targetState
	active   map[identity]*flood
	paused   map[identity]pausedFlood
	verdicts *verdicts
	peers    *peers // of outgoing packets; nil for floods against this machine
}

func newFloods(cfg Config, a *attacks, s *scans) *floods {
	s.verdicts = newVerdicts()
	return &floods{
		verdicts: s.verdicts, cfg: cfg, attacks: a, scans: s, connectors: map[netip.Addr]*connector{},
		targets: map[netip.Addr]*targetState{}, networks: map[netip.Prefix]*targetState{}, active: map[identity]*flood{},
		paused: map[identity]pausedFlood{},
	}
}

// sample remembers the source of each kind of traffic to a target: the actor of a flood
// from one source.
func (f *floods) sample(s traffic.Sample) {
	v := f.target(s.Target.Addr())
	if s.Class == traffic.TCPSYN {
		v.synPorts.add(s.Target.Port())
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
	case traffic.Other:
		return kindIP, !s.Reply
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
		known := f.legitimateTraffic(t, w, sources)
		v.reflected, known.reflected = reflectedPackets(t, w.Egress)
		if f.isReflectionOfFragments(v, t.Addr) {
			known.fragments = float64(t.Fragmented)
		}
		v.add(measure(t, w, known, float64(f.cfg.TCPFloodPPS)))
	}
	f.evaluateAll(w, sources)
	f.checkConnections(w)
	f.forgetIdle(w.End)
}

// evaluateAll starts and updates the floods of a window whose targets were measured.
func (f *floods) evaluateAll(w traffic.Window, sources sourceIndex) {
	inNetworks := f.evaluateNetworks(w, sources)
	for i := range w.Targets {
		t := &w.Targets[i]
		v := f.targets[t.Addr]
		if v == nil {
			continue
		}
		found := inNetworks[networkOf(t.Addr)]
		for k := range kinds {
			if !found[k] && f.finds(k) {
				f.evaluate(targetTraffic{w: w, t: t, v: v, kind: k, senders: sources.sendingTo(t.Addr), outbound: f.isOutbound()})
			}
		}
	}
	f.verdicts.endWindow(f.active)
}

func (f *floods) forgetIdle(now time.Time) {
	for addr, v := range f.targets {
		v.synPorts = majority{}
		if v.isIdle(now) {
			delete(f.targets, addr)
		}
	}
	for prefix, v := range f.networks {
		if v.isIdle(now) {
			delete(f.networks, prefix)
		}
	}
	f.forgetPaused(now)
}

// isReflectionOfFragments reports whether fragments to a target belong to a reflection that goes on: large answers come in fragments.
func (f *floods) isReflectionOfFragments(v *targetState, target netip.Addr) bool {
	const large = 1000 // bytes
	for _, o := range v.reflected {
		id := identity{name: Reflection, method: reflectorProtocol(o.Port), actor: Spoofed, target: target}
		if o.Size >= large && f.active[id] != nil {
			return true
		}
	}
	return false
}

// legitimateTraffic sums the traffic to t that is known to be no flood.
func (f *floods) legitimateTraffic(t *traffic.Target, w traffic.Window, sources sourceIndex) legitimate {
	var e legitimate
	if own := sources.byAddr[t.Addr]; own != nil {
		e.refusals, e.pings = float64(own.Refused), float64(own.ByClass[traffic.ICMPEcho])
		e.calls = float64(own.ByClass[traffic.TCPSYN])
	}
	e.calls += float64(sources.calls[t.Addr])
	for _, src := range sources.sendingTo(t.Addr) {
		if !f.isQueryFlood(src, t, w) {
			e.replies += float64(min(src.Replies, src.ByClass[traffic.UDP]))
		}
		e.scanned += f.scannedSYN(src)
	}
	for _, sc := range f.scans.active {
		if sc.method == byFragment && !sc.ended && sc.hosts.has(hashAddr(t.Addr.As16())) {
			e.fragments += float64(t.Fragmented)
		}
	}
	return e
}

// scannedSYN returns how many SYN of src to each of its targets are those of a scan: they go to many ports, and few to each.
func (f *floods) scannedSYN(src *traffic.Source) float64 {
	ports, hosts := src.Ports.Estimate(), max(1, src.Hosts.Estimate())
	syn := float64(src.ByClass[traffic.TCPSYN] - min(src.ByClass[traffic.TCPSYN], src.Completed))
	if ports < float64(f.cfg.ScanPorts) || syn > bulkPerPort*ports*hosts {
		return 0
	}
	return syn / hosts
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

// evaluate starts or updates a flood if the traffic to the target amounts to one, and reports whether it does.
func (f *floods) evaluate(s targetTraffic) bool {
	rate, share := s.v.rate(s.kind)
	if share < 0.5 {
		return false
	}
	if s.kind != kindReflectedUDP {
		return f.evaluateOne(s, rate)
	}
	found := false
	for _, s.origin = range s.v.reflected { // each port is an attack of its own
		found = f.evaluateOne(s, rate) || found
	}
	return found
}

func (f *floods) evaluateOne(s targetTraffic, rate float64) bool {
	limit := f.limit(s.kind)
	burst := f.isBurst(s, limit)
	fast := s.packets() >= limit*max(1, s.seconds())
	if rate < limit/2 && !burst && !fast || s.packets() == 0 || !s.isFlood(limit) {
		return false
	}
	id := identity{name: kindNames[s.kind], method: s.method(), target: s.t.Addr, network: s.network, port: s.port(), outbound: f.isOutbound()}
	var spoofed uint64
	id.actor, spoofed = s.actor()
	if f.scans.scanning(id) && !s.isMoreThanScan() {
		return false // many ports by one address: the scan has been told
	}
	id = f.withActiveActor(id)
	fl := f.active[id]
	if fl == nil {
		if sustained := rate >= limit || burst; !sustained && !fast || f.verdicts.wait(id, s, sustained) {
			return false
		}
		id = f.coarsen(id)
		if fl = f.active[id]; fl == nil {
			fl = f.start(id, s)
		}
	}
	fl.add(s, spoofed)
	return true
}

// isBurst reports whether a burst shorter than the window is a flood by itself: at three times the limit, and as many packets as the
// limit allows in a second.
func (f *floods) isBurst(s targetTraffic, limit float64) bool {
	const factor, least = 3, 1000
	n, lasting := s.burst()
	return n >= max(limit, least) && n >= factor*limit*lasting.Seconds()
}

// withActiveActor returns id with the other word for many sources if a flood goes on that differs in nothing else.
func (f *floods) withActiveActor(id identity) identity {
	other := id
	switch id.actor {
	case Spoofed:
		other.actor = Distributed
	case Distributed:
		other.actor = Spoofed
	}
	if f.active[id] == nil && f.active[other] != nil {
		return other
	}
	return id
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
		if other.name == id.name && other.target == id.target && other.network == id.network {
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

// finds reports whether floods of a kind are looked for: of outgoing packets, only those that open conversations are counted.
func (f *floods) finds(k floodKind) bool {
	return !f.isOutbound() || k == kindSYN || k == kindUDP || k == kindICMP
}

// isOutbound reports whether the floods are those by this machine, and by those behind it.
func (f *floods) isOutbound() bool { return f.peers != nil }

func (f *floods) limit(k floodKind) float64 {
	syn := f.cfg.SYNFloodPPS
	if f.isOutbound() {
		syn *= outboundSYN
	}
	return float64([kinds]int{
		syn, f.cfg.UDPFloodPPS, f.cfg.ICMPFloodPPS, f.cfg.FragmentFloodPPS, f.cfg.TCPFloodPPS,
		f.cfg.ReflectionPPS, f.cfg.ReflectionPPS, f.cfg.IPFloodPPS,
	}[k])
}

func (f *floods) start(id identity, s targetTraffic) *flood {
	began := s.t.First
	if began.IsZero() || began.Before(s.w.Start) || began.After(s.w.End) {
		began = s.w.Start
	}
	fl := &flood{attack: f.attacks.start(id, began, s.w.End), kind: s.kind}
	fl.idle = floodIdle
	if p, found := f.paused[id]; found {
		fl.resume(p, began)
		delete(f.paused, id)
	}
	fl.onEnd = func() {
		delete(f.active, id)
		f.pause(fl)
	}
	f.active[id] = fl
	return fl
}

// add adds a window to the counts of a flood.
func (fl *flood) add(s targetTraffic, spoofed uint64) {
	if s.w.Start.Sub(fl.last) > rateSpan {
		fl.countPulse()
	}
	fl.last, fl.changed = s.w.End, true
	if s.t.Last.After(fl.began) && s.t.Last.Before(fl.last) {
		fl.last = s.t.Last
	}
	amount := s.packets()
	rate, burst := s.perSecond()
	perSecond := uint64(rate + 0.5)
	fl.counts[countPackets] += uint64(amount)
	fl.counts[countBytes] += uint64(amount * s.bytesPerPacket())
	fl.counts[countPerSecond] = perSecond
	fl.counts[countPeak] = max(fl.counts[countPeak], perSecond)
	fl.counts[countBytesSecond] = uint64(float64(perSecond) * s.bytesPerPacket())
	if burst > 0 {
		fl.counts[countBurst] = max(fl.counts[countBurst], uint64(burst.Milliseconds()))
	} else {
		delete(fl.counts, countBurst)
	}
	fl.mergeSources(s)
	fl.flows = s.v.flows[s.kind]
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
func (fl *flood) mergeSources(s targetTraffic) {
	t := s.t
	if fl.origin.SourceBits |= s.origin.SourceBits; fl.kind == kindReflectedUDP && fl.origin.Sources() < traffic.MaxOriginSources/2 {
		fl.counts[countSources] = uint64(fl.origin.Sources() + 0.5)
		return
	}
	if len(fl.sources) < len(t.Sources) {
		fl.sources = append(traffic.Registers(nil), t.Sources...)
	} else {
		fl.sources.Merge(t.Sources)
	}
	estimate := cmp.Or(fl.sources.Estimate(), t.SourcesEstimate)
	fl.counts[countSources] = max(fl.counts[countSources], uint64(max(estimate, t.SourcesEstimate)+0.5))
}

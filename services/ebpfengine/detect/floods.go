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

const (
	// manySources are more than one attacker has, perForged the most packets a second that one forged source is seen with.
	manySources = 16
	perForged   = 8
	// spreadSources are so many that a flood needs no port in common.
	spreadSources = 32
	// Answers of servers are a reflection from this mean size on where honest ones are common: DNS.
	amplified = 400
	// answering is that size elsewhere: an NTP answer has 90 bytes, the list that is misused 482.
	answering = 120
)

// flood is one that runs.
type flood struct {
	*attack

	kind    kind
	sources traffic.Registers
}

// floods follows what arrives at each target.
type floods struct {
	cfg     Config
	running *running
	scans   *scans
	openers map[netip.Addr]*opener

	victims map[netip.Addr]*victim
	active  map[identity]*flood
}

func newFloods(cfg Config, r *running, s *scans) *floods {
	return &floods{
		cfg: cfg, running: r, scans: s, openers: map[netip.Addr]*opener{},
		victims: map[netip.Addr]*victim{}, active: map[identity]*flood{},
	}
}

// sample remembers who was seen sending what to a target: for a flood from one source, that is its actor.
func (f *floods) sample(s traffic.Sample) {
	v := f.victim(s.Target.Addr())
	if s.Class == traffic.UDP && slices.Contains(traffic.ReflectorPorts[:], s.Source.Port()) {
		v.heard(s.Reply)
	}
	if k, ok := kindOf(s); ok {
		v.from[k] = s.Source.Addr()
	}
}

func kindOf(s traffic.Sample) (kind, bool) {
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

func (f *floods) victim(addr netip.Addr) *victim {
	v := f.victims[addr]
	if v == nil {
		v = &victim{}
		if len(f.victims) >= maxVictims {
			return v // lives for this call: the target is not among the busiest, or it would have been first
		}
		f.victims[addr] = v
	}
	return v
}

// settle ends a window.
func (f *floods) settle(w traffic.Window) {
	by := sendersOf(w)
	for i := range w.Targets {
		t := &w.Targets[i]
		v := f.victim(t.Addr)
		v.add(measure(t, w, f.explain(t, by), float64(f.cfg.TCPFloodPPS)))
		for k := range kinds {
			f.weigh(strike{w: w, t: t, v: v, kind: k, by: by})
		}
	}
	f.connections(w)
	for addr, v := range f.victims {
		v.asked, v.unasked = v.asked/2, v.unasked/2
		if len(v.windows) == 0 || w.End.Sub(v.windows[len(v.windows)-1].at) > floodIdle {
			delete(f.victims, addr)
		}
	}
}

// explain sums what the promoted sources of t are known to do there.
func (f *floods) explain(t *traffic.Target, by senders) explained {
	var e explained
	if own := by.addr[t.Addr]; own != nil {
		e.refusals, e.pings = float64(own.Refused), float64(own.ByClass[traffic.ICMPEcho])
		e.calls = float64(own.ByClass[traffic.TCPSYN])
	}
	for _, src := range by.to(t.Addr) {
		e.replies += float64(min(src.Replies, src.ByClass[traffic.UDP]))
	}
	for _, sc := range f.scans.active {
		if sc.method == byFragment && !sc.over && sc.hosts.has(hashAddr(t.Addr.As16())) {
			e.fragments += float64(t.Fragmented)
		}
	}
	return e
}

// maxAnywhere bounds the sources that may have sent to any target; the busiest come first.
const maxAnywhere = 64

// senders finds the promoted sources of a window.
type senders struct {
	addr     map[netip.Addr]*traffic.Source
	host     map[netip.Addr][]*traffic.Source // by whom they were seen to send to
	anywhere []*traffic.Source                // a record shows hosts for probes only: who sent none may have reached any
}

func sendersOf(w traffic.Window) senders {
	by := senders{addr: make(map[netip.Addr]*traffic.Source, len(w.Sources)), host: map[netip.Addr][]*traffic.Source{}}
	for i := range w.Sources {
		src := &w.Sources[i]
		by.addr[src.Addr] = src
		for _, host := range src.SampleHosts {
			by.host[host] = append(by.host[host], src)
		}
		if len(src.SampleHosts) == 0 && len(by.anywhere) < maxAnywhere {
			by.anywhere = append(by.anywhere, src)
		}
	}
	return by
}

// to returns those that sent to host, or may have.
func (s senders) to(host netip.Addr) []*traffic.Source {
	return slices.Concat(s.host[host], s.anywhere)
}

// strike is one kind of traffic at one target in one window.
type strike struct {
	w    traffic.Window
	t    *traffic.Target
	v    *victim
	by   senders
	kind kind
}

// amount is how many packets of the kind the window held.
func (s strike) amount() float64 { return s.v.windows[len(s.v.windows)-1].by[s.kind] }

// weigh begins or goes on with the flood that s is, if it is one.
func (f *floods) weigh(s strike) {
	rate, share := s.v.rate(s.kind)
	limit := f.limit(s.kind)
	if rate < limit/2 || share < 0.5 || s.amount() == 0 || !s.hostile() {
		return
	}
	id := identity{name: kindNames[s.kind], method: s.method(), target: s.t.Addr, port: s.port()}
	var spoofed uint64
	id.actor, spoofed = f.actor(s)
	fl := f.active[id]
	if fl == nil {
		if rate < limit {
			return
		}
		id = f.bounded(id)
		if fl = f.active[id]; fl == nil {
			fl = f.begin(id, s)
		}
	}
	fl.add(s, spoofed)
}

// bounded tells floods of one kind at one target apart up to a number: who changes the port or the address every second makes no
// more of them.
func (f *floods) bounded(id identity) identity {
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

func (f *floods) limit(k kind) float64 {
	return float64([kinds]int{
		f.cfg.SYNFloodPPS, f.cfg.UDPFloodPPS, f.cfg.ICMPFloodPPS, f.cfg.FragmentFloodPPS, f.cfg.TCPFloodPPS,
		f.cfg.ReflectionPPS, f.cfg.ReflectionPPS,
	}[k])
}

// hostile tells a flood from what honest hosts do at such a rate.
func (s strike) hostile() bool {
	switch s.kind {
	case kindSYN:
		// A scan begins many connections too, but from one source to many ports.
		return s.t.SourcesEstimate >= spreadSources || port(s.t, s.v.windows[len(s.v.windows)-1].by[kindSYN]) != 0
	case kindReflectedUDP:
		return s.amplifies()
	}
	return true
}

// amplifies tells a reflection from a busy client of the same service: large answers, or a protocol no client is busy with.
func (s strike) amplifies() bool {
	if s.w.Egress && s.v.honest() {
		return false
	}
	if slices.Contains(busyPorts[:], s.reflector()) {
		return s.t.SourcesEstimate >= manySources && s.bytesPerPacket() >= amplified
	}
	return s.bytesPerPacket() >= answering
}

// busyPorts are reflector ports with honest traffic at high rates: DNS, VPN, VoIP, remote desktops, games.
var busyPorts = [...]uint16{53, 500, 1194, 3389, 3478, 5060, 5353, 6881, 27015}

func (s strike) bytesPerPacket() float64 {
	const largest = 65_535 + 14 // IP over Ethernet
	return min(largest, float64(s.t.Bytes)/max(1, float64(s.t.Packets)))
}

// reflector is the source port most answers come from.
func (s strike) reflector() uint16 {
	var best uint16
	for p, n := range s.t.FromReflectorPorts {
		if m := s.t.FromReflectorPorts[best]; n > m || (n == m && p < best) {
			best = p
		}
	}
	return best
}

func (s strike) method() string {
	switch s.kind {
	case kindReflectedUDP:
		return reflectorName(s.reflector())
	case kindReflectedTCP:
		return "tcp"
	case kindTCP:
		n := s.t.ByClass
		odd := n[traffic.TCPOther] + n[traffic.TCPNull] + n[traffic.TCPXmas] + n[traffic.TCPFIN]
		data := n[traffic.TCPACK] + n[traffic.TCPFINACK]
		switch {
		case data >= odd && data >= n[traffic.TCPRST]:
			return "ack"
		case n[traffic.TCPRST] >= odd:
			return "rst"
		}
		return "other"
	}
	return ""
}

// port is the one under attack, if it is one.
func (s strike) port() uint16 {
	switch s.kind {
	case kindSYN, kindUDP, kindTCP:
		return port(s.t, s.amount())
	}
	return 0
}

// actor names who sends s, and estimates how many of 100 sources are forged.
func (f *floods) actor(s strike) (string, uint64) {
	amount, sources := s.amount(), s.t.SourcesEstimate
	if s.kind == kindReflectedUDP || s.kind == kindReflectedTCP {
		return Spoofed, 0 // the servers are real, and misused
	}
	if sources < 1.5 && s.v.from[s.kind].IsValid() {
		return s.v.from[s.kind].String(), 0
	}
	top, most, known := s.top()
	if 2*most >= amount {
		return top.String(), 0
	}
	forged := max(0, amount-known) / amount
	if sources < manySources || amount > perForged*sources*max(1, s.seconds()) {
		forged = 0
	}
	percent := uint64(100*forged + 0.5)
	if percent >= 50 {
		return Spoofed, percent
	}
	return Distributed, percent
}

func (s strike) seconds() float64 { return s.w.End.Sub(s.w.Start).Seconds() }

// top returns the promoted source that sends most of the kind to the target, how much that is, and the sum of those that send
// more than a forged one would.
func (s strike) top() (addr netip.Addr, most, sum float64) {
	for _, src := range s.by.to(s.t.Addr) {
		n := s.of(src)
		if n > perForged*max(1, s.seconds()) {
			sum += n // few packets are what a forged address has, too
		}
		if n > most {
			addr, most = src.Addr, n
		}
	}
	return addr, most, sum
}

// of is how much of the kind src sent, to whomever.
func (s strike) of(src *traffic.Source) float64 {
	n := src.ByClass
	switch s.kind {
	case kindSYN:
		return float64(n[traffic.TCPSYN])
	case kindUDP:
		return float64(n[traffic.UDP])
	case kindICMP:
		return float64(n[traffic.ICMPEcho] + n[traffic.ICMPOther])
	case kindFragment:
		return float64(src.Fragmented)
	case kindTCP:
		return float64(n[traffic.TCPACK] + n[traffic.TCPFINACK] + n[traffic.TCPRST] + n[traffic.TCPOther] + n[traffic.TCPNull] + n[traffic.TCPXmas] + n[traffic.TCPFIN])
	}
	return 0
}

func (f *floods) begin(id identity, s strike) *flood {
	began := s.t.First
	if began.IsZero() || began.Before(s.w.Start) || began.After(s.w.End) {
		began = s.w.Start
	}
	fl := &flood{attack: f.running.begin(id, began, s.w.End), kind: s.kind}
	fl.idle = floodIdle
	fl.whenOver = func() { delete(f.active, id) }
	f.active[id] = fl
	return fl
}

// add writes the sums of a flood.
func (fl *flood) add(s strike, spoofed uint64) {
	fl.last, fl.fresh = s.w.End, true
	if s.t.Last.After(fl.began) && s.t.Last.Before(fl.last) {
		fl.last = s.t.Last
	}
	amount := s.amount()
	perSecond := uint64(amount/max(s.seconds(), time.Millisecond.Seconds()) + 0.5)
	fl.counts[countPackets] += uint64(amount)
	fl.counts[countBytes] += uint64(amount * s.bytesPerPacket())
	fl.counts[countPerSecond] = perSecond
	fl.counts[countPeak] = max(fl.counts[countPeak], perSecond)
	fl.counts[countBytesSecond] = uint64(float64(perSecond) * s.bytesPerPacket())
	fl.unite(s.t)
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
		fl.lacking[LackEgress] = true
	}
	for _, p := range s.t.TopPorts {
		if fl.kind == kindSYN || fl.kind == kindUDP {
			fl.showPort(p.Port)
		}
	}
}

// unite counts the sources of the whole flood.
func (fl *flood) unite(t *traffic.Target) {
	if len(fl.sources) < len(t.Sources) {
		fl.sources = append(traffic.Registers(nil), t.Sources...)
	} else {
		fl.sources.Merge(t.Sources)
	}
	estimate := cmp.Or(fl.sources.Estimate(), t.SourcesEstimate)
	fl.counts[countSources] = max(fl.counts[countSources], uint64(max(estimate, t.SourcesEstimate)+0.5))
}

package detect

import (
	"net/netip"
	"slices"
	"time"

	"github.com/ironpost/ironpost/bpf/traffic"
)

// bulkUDPMemory is how long a source that talked by UDP is not suspected for it.
const bulkUDPMemory = time.Minute

// evictionSample is how many probers are compared when one must go.
const evictionSample = 32

// scans follows who tries what. Memory is bounded by Config.MaxSources: the least
// suspicious of some is forgotten for a new one, and never one whose scan runs, so that forged
// sources push out each other rather than a scanner.
type scans struct {
	cfg     Config
	attacks *attacks
	stats   *Stats

	sources map[netip.Addr]*sourceState
	order   []*sourceState // the same, for eviction
	hand    int
	active  []*scan
}

func newScans(cfg Config, r *attacks, stats *Stats) *scans {
	return &scans{cfg: cfg, attacks: r, stats: stats, sources: map[netip.Addr]*sourceState{}}
}

// sample takes in one sampled packet.
func (d *scans) sample(s traffic.Sample) {
	if p := d.sources[s.Target.Addr()]; p != nil && s.Reply && s.Class == traffic.UDP {
		p.answered(s.Source.Addr(), s.Source.Port())
	}
	t, ok := probeIn(s)
	if !ok {
		if s.Class == traffic.TCPSYNACK || s.Class == traffic.TCPRST {
			d.stats.Backscatter++
		}
		return
	}
	p := d.sources[s.Source.Addr()]
	if t.method == byACK && p != nil && p.completed(t) {
		return
	}
	if p == nil {
		p = d.source(s.Source.Addr())
	}
	p.last, p.vlan = s.Time, s.VLAN
	if sc := p.covering(t); sc != nil {
		sc.add(t, s.Time)
		return
	}
	if p.note(t, s.Time) {
		return
	}
	d.evaluate(p, s.Time, true)
	if sc := p.covering(t); sc != nil {
		sc.add(t, s.Time)
		return
	}
	p.room()
	p.note(t, s.Time)
}

func (p *sourceState) covering(t probe) *scan {
	for _, sc := range p.scans {
		if sc.method == t.method && sc.covers(t.host, t.port) {
			return sc
		}
	}
	return nil
}

// room drops a completed contact, else the oldest.
func (p *sourceState) room() {
	if i := slices.IndexFunc(p.contacts, func(c attempt) bool { return c.done }); i >= 0 {
		p.contacts = slices.Delete(p.contacts, i, i+1)
		return
	}
	p.contacts = slices.Delete(p.contacts, 0, 1)
}

// source returns the prober of addr, made if need be.
func (d *scans) source(addr netip.Addr) *sourceState {
	if p := d.sources[addr]; p != nil {
		return p
	}
	p := &sourceState{addr: addr}
	d.sources[addr] = p
	if len(d.order) < d.cfg.MaxSources {
		d.order = append(d.order, p)
		return p
	}
	at := d.evictionCandidate()
	delete(d.sources, d.order[at].addr)
	d.order[at] = p
	d.stats.Evicted++
	return p
}

func (d *scans) evictionCandidate() int {
	best := -1
	for looked := 0; looked < len(d.order) && (looked < evictionSample || best < 0); looked++ {
		d.hand = (d.hand + 1) % len(d.order)
		p := d.order[d.hand]
		if len(p.scans) > 0 {
			continue
		}
		if best < 0 || p.suspicion() < d.order[best].suspicion() {
			best = d.hand
		}
		if p.suspicion() <= 1 {
			break
		}
	}
	return max(best, 0) // each has a scan that runs: it goes on without its prober
}

// evaluate begins the scans that p's contacts amount to by now. full: there is no time to wait for handshakes.
func (d *scans) evaluate(p *sourceState, now time.Time, full bool) {
	p.forget(now.Add(-d.cfg.memory()))
	for {
		failed := filter(p.contacts, func(c attempt) bool {
			return !c.done && (full || now.Sub(c.at) >= handshakeTimeout) && (c.method != byUDP || now.Sub(p.talked) >= bulkUDPMemory)
		})
		if len(failed) < minAttempts || len(failed) < p.done() {
			return
		}
		c, ok := bestCandidate(d.cfg, failed, full)
		if !ok {
			return
		}
		d.start(p, c)
	}
}

// start makes c a scan that runs; its contacts are the scan's from now on.
func (d *scans) start(p *sourceState, c candidate) *scan {
	c = p.widened(c)
	name := c.name(d.cfg.slowGap())
	first, last := c.span()
	id := identity{name: name, method: c.method.String(), actor: p.addr.String(), target: c.host}
	if c.shape == horizontal {
		id.port = c.port
	}
	sc := &scan{attack: d.attacks.begin(id, first, last), shape: c.shape, method: c.method, host: c.host, port: c.port}
	sc.idle = fastIdle
	if name == SlowScan {
		sc.idle = slowIdle
	}
	if c.method == byFragment {
		sc.missing[MissingFlags] = true
	}
	for _, t := range c.attempts {
		sc.add(t.probe, t.at)
	}
	p.contacts = slices.DeleteFunc(p.contacts, func(t attempt) bool { return t.method == c.method && sc.covers(t.host, t.port) })
	p.scans = append(p.scans, sc)
	d.active = append(d.active, sc)
	sc.onEnd = func() { d.end(p, sc) }
	return sc
}

// widened makes one block scan of what an actor does beyond maxOfOneActor scans of a method.
func (p *sourceState) widened(c candidate) candidate {
	n := 0
	for _, sc := range p.scans {
		if sc.method == c.method {
			n++
		}
	}
	if n >= maxScansPerMethod-1 {
		c.shape = block
	}
	return c
}

func (d *scans) end(p *sourceState, sc *scan) {
	p.scans = slices.DeleteFunc(p.scans, func(o *scan) bool { return o == sc })
	d.active = slices.DeleteFunc(d.active, func(o *scan) bool { return o == sc })
}

// endWindow ends a window: probers are judged, and the sums of the scans written.
func (d *scans) endWindow(w traffic.Window) {
	for _, p := range d.order {
		if p.due > 0 && len(p.contacts) >= minAttempts {
			d.evaluate(p, w.End, false)
		}
		p.due = max(0, p.due-1)
	}
	d.addRecords(w)
	for _, sc := range d.active {
		sc.tally(sc.probes)
		if !w.Egress {
			sc.missing[MissingEgress] = true
		}
		if w.Lost > 0 && sc.changed {
			sc.missing[MissingSamples] = true
		}
	}
	d.expireSources(w.End.Add(-d.cfg.memory()))
}

// expireSources forgets probers that were silent for longer than memory, a few at a time.
func (d *scans) expireSources(before time.Time) {
	for range min(len(d.order), 256) {
		d.hand = (d.hand + 1) % len(d.order)
		p := d.order[d.hand]
		if !p.last.Before(before) || len(p.scans) > 0 {
			continue
		}
		delete(d.sources, p.addr)
		last := len(d.order) - 1
		d.order[d.hand] = d.order[last]
		d.order = d.order[:last]
		if last == 0 {
			return
		}
		d.hand %= last
	}
}

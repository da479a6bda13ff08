package detect

import (
	"net/netip"
	"slices"
	"time"

	"github.com/ironpost/ironpost/bpf/traffic"
)

// talk is how long a source that talked by UDP is not suspected for it.
const talk = time.Minute

// evictionLook is how many probers are compared when one must go.
const evictionLook = 32

// scans follows who tries what. Memory is bounded by Config.MaxSources: the least
// suspicious of some is forgotten for a new one, and never one whose scan runs, so that forged
// sources push out each other rather than a scanner.
type scans struct {
	cfg     Config
	running *running
	stats   *Stats

	byAddr map[netip.Addr]*prober
	order  []*prober // the same, for eviction
	hand   int
	active []*scan
}

func newScans(cfg Config, r *running, stats *Stats) *scans {
	return &scans{cfg: cfg, running: r, stats: stats, byAddr: map[netip.Addr]*prober{}}
}

// sample takes in one sampled packet.
func (d *scans) sample(s traffic.Sample) {
	if p := d.byAddr[s.Target.Addr()]; p != nil && s.Reply && s.Class == traffic.UDP {
		p.answered(s.Source.Addr(), s.Source.Port())
	}
	t, ok := probeOf(s)
	if !ok {
		if s.Class == traffic.TCPSYNACK || s.Class == traffic.TCPRST {
			d.stats.Backscatter++
		}
		return
	}
	p := d.byAddr[s.Source.Addr()]
	if t.method == byACK && p != nil && p.completed(t) {
		return
	}
	if p == nil {
		p = d.meet(s.Source.Addr())
	}
	p.last, p.vlan = s.Time, s.VLAN
	if sc := p.covering(t); sc != nil {
		sc.add(t, s.Time)
		return
	}
	if p.note(t, s.Time) {
		return
	}
	d.judge(p, s.Time, true)
	if sc := p.covering(t); sc != nil {
		sc.add(t, s.Time)
		return
	}
	p.room()
	p.note(t, s.Time)
}

func (p *prober) covering(t probe) *scan {
	for _, sc := range p.scans {
		if sc.method == t.method && sc.covers(t.host, t.port) {
			return sc
		}
	}
	return nil
}

// room drops a completed contact, else the oldest.
func (p *prober) room() {
	if i := slices.IndexFunc(p.contacts, func(c contact) bool { return c.done }); i >= 0 {
		p.contacts = slices.Delete(p.contacts, i, i+1)
		return
	}
	p.contacts = slices.Delete(p.contacts, 0, 1)
}

// meet returns the prober of addr, made if need be.
func (d *scans) meet(addr netip.Addr) *prober {
	if p := d.byAddr[addr]; p != nil {
		return p
	}
	p := &prober{addr: addr}
	d.byAddr[addr] = p
	if len(d.order) < d.cfg.MaxSources {
		d.order = append(d.order, p)
		return p
	}
	at := d.leastSuspicious()
	delete(d.byAddr, d.order[at].addr)
	d.order[at] = p
	d.stats.Evicted++
	return p
}

func (d *scans) leastSuspicious() int {
	best := -1
	for looked := 0; looked < len(d.order) && (looked < evictionLook || best < 0); looked++ {
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

// judge begins the scans that p's contacts amount to by now. full: there is no time to wait for handshakes.
func (d *scans) judge(p *prober, now time.Time, full bool) {
	p.forget(now.Add(-d.cfg.memory()))
	for {
		failed := only(p.contacts, func(c contact) bool {
			return !c.done && (full || now.Sub(c.at) >= patience) && (c.method != byUDP || now.Sub(p.talked) >= talk)
		})
		if len(failed) < minPairs || len(failed) < p.done() {
			return
		}
		c, ok := amounts(d.cfg, failed, full)
		if !ok {
			return
		}
		d.begin(p, c)
	}
}

// begin makes c a scan that runs; its contacts are the scan's from now on.
func (d *scans) begin(p *prober, c candidate) *scan {
	c = p.widened(c)
	name := c.name(d.cfg.slowGap())
	first, last := c.span()
	id := identity{name: name, method: c.method.String(), actor: p.addr.String(), target: c.host}
	if c.shape == horizontal {
		id.port = c.port
	}
	sc := &scan{attack: d.running.begin(id, first, last), shape: c.shape, method: c.method, host: c.host, port: c.port}
	sc.idle = fastIdle
	if name == SlowScan {
		sc.idle = slowIdle
	}
	if c.method == byFragment {
		sc.lacking[MissingFlags] = true
	}
	for _, t := range c.contacts {
		sc.add(t.probe, t.at)
	}
	p.contacts = slices.DeleteFunc(p.contacts, func(t contact) bool { return t.method == c.method && sc.covers(t.host, t.port) })
	p.scans = append(p.scans, sc)
	d.active = append(d.active, sc)
	sc.whenOver = func() { d.end(p, sc) }
	return sc
}

// widened makes one block scan of what an actor does beyond maxOfOneActor scans of a method.
func (p *prober) widened(c candidate) candidate {
	n := 0
	for _, sc := range p.scans {
		if sc.method == c.method {
			n++
		}
	}
	if n >= maxOfOneActor-1 {
		c.shape = block
	}
	return c
}

func (d *scans) end(p *prober, sc *scan) {
	p.scans = slices.DeleteFunc(p.scans, func(o *scan) bool { return o == sc })
	d.active = slices.DeleteFunc(d.active, func(o *scan) bool { return o == sc })
}

// settle ends a window: probers are judged, and the sums of the scans written.
func (d *scans) settle(w traffic.Window) {
	for _, p := range d.order {
		if p.due > 0 && len(p.contacts) >= minPairs {
			d.judge(p, w.End, false)
		}
		p.due = max(0, p.due-1)
	}
	d.promoted(w)
	for _, sc := range d.active {
		sc.tally(sc.probes)
		if !w.Egress {
			sc.lacking[MissingEgress] = true
		}
		if w.Lost > 0 && sc.fresh {
			sc.lacking[MissingSamples] = true
		}
	}
	d.sweep(w.End.Add(-d.cfg.memory()))
}

// sweep forgets probers that were silent for longer than memory, a few at a time.
func (d *scans) sweep(before time.Time) {
	for range min(len(d.order), 256) {
		d.hand = (d.hand + 1) % len(d.order)
		p := d.order[d.hand]
		if !p.last.Before(before) || len(p.scans) > 0 {
			continue
		}
		delete(d.byAddr, p.addr)
		last := len(d.order) - 1
		d.order[d.hand] = d.order[last]
		d.order = d.order[:last]
		if last == 0 {
			return
		}
		d.hand %= last
	}
}

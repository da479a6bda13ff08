package detect

import (
	"net/netip"
	"slices"
	"time"

	"github.com/ironpost/ironpost/bpf/traffic"
)

const (
	// bulkUDPMemory is how long UDP of a source with bulk UDP counts as no probe.
	bulkUDPMemory = time.Minute
	// evictionSample is how many sources are compared when one has to be evicted.
	evictionSample = 32
	// expiryBatch is how many sources are checked for expiry in each window.
	expiryBatch = 256
)

// scans finds scans in samples and in the kernel's records of sources. Memory is bounded
// by Config.MaxSources: for a new source one of those with the fewest failed attempts is
// evicted, never one with a running scan, so that forged sources evict each other rather
// than a scanner.
type scans struct {
	cfg     Config
	attacks *attacks
	stats   *Stats

	sources map[netip.Addr]*sourceState
	order   []*sourceState // the same, for eviction and expiry
	hand    int            // position in order, as of a clock
	active  []*scan
}

// sample adds one sampled packet.
func (d *scans) sample(s traffic.Sample) {
	if p := d.sources[s.Target.Addr()]; p != nil && s.Reply && s.Class == traffic.UDP {
		p.markAnswered(s.Source.Addr(), s.Source.Port())
	}
	t, ok := probeIn(s)
	if !ok {
		if s.Class == traffic.TCPSYNACK || s.Class == traffic.TCPRST {
			d.stats.Backscatter++
		}
		return
	}
	p := d.sources[s.Source.Addr()]
	if t.method == byACK && p != nil && p.completeHandshake(t) {
		return
	}
	if p == nil {
		p = d.newSource(s.Source.Addr())
	}
	p.last = s.Time
	if sc := p.scanOf(t); sc != nil {
		sc.add(t, s.Time)
		return
	}
	if p.add(t, s.Time) {
		return
	}
	d.evaluate(p, s.Time, true)
	if sc := p.scanOf(t); sc != nil {
		sc.add(t, s.Time)
		return
	}
	p.makeRoom()
	p.add(t, s.Time)
}

// newSource adds the state of a new source, in place of another if there is no room.
func (d *scans) newSource(addr netip.Addr) *sourceState {
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
	for seen := 0; seen < len(d.order) && (seen < evictionSample || best < 0); seen++ {
		d.hand = (d.hand + 1) % len(d.order)
		p := d.order[d.hand]
		if len(p.scans) > 0 {
			continue
		}
		if best < 0 || p.failed() < d.order[best].failed() {
			best = d.hand
		}
		if p.failed() <= 1 {
			break
		}
	}
	return max(best, 0) // all have running scans, which go on without the state of their source
}

// evaluate starts the scans that the attempts of p are by now. full says that there is no
// room to wait for handshakes.
func (d *scans) evaluate(p *sourceState, now time.Time, full bool) {
	expired := now.Add(-d.cfg.memory())
	p.attempts = slices.DeleteFunc(p.attempts, func(a attempt) bool { return a.at.Before(expired) })
	for {
		failed := filter(p.attempts, func(a attempt) bool {
			return !a.completed && (full || now.Sub(a.at) >= handshakeTimeout) && (a.method != byUDP || now.Sub(p.lastBulkUDP) >= bulkUDPMemory)
		})
		if len(failed) < minAttempts || len(failed) < p.completed() {
			return
		}
		c, ok := bestCandidate(d.cfg, failed, full)
		if !ok {
			return
		}
		d.start(p, c)
	}
}

// start makes c a running scan, which takes over its attempts.
func (d *scans) start(p *sourceState, c candidate) *scan {
	running := 0
	for _, sc := range p.scans {
		if sc.method == c.method {
			running++
		}
	}
	if running >= maxScansPerMethod-1 {
		c.shape = block
	}
	name, idle := [...]string{PortScan, HostScan, BlockScan}[c.shape], fastIdle
	first, last := c.span()
	if n := len(c.attempts); n > 1 && last.Sub(first)/time.Duration(n-1) >= time.Duration(d.cfg.SlowGapSecs)*time.Second {
		name, idle = SlowScan, slowIdle
	}
	id := identity{name: name, method: c.method.String(), actor: p.addr.String(), target: c.host}
	if c.shape == horizontal {
		id.port = c.port
	}
	sc := &scan{attack: d.attacks.start(id, first, last), shape: c.shape, method: c.method, host: c.host, port: c.port}
	sc.idle = idle
	if c.method == byFragment {
		sc.missing[MissingFlags] = true
	}
	for _, a := range c.attempts {
		sc.add(a.probe, a.at)
	}
	p.attempts = slices.DeleteFunc(p.attempts, func(a attempt) bool { return a.method == c.method && sc.covers(a.host, a.port) })
	p.scans = append(p.scans, sc)
	d.active = append(d.active, sc)
	sc.onEnd = func() {
		isThis := func(o *scan) bool { return o == sc }
		p.scans = slices.DeleteFunc(p.scans, isThis)
		d.active = slices.DeleteFunc(d.active, isThis)
	}
	return sc
}

// endWindow evaluates sources and updates the counts of the running scans.
func (d *scans) endWindow(w traffic.Window) {
	for _, p := range d.order {
		if p.evaluations > 0 && len(p.attempts) >= minAttempts {
			d.evaluate(p, w.End, false)
		}
		p.evaluations = max(0, p.evaluations-1)
	}
	d.addRecords(w)
	for _, sc := range d.active {
		sc.endWindow()
		if !w.Egress {
			sc.missing[MissingEgress] = true
		}
		if w.Lost > 0 && sc.changed {
			sc.missing[MissingSamples] = true
		}
	}
	d.expireSources(w.End.Add(-d.cfg.memory()))
}

// expireSources drops sources without a probe since before, a few at a time.
func (d *scans) expireSources(before time.Time) {
	for range min(len(d.order), expiryBatch) {
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

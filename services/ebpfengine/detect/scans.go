package detect

import (
	"net/netip"
	"slices"
	"time"

	"github.com/ironpost/ironpost/bpf/traffic"
)

// bulkUDPMemory is how long UDP of a source with bulk UDP counts as no probe.
const bulkUDPMemory = time.Minute

// scans finds scans in samples and in the kernel's records of sources, in one direction.
// Memory is bounded by Config.MaxSources.
type scans struct {
	rules   scanRules
	memory  time.Duration
	slowGap time.Duration
	attacks *attacks
	stats   *Stats

	sources  *sourceTable
	networks *sourceTable // nil where they are not summed up
	suspects map[netip.Addr]suspect
	active   []*scan

	reflections *reflections
	verdicts    *verdicts // on floods in the same direction
	notices     *notices
}

// scanRules are the limits from which attempts that failed are a scan.
type scanRules struct {
	ports, hosts, sweep int
	// outbound is for the attempts of this machine, and of those behind it. A crawler, a mail
	// server or a program that shares files tries in vain, too, so most attempts like those of a scan must have failed.
	outbound bool
}

// Outbound limits are those of the configuration times these, and sources are few.
const (
	outboundPorts   = 2
	outboundHosts   = 3
	outgoingSources = 1024
	// networksShare is the share of Config.MaxSources for networks.
	networksShare = 4
)

func newScans(cfg Config, outbound bool, a *attacks, told *notices, stats *Stats) *scans {
	networks, outgoing := cfg.MaxSources/networksShare, min(outgoingSources, cfg.MaxSources/networksShare)
	d := &scans{
		rules:  scanRules{ports: cfg.ScanPorts, hosts: cfg.ScanHosts, sweep: cfg.SweepHosts, outbound: outbound},
		memory: cfg.memory(), slowGap: time.Duration(cfg.SlowGapSecs) * time.Second, attacks: a, stats: stats,
		sources: newSourceTable(cfg.MaxSources-networks-outgoing, &stats.Evicted), suspects: map[netip.Addr]suspect{},
		reflections: newReflections(cfg), notices: told,
	}
	if outbound {
		d.rules.ports = min(outboundPorts*cfg.ScanPorts, maxAttempts)
		d.rules.hosts = min(outboundHosts*cfg.ScanHosts, maxAttempts)
		d.sources.most = outgoing
		return d
	}
	d.networks = newSourceTable(networks, &stats.Evicted)
	return d
}

// sample adds a try, or the outcome of one.
func (d *scans) sample(s traffic.Sample) {
	if d.reflections.isFrom(s) {
		return
	}
	by := s.Source.Addr()
	t, ok := probeIn(s)
	if s.Outcome != traffic.Open {
		if d.settle(t, by, s.Outcome) && d.rules.outbound && s.Outcome == traffic.Answered {
			d.sources.get(single(by)).answer(attempt{probe: t, by: by, from: s.Source.Port(), at: s.Time})
		}
		return
	}
	if !ok {
		if s.Class == traffic.TCPSYNACK || s.Class == traffic.TCPRST {
			d.stats.Backscatter++
		}
		d.notices.see(s)
		return
	}
	if t.method == bySCTPCookie && (d.settle(t, by, traffic.Answered) || s.Reply) {
		return
	}
	p := d.sources.get(single(by))
	if p.isKnown(t) {
		return
	}
	p.last = s.Time
	a := attempt{probe: t, by: by, from: s.Source.Port(), at: s.Time}
	if sc := p.scanOf(t); sc != nil {
		sc.add(a)
		return
	}
	p.add(a)
	d.addToNetwork(a)
}

// scanning reports whether the actor of a flood without one main port is told as a scanner of its target.
func (d *scans) scanning(flood identity) bool {
	return flood.port == 0 && slices.ContainsFunc(d.active, func(sc *scan) bool {
		return sc.actor == flood.actor && sc.target == flood.target && sc.method != byICMP
	})
}

// settle takes the outcome of the probe t, and reports whether that was known.
func (d *scans) settle(t probe, by netip.Addr, outcome traffic.Outcome) (known bool) {
	if p := d.sources.find(single(by)); p != nil {
		known = p.settle(t, by, outcome)
		p.proven = p.proven || (outcome == traffic.Answered && (t.method == bySYN || t.method == bySCTPCookie))
	}
	if d.networks != nil {
		if p := d.networks.find(networkOf(by)); p != nil {
			p.settle(t, by, outcome)
		}
	}
	return known
}

// evaluate starts the scans that the attempts of p are by now.
func (d *scans) evaluate(p *sourceState, now time.Time) {
	expired := now.Add(-d.memory)
	p.attempts = slices.DeleteFunc(p.attempts, func(a attempt) bool { return a.at.Before(expired) })
	for failed := d.withoutFloods(p, now); ; {
		c, ok := d.rules.best(p.actor, failed)
		if !ok {
			c, ok = d.rules.answeredSweep(p)
		}
		if !ok {
			d.noticePeers(p, failed, now)
			break
		}
		if d.rules.outbound && d.isOrdinary(p, c, failed) {
			failed = filter(failed, func(a attempt) bool { return !c.covers(a) })
			continue
		}
		d.start(p, c)
		failed = d.withoutFloods(p, now)
	}
	p.trim(now)
}

// isOrdinary reports whether attempts of this machine that failed are those of a program with many servers, of which some are down:
// a third of the attempts like them, or more, were answered, or they go, slowly, to one port of peers that have others, too.
func (d *scans) isOrdinary(p *sourceState, c candidate, failed []attempt) bool {
	if len(c.attempts) < 2*len(p.answersLike(c)) {
		return true
	}
	slow := c.meanGap() >= d.slowGap
	return slow && c.shape == horizontal && c.port > lastSystemPort && d.rules.peers(failed, c.method) != nil
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
	if c.meanGap() >= d.slowGap {
		name, idle = SlowScan, slowIdle
	}
	actor := p.actor.String()
	if p.actor.IsSingleIP() {
		actor = p.actor.Addr().String()
	}
	id := identity{name: name, method: c.method.String(), actor: actor, target: c.host, outbound: d.rules.outbound}
	if c.shape == horizontal {
		id.port = c.port
	}
	sc := &scan{attack: d.attacks.start(id, first, last), source: p, shape: c.shape, method: c.method, host: c.host, port: c.port}
	sc.idle = idle
	if c.method == byFragment {
		sc.missing[MissingFlags] = true
	}
	for _, a := range c.attempts {
		sc.add(a)
	}
	if d.rules.outbound {
		sc.addFlows(slices.Concat(p.answersLike(c), c.attempts))
	}
	sc.startedWith = uint64(len(c.attempts))
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
	d.evaluateAll(d.sources, w.End)
	if !d.rules.outbound {
		d.addRecords(w)
	}
	if d.networks != nil {
		d.evaluateAll(d.networks, w.End)
		d.networks.expire(w.End.Add(-d.memory))
	}
	for _, sc := range d.active {
		sc.endWindow()
		if !w.Egress {
			sc.missing[MissingEgress] = true
		}
		if w.Lost > 0 && sc.changed {
			sc.missing[MissingSamples] = true
		}
	}
	markDecoys(d.active)
	d.sources.expire(w.End.Add(-d.memory))
}

func (d *scans) evaluateAll(t *sourceTable, now time.Time) {
	for _, p := range t.order {
		if p.evaluations > 0 && len(p.attempts) >= minAttempts {
			d.removeScanned(p)
			d.evaluate(p, now)
		}
		p.evaluations = max(0, p.evaluations-1)
	}
}

package detect

import (
	"net/netip"

	"github.com/ironpost/ironpost/bpf/traffic"
)

// addRecords takes in the kernel's exact records: they count what samples only show, and find a
// fast scan even when forged traffic has used up the samples.
func (d *scans) addRecords(w traffic.Window) {
	for i := range w.Sources {
		src := &w.Sources[i]
		if src.Probes == 0 {
			continue
		}
		d.checkBulkUDP(src)
		if sc := d.scanOfRecord(src, w); sc != nil {
			sc.merge(src)
		}
	}
}

// checkBulkUDP notes that a source talks rather than tries: most of what it sends answers, or is more than tries need.
func (d *scans) checkBulkUDP(src *traffic.Source) {
	const perPort = 8 // nmap sends two or three
	p, udp := d.sources[src.Addr], float64(src.ByClass[traffic.UDP])
	if p == nil || udp == 0 {
		return
	}
	if src.Replies > src.Probes || udp > perPort*max(1, src.Ports.Estimate(), src.Hosts.Estimate()) {
		p.talked = src.Last
	}
}

// scanOfRecord returns the running scan that src's record belongs to, begun if the record amounts to one.
func (d *scans) scanOfRecord(src *traffic.Source, w traffic.Window) *scan {
	p := d.sources[src.Addr]
	if sc := p.busiest(); sc != nil {
		return sc
	}
	c, ok := candidateOfRecord(d.cfg, src, w.Egress)
	if !ok {
		return nil
	}
	if p == nil {
		p = d.source(src.Addr)
		p.last = src.Last
	}
	if sc := p.covering(c.attempts[0].probe); sc != nil {
		sc.touch(src.Last)
		return sc
	}
	sc := d.start(p, c)
	sc.probes = 0 // merge has them
	return sc
}

// busiest is the scan with the most samples in this window, or nil.
func (p *sourceState) busiest() *scan {
	if p == nil {
		return nil
	}
	var best *scan
	for _, sc := range p.scans {
		if sc.touched && (best == nil || sc.probes > best.probes) {
			best = sc
		}
	}
	return best
}

// merge adds what the kernel counted of a source to its scan.
func (s *scan) merge(src *traffic.Source) {
	s.probes = max(s.probes, probesIn(src))
	s.counts[countPackets] += src.Packets
	s.counts[countBytes] += src.Bytes
	s.counts[countRefused] += src.Refused
	s.counts[countAnswered] += src.Answered
	s.counts[countFragments] += src.Fragmented
	single := src.Hosts.Count() <= 1
	if s.shape == block || (s.shape == vertical && single) {
		s.ports.unite(&src.Ports, src.Probes)
	}
	if s.shape == block || (s.shape == horizontal && (s.method == byICMP || src.Ports.Count() <= 1)) {
		s.hosts.unite(&src.Hosts, src.Probes)
	}
	for _, host := range src.SampleHosts {
		if s.shape != vertical {
			s.showHost(host)
		}
	}
	for _, port := range src.SamplePorts {
		if s.shape != horizontal && s.method != byICMP {
			s.showPort(port)
		}
	}
}

// probesIn is how many probes a record stands for: those before it was made are in its packets only.
func probesIn(src *traffic.Source) uint64 {
	var counted uint64
	for _, n := range src.ByClass {
		counted += n
	}
	if counted == 0 || src.Packets <= counted {
		return src.Probes
	}
	return src.Probes + (src.Packets-counted)*src.Probes/counted
}

// candidateOfRecord returns the scan that one interval's record of a source amounts to.
func candidateOfRecord(cfg Config, src *traffic.Source, egress bool) (candidate, bool) {
	m, count := methodOf(src)
	ports, hosts := int(src.Ports.Estimate()+0.5), int(src.Hosts.Estimate()+0.5)
	if len(src.SampleHosts) == 0 || !mostlyFailed(cfg, src, m, count, egress) {
		return candidate{}, false
	}
	c := candidate{method: m, host: src.SampleHosts[0]}
	if len(src.SamplePorts) > 0 && m != byICMP {
		c.port = src.SamplePorts[0]
	}
	switch {
	case m == byICMP:
		c.shape = horizontal
		c.port = 0
		if hosts < cfg.SweepHosts {
			return c, false
		}
	case hosts <= 1 && ports >= cfg.ScanPorts:
		c.shape = vertical
	case hosts >= cfg.ScanHosts && ports <= 1:
		c.shape = horizontal
	case hosts > 1 && ports > 1 && hosts*ports >= maxAttempts && ports >= cfg.ScanPorts:
		c.shape = block
	default:
		return c, false
	}
	c.attempts = attemptsOfRecord(src, m)
	return c, len(c.attempts) > 0
}

// methodOf returns what most of src's probes are, and how many.
func methodOf(src *traffic.Source) (method, uint64) {
	n := src.ByClass
	tried := [methods]uint64{
		bySYN: n[traffic.TCPSYN], byFIN: n[traffic.TCPFIN], byNull: n[traffic.TCPNull], byXmas: n[traffic.TCPXmas],
		byUDP: n[traffic.UDP] - min(n[traffic.UDP], src.Replies), byICMP: n[traffic.ICMPEcho], byOther: n[traffic.TCPOther],
	}
	best := bySYN
	for m := range methods {
		if tried[m] > tried[best] {
			best = m
		}
	}
	switch {
	case n[traffic.Fragment] > 2*tried[best]:
		return byFragment, n[traffic.Fragment]
	case tried[best] == 0 && n[traffic.TCPACK] > 0:
		return byACK, n[traffic.TCPACK]
	}
	return best, tried[best]
}

// mostlyFailed tells whether most of what was tried came to nothing, as far as is seen.
func mostlyFailed(cfg Config, src *traffic.Source, m method, tried uint64, egress bool) bool {
	few := uint64(min(cfg.ScanPorts, cfg.ScanHosts))
	switch m {
	case bySYN:
		done := (src.ByClass[traffic.TCPACK] + src.ByClass[traffic.TCPFINACK]) / 2
		if egress {
			done = src.Answered
		}
		return tried >= few && 2*min(done, tried) <= tried
	case byACK:
		return src.Refused >= few
	case byUDP:
		// Without refusals, answers of a server to many ports of ours look the same; samples know their source port.
		return egress && tried >= few && (src.Refused > 0 || systemPorts(src.SamplePorts))
	}
	return tried >= few
}

func systemPorts(ports []uint16) bool {
	for _, port := range ports {
		if port <= lastSystemPort {
			return true
		}
	}
	return false
}

// attemptsOfRecord makes contacts of the samples in a record, so that it begins as any other scan.
func attemptsOfRecord(src *traffic.Source, m method) []attempt {
	var out []attempt
	add := func(host netip.Addr, port uint16) {
		at := src.First
		if len(out) > 0 {
			at = src.Last
		}
		out = append(out, attempt{probe: probe{host: host, port: port, method: m}, at: at})
	}
	if m == byICMP || len(src.SamplePorts) == 0 {
		for _, host := range src.SampleHosts {
			add(host, 0)
		}
		return out
	}
	for _, port := range src.SamplePorts {
		add(src.SampleHosts[0], port)
	}
	return out
}

package detect

import (
	"net/netip"
	"slices"

	"github.com/ironpost/ironpost/bpf/traffic"
)

// bulkPerPort is from how many packets to each port a source does not scan: nmap sends two or three.
const bulkPerPort = 8

// suspectWindows is for how many windows replies to a suspect are waited for.
const suspectWindows = 2

// suspect is a source whose record of one window looked like a scan.
type suspect struct {
	candidate candidate
	record    traffic.Source
	completed uint64
	wait      int // windows, until replies must have come
}

// addRecords adds the kernel's exact records of sources: they count what samples only
// indicate, and reveal a fast scan when forged traffic has used up the samples.
func (d *scans) addRecords(w traffic.Window) {
	for i := range w.Sources {
		src := &w.Sources[i]
		if s, suspected := d.suspects[src.Addr]; suspected {
			if s.candidate.method == byUDP {
				s.completed += src.Replies
			} else {
				s.completed += src.Completed
			}
			d.suspects[src.Addr] = s
		}
		if src.Probes == 0 || d.reflections.explain(src) {
			continue
		}
		// Without egress it is unknown which UDP was replied to, so that with much of it nothing counts.
		p, udp := d.sources.find(single(src.Addr)), float64(src.ByClass[traffic.UDP])
		if p != nil && !w.Egress && udp > 0 && (src.Replies > src.Probes || udp > bulkPerPort*max(1, src.Ports.Estimate(), src.Hosts.Estimate())) {
			p.lastBulkUDP = src.Last
		}
		if sc := d.scanOfRecord(p, src, w.Egress); sc != nil {
			sc.merge(src)
		}
	}
	for addr, s := range d.suspects {
		s.wait--
		d.suspects[addr] = s
		if p := d.sources.find(single(addr)); p != nil {
			if sc := p.scanOf(s.candidate.attempts[0].probe); sc != nil { // started by its samples
				delete(d.suspects, addr)
				sc.mergeEarlier(&s.record)
				continue
			}
		}
		told, maybe := d.isFlood(addr, s.candidate)
		if told || s.wait < 0 && !maybe {
			delete(d.suspects, addr)
		}
		if s.wait < 0 && !maybe {
			d.startSuspect(addr, s)
		}
	}
}

// startSuspect starts the scan of a suspect whose probes were not answered in time.
func (d *scans) startSuspect(addr netip.Addr, s suspect) {
	if 2*s.completed > s.record.Probes {
		return
	}
	p := d.sources.get(single(addr))
	if s.candidate.method == byUDP && 2*p.answered > p.open() {
		return // the record does not count replies, the samples do
	}
	p.last = s.candidate.attempts[len(s.candidate.attempts)-1].at
	d.start(p, s.candidate).mergeEarlier(&s.record)
}

// mergeEarlier adds the record of a window before the scan began. The samples that it began
// with are of the same packets.
func (s *scan) mergeEarlier(src *traffic.Source) {
	now := s.probes
	s.probes = 0
	s.merge(src)
	s.probes = now + s.probes - min(s.startedWith, s.probes)
}

// scanOfRecord returns the running scan that the record of a source belongs to. It starts
// one if the record alone shows a scan. p is the state of the source, nil if there is none.
func (d *scans) scanOfRecord(p *sourceState, src *traffic.Source, egress bool) *scan {
	if p != nil {
		var busiest *scan
		for _, sc := range p.scans {
			if sc.touched && (busiest == nil || sc.probes > busiest.probes) {
				busiest = sc
			}
		}
		if busiest != nil {
			return busiest
		}
	}
	c, ok := d.rules.candidateOfRecord(src, egress)
	if !ok {
		return nil
	}
	if p != nil {
		if sc := p.scanOf(c.attempts[0].probe); sc != nil {
			sc.touch(src.Last)
			return sc
		}
	}
	if (c.method == bySYN || c.method == byUDP) && 2*src.Refused < src.Probes {
		if _, suspected := d.suspects[src.Addr]; !suspected {
			d.suspects[src.Addr] = suspect{candidate: c, record: *src, wait: suspectWindows}
		}
		return nil
	}
	if _, maybe := d.isFlood(src.Addr, c); maybe {
		return nil
	}
	p = d.sources.get(single(src.Addr))
	p.last = src.Last
	sc := d.start(p, c)
	sc.probes = 0 // merge counts them
	return sc
}

// merge adds the kernel's record of a source to its scan.
func (s *scan) merge(src *traffic.Source) {
	// Packets from before the record was made are only in its total: probes are scaled up.
	var classified uint64
	for _, n := range src.ByClass {
		classified += n
	}
	probes := src.Probes
	if classified > 0 && src.Packets > classified {
		probes += (src.Packets - classified) * src.Probes / classified
	}
	s.probes = max(s.probes, probes)
	s.counts[countPackets] += src.Packets
	s.counts[countBytes] += src.Bytes
	s.counts[countRefused] += src.Refused
	s.counts[countAnswered] += src.Answered
	s.counts[countFragments] += src.Fragmented
	single := src.Hosts.Count() <= 1
	if s.shape == block || (s.shape == vertical && single) {
		s.ports.addBitmap(&src.Ports, src.Probes)
	}
	if s.shape == block || (s.shape == horizontal && (s.method == byICMP || src.Ports.Count() <= 1)) {
		s.hosts.addBitmap(&src.Hosts, src.Probes)
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

// candidateOfRecord returns the scan that the record of a source alone shows, and false
// if it shows none.
func (r scanRules) candidateOfRecord(src *traffic.Source, egress bool) (candidate, bool) {
	m, probes := methodOf(src)
	ports, hosts := int(src.Ports.Estimate()+0.5), int(src.Hosts.Estimate()+0.5)
	if len(src.SampleHosts) == 0 || !r.mostlyFailed(src, m, probes, egress) {
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
		if hosts < r.sweep {
			return c, false
		}
	case hosts <= 1 && ports >= r.ports:
		c.shape = vertical
	case hosts >= r.hosts && ports <= 1:
		c.shape = horizontal
	case hosts > 1 && ports > 1 && hosts*ports >= maxAttempts && ports >= r.ports:
		c.shape = block
	default:
		return c, false
	}
	c.attempts = attemptsOfRecord(src, m)
	return c, len(c.attempts) > 0
}

// methodOf returns the method of most probes of src, and their number.
func methodOf(src *traffic.Source) (method, uint64) {
	n := src.ByClass
	probes := [methods]uint64{
		bySYN: n[traffic.TCPSYN], byFIN: n[traffic.TCPFIN], byNull: n[traffic.TCPNull], byXmas: n[traffic.TCPXmas],
		byUDP: n[traffic.UDP] - min(n[traffic.UDP], src.Replies), byICMP: n[traffic.ICMPEcho], byOther: n[traffic.TCPOther],
	}
	best := bySYN
	for m := range methods {
		if probes[m] > probes[best] {
			best = m
		}
	}
	switch {
	case n[traffic.Fragment] > 2*probes[best]:
		return byFragment, n[traffic.Fragment]
	case probes[best] == 0 && n[traffic.TCPACK] > 0:
		return byACK, n[traffic.TCPACK]
	}
	return best, probes[best]
}

// mostlyFailed reports whether most probes failed, as far as the engine can see.
func (r scanRules) mostlyFailed(src *traffic.Source, m method, probes uint64, egress bool) bool {
	few := uint64(min(r.ports, r.hosts))
	switch m {
	case bySYN:
		return probes >= few && 2*min(src.Completed, probes) <= probes
	case byACK:
		return src.RSTWithoutACK >= few && 2*src.RSTWithoutACK >= src.Probes
	case byUDP:
		// A server that answers many of our ports looks the same, but is not refused and sends to no system ports.
		toSystemPort := slices.ContainsFunc(src.SamplePorts, func(port uint16) bool {
			return port <= lastSystemPort && !isDiscoveryPort(port)
		})
		return egress && probes >= few && (src.Refused > 0 || toSystemPort)
	case byICMP:
		return probes >= few && int(src.Hosts.Estimate()+0.5) >= answeredHosts
	}
	return probes >= few
}

// attemptsOfRecord makes attempts of the samples in a record, so that the scan starts like any other.
func attemptsOfRecord(src *traffic.Source, m method) []attempt {
	var out []attempt
	add := func(host netip.Addr, port uint16) {
		at := src.First
		if len(out) > 0 {
			at = src.Last
		}
		out = append(out, attempt{probe: probe{host: host, port: port, method: m}, by: src.Addr, at: at})
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

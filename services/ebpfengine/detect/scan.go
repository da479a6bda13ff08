package detect

import (
	"cmp"
	"net/netip"
	"slices"
	"time"
)

// The counts of scans.
const (
	countPackets   = "packets"
	countBytes     = "bytes"
	countProbes    = "probes"
	countPorts     = "ports"
	countHosts     = "hosts"
	countRefused   = "refused"
	countAnswered  = "answered"
	countFragments = "fragments"
)

const (
	// fastIdle is the silence that ends a scan; a slow one has idleGaps times its mean gap, at most slowIdle.
	fastIdle = 30 * time.Second
	idleGaps = 8
	slowIdle = 30 * time.Minute
)

// shape is what a scan goes along.
type shape uint8

const (
	vertical   shape = iota // ports of one host
	horizontal              // hosts of one port
	block                   // both
)

// scan is one that runs.
type scan struct {
	*attack

	shape  shape
	method method
	host   netip.Addr // of a vertical one
	port   uint16     // of a horizontal one
	ports  distinctCounter
	hosts  distinctCounter

	touched bool   // in this window
	probes  uint64 // sampled in this window
}

// covers tells whether a probe of the same method is part of the scan.
func (s *scan) covers(host netip.Addr, port uint16) bool {
	switch s.shape {
	case vertical:
		return s.host == host
	case horizontal:
		return s.port == port
	}
	return true
}

// add counts a sampled probe.
func (s *scan) add(t probe, at time.Time) {
	s.probes++
	s.touch(at)
	if s.hosts.add(hashAddr(t.host.As16())) {
		s.showHost(t.host)
	}
	if t.method != byICMP && s.ports.add(uint64(t.port)) {
		s.showPort(t.port)
	}
}

func (s *scan) touch(at time.Time) {
	s.touched, s.changed = true, true
	if at.After(s.last) {
		s.last = at
	}
}

// tally writes the sums; probes are those of the window just ended.
func (s *scan) tally(probes uint64) {
	s.counts[countProbes] += probes
	// An estimate may be too high; there are never more of them than probes.
	s.counts[countHosts] = min(s.hosts.count(), s.counts[countProbes])
	if s.method != byICMP {
		s.counts[countPorts] = min(s.ports.count(), s.counts[countProbes])
	}
	s.probes, s.touched = 0, false
	if s.name == SlowScan {
		gap := s.last.Sub(s.began) / time.Duration(max(1, s.counts[countProbes]-1))
		s.idle = min(max(fastIdle, idleGaps*gap), slowIdle)
	}
}

// candidate is a scan that a prober's contacts amount to.
type candidate struct {
	shape    shape
	method   method
	host     netip.Addr
	port     uint16
	attempts []attempt
}

// compare prefers what explains the most contacts, and vertical to horizontal to block.
func (c candidate) compare(o candidate) int {
	return cmp.Or(-cmp.Compare(len(c.attempts), len(o.attempts)), cmp.Compare(c.shape, o.shape), cmp.Compare(c.method, o.method),
		c.host.Compare(o.host), cmp.Compare(c.port, o.port))
}

// bestCandidate returns the best scan that failed contacts amount to by cfg, if any. full says that there is no room for more contacts.
func bestCandidate(cfg Config, failed []attempt, full bool) (candidate, bool) {
	var all []candidate
	for m := range methods {
		mine := filter(failed, func(c attempt) bool { return c.method == m })
		if len(mine) >= minAttempts {
			all = append(all, candidates(cfg, m, mine, full)...)
		}
	}
	if len(all) == 0 {
		return candidate{}, false
	}
	return slices.MinFunc(all, candidate.compare), true
}

func candidates(cfg Config, m method, failed []attempt, full bool) []candidate {
	var out []candidate
	hosts := cfg.ScanHosts
	if m == byICMP {
		hosts = cfg.SweepHosts
	}
	for _, c := range failed {
		if same := filter(failed, func(o attempt) bool { return o.host == c.host }); len(same) >= cfg.ScanPorts {
			out = append(out, candidate{shape: vertical, method: m, host: c.host, attempts: same})
		}
		if same := filter(failed, func(o attempt) bool { return o.port == c.port }); len(same) >= hosts {
			out = append(out, candidate{shape: horizontal, method: m, port: c.port, host: same[0].host, attempts: same})
		}
	}
	if len(out) == 0 && full && len(failed) >= maxAttempts/2 {
		out = append(out, candidate{shape: block, method: m, host: failed[0].host, attempts: failed})
	}
	return out
}

func filter(all []attempt, want func(attempt) bool) []attempt {
	var out []attempt
	for _, c := range all {
		if want(c) {
			out = append(out, c)
		}
	}
	return out
}

// name is what the candidate is called: slow if its probes are that far apart.
func (c candidate) name(slow time.Duration) string {
	first, last := c.span()
	if len(c.attempts) > 1 && last.Sub(first)/time.Duration(len(c.attempts)-1) >= slow {
		return SlowScan
	}
	return [...]string{PortScan, HostScan, BlockScan}[c.shape]
}

func (c candidate) span() (first, last time.Time) {
	for i, t := range c.attempts {
		if i == 0 || t.at.Before(first) {
			first = t.at
		}
		if t.at.After(last) {
			last = t.at
		}
	}
	return first, last
}

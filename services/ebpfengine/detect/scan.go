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
	// A scan ends after fastIdle without a probe; a slow scan after idleGaps times its mean gap, at most slowIdle.
	fastIdle = 30 * time.Second
	idleGaps = 8
	slowIdle = 30 * time.Minute
)

// shape is what a scan goes through.
type shape uint8

const (
	vertical   shape = iota // ports of one host
	horizontal              // hosts on one port
	block                   // both
)

// scan is a running scan.
type scan struct {
	*attack

	shape  shape
	method method
	host   netip.Addr // of a vertical scan
	port   uint16     // of a horizontal scan
	ports  distinctCounter
	hosts  distinctCounter

	touched bool   // in this window
	probes  uint64 // sampled in this window
}

// covers reports whether a probe of the same method belongs to the scan.
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

// endWindow updates the counts of the attack from those of the window.
func (s *scan) endWindow() {
	s.counts[countProbes] += s.probes
	// Estimates may be too high, but there are never more hosts or ports than probes.
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

// candidate is a scan that the attempts of a source may amount to.
type candidate struct {
	shape    shape
	method   method
	host     netip.Addr
	port     uint16
	attempts []attempt
}

// compare orders candidates, best first: those with the most attempts, then vertical before horizontal before block.
func (c candidate) compare(o candidate) int {
	return cmp.Or(-cmp.Compare(len(c.attempts), len(o.attempts)), cmp.Compare(c.shape, o.shape), cmp.Compare(c.method, o.method),
		c.host.Compare(o.host), cmp.Compare(c.port, o.port))
}

// bestCandidate returns the best scan that the failed attempts amount to under cfg, false
// if they amount to none. full says that there is no room for more attempts.
func bestCandidate(cfg Config, failed []attempt, full bool) (candidate, bool) {
	var all []candidate
	for m := range methods {
		same := filter(failed, func(a attempt) bool { return a.method == m })
		if len(same) >= minAttempts {
			all = append(all, candidates(cfg, m, same, full)...)
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
	for _, a := range failed {
		if same := filter(failed, func(o attempt) bool { return o.host == a.host }); len(same) >= cfg.ScanPorts {
			out = append(out, candidate{shape: vertical, method: m, host: a.host, attempts: same})
		}
		if same := filter(failed, func(o attempt) bool { return o.port == a.port }); len(same) >= hosts {
			out = append(out, candidate{shape: horizontal, method: m, port: a.port, host: same[0].host, attempts: same})
		}
	}
	if len(out) == 0 && full && len(failed) >= maxAttempts/2 {
		out = append(out, candidate{shape: block, method: m, host: failed[0].host, attempts: failed})
	}
	return out
}

func filter(all []attempt, keep func(attempt) bool) []attempt {
	var out []attempt
	for _, a := range all {
		if keep(a) {
			out = append(out, a)
		}
	}
	return out
}

// span returns the times of the first and the last attempt.
func (c candidate) span() (first, last time.Time) {
	first = c.attempts[0].at
	for _, a := range c.attempts {
		if a.at.Before(first) {
			first = a.at
		}
		if a.at.After(last) {
			last = a.at
		}
	}
	return first, last
}

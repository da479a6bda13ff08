package detect

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"github.com/ironpost/ironpost/bpf/traffic"
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
	countAddresses = "addresses"
)

const (
	// A scan ends after fastIdle without a probe; a slow scan after idleGaps times its mean gap, at most slowIdle.
	fastIdle = 30 * time.Second
	idleGaps = 8
	slowIdle = 30 * time.Minute
	// maxMembers bounds the addresses of a network that are counted.
	maxMembers = 4096
	// maxScansPerMethod bounds the scans of one actor and method that are told apart. Everything
	// beyond them is one block scan.
	maxScansPerMethod = 4
	// blockRepeat is how often the hosts of a block scan are tried for each port, or the ports for each host: programs
	// that share files try another port of each of many hosts.
	blockRepeat = 3
	// discoveryHosts is how many times as many hosts a scan of a discovery port has.
	discoveryHosts = 4
	// answeredHosts is from how many hosts on ICMP echo is a sweep although they answer.
	answeredHosts = 40
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

	source *sourceState
	shape  shape
	method method
	host   netip.Addr // of a vertical scan
	port   uint16     // of a horizontal scan
	ports  distinctCounter
	hosts  distinctCounter
	by     map[netip.Addr]struct{} // the addresses of a network, up to maxMembers

	touched     bool   // in this window
	probes      uint64 // sampled in this window
	startedWith uint64 // probes sampled before it was a scan
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
func (s *scan) add(t attempt) {
	s.probes++
	s.touch(t.at)
	if t.outcome != traffic.Refused { // the kernel forgets a connection that was refused
		s.flows = [2]Flow{t.flow(), s.flows[0]}
	}
	if !s.source.actor.IsSingleIP() && len(s.by) < maxMembers {
		if s.by == nil {
			s.by = map[netip.Addr]struct{}{}
		}
		s.by[t.by] = struct{}{}
		s.counts[countAddresses] = uint64(len(s.by))
	}
	if s.hosts.add(hashAddr(t.host.As16())) {
		s.showHost(t.host)
	}
	if t.method != byICMP && s.ports.add(uint64(t.port)) {
		s.showPort(t.port)
	}
}

// addFlows adds conversations like those of the scan while it has fewer than two of its own.
func (s *scan) addFlows(like []attempt) {
	for _, a := range like {
		switch f := a.flow(); {
		case s.flows[0] == Flow{}:
			s.flows[0] = f
		case s.flows[1] == Flow{} && f != s.flows[0]:
			s.flows[1] = f
		}
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

// covers reports whether an attempt is one of those that c is about.
func (c candidate) covers(a attempt) bool {
	like := scan{shape: c.shape, host: c.host, port: c.port}
	return a.method == c.method && like.covers(a.host, a.port)
}

// compare orders candidates, best first: those with the most attempts, then vertical before horizontal before block.
func (c candidate) compare(o candidate) int {
	return cmp.Or(-cmp.Compare(len(c.attempts), len(o.attempts)), cmp.Compare(c.shape, o.shape), cmp.Compare(c.method, o.method),
		c.host.Compare(o.host), cmp.Compare(c.port, o.port))
}

// best returns the best scan that the failed attempts of actor amount to, and false if they
// amount to none.
func (r scanRules) best(actor netip.Prefix, failed []attempt) (candidate, bool) {
	limits, least := r.ofNetwork(actor)
	var all []candidate
	for m := range methods {
		same := filter(failed, func(a attempt) bool { return a.method == m })
		if len(same) >= minAttempts {
			all = append(all, limits.candidates(m, same)...)
		}
	}
	if least > 1 {
		all = slices.DeleteFunc(all, func(c candidate) bool { return members(c.attempts) < least })
	}
	if len(all) == 0 {
		return candidate{}, false
	}
	return slices.MinFunc(all, candidate.compare), true
}

func (r scanRules) candidates(m method, failed []attempt) []candidate {
	var out []candidate
	hosts := r.hosts
	if m == byICMP {
		hosts = r.sweep
	}
	ports, addrs := map[uint16]bool{}, map[netip.Addr]bool{}
	for _, a := range failed {
		ports[a.port], addrs[a.host] = true, true
		if same := filter(failed, func(o attempt) bool { return o.host == a.host }); len(same) >= r.ports {
			out = append(out, candidate{shape: vertical, method: m, host: a.host, attempts: same})
		}
		least := hosts
		if m == byUDP && isDiscoveryPort(a.port) {
			least = min(discoveryHosts*hosts, maxAttempts)
		}
		if same := filter(failed, func(o attempt) bool { return o.port == a.port }); len(same) >= least {
			out = append(out, candidate{shape: horizontal, method: m, port: a.port, host: same[0].host, attempts: same})
		}
	}
	byHosts := len(addrs) >= hosts && len(ports) > 1 && len(failed) >= blockRepeat*len(ports)
	byPorts := len(ports) >= r.ports && len(addrs) > 1 && len(failed) >= blockRepeat*len(addrs)
	if isBlock := byHosts || byPorts; isBlock && !hasVertical(out) && len(failed) >= 2*longest(out) {
		return []candidate{{shape: block, method: m, host: failed[0].host, attempts: failed}}
	}
	return out
}

func hasVertical(all []candidate) bool {
	return slices.ContainsFunc(all, func(c candidate) bool { return c.shape == vertical })
}

// longest returns the number of attempts of the candidate with the most.
func longest(all []candidate) int {
	n := 0
	for _, c := range all {
		n = max(n, len(c.attempts))
	}
	return n
}

// answeredSweep returns the sweep by ICMP that the attempts of p are, whether answered or not.
func (r scanRules) answeredSweep(p *sourceState) (candidate, bool) {
	same := filter(p.attempts, func(a attempt) bool { return a.method == byICMP })
	if r.outbound || !p.actor.IsSingleIP() || len(same) < max(r.sweep, min(answeredHosts, 2*r.sweep)) {
		return candidate{}, false
	}
	return candidate{shape: horizontal, method: byICMP, host: same[0].host, attempts: same}, true
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

// meanGap returns the mean time between two attempts.
func (c candidate) meanGap() time.Duration {
	first, last := c.span()
	return last.Sub(first) / time.Duration(max(1, len(c.attempts)-1))
}

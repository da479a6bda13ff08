package detect

import (
	"maps"
	"net/netip"
	"slices"
	"time"
)

const (
	// scanRounds is how often a scan tries each port at most: more are a flood.
	scanRounds = 2
	// decisionTime bounds for how long one source's UDP to many ports at the rate of a flood is taken for neither.
	decisionTime = 10 * time.Second
)

// verdicts are the floods by single addresses whose packets are tries, too, so that they would be scans beside them: those that have been
// told, and those of which it is not known yet whether they are floods or scans. One attack is one detection.
type verdicts struct {
	undecided map[identity]time.Time // since when
	seen      map[identity]bool      // of these, in this window
	byActor   map[string][]verdict
}

type verdict struct {
	flood identity
	told  bool
}

func newVerdicts() *verdicts {
	return &verdicts{undecided: map[identity]time.Time{}, seen: map[identity]bool{}}
}

// wait reports whether it is too early to tell a flood. It has the rate of one, sustained or in the newest window.
func (v *verdicts) wait(id identity, s targetTraffic, sustained bool) bool {
	since, found := v.undecided[id]
	if !found {
		since = s.w.End
	}
	tooNew := !sustained || s.outbound && s.v.suspiciousWindows(s.kind) < outboundWindows
	allPorts := s.kind == kindUDP && id.port == 0 && !id.network.IsValid() && isAddress(id.actor)
	mayBeScan := allPorts && !s.isMoreThanScan() && s.w.End.Sub(since) < decisionTime
	if !tooNew && !mayBeScan {
		return false
	}
	v.undecided[id], v.seen[id] = since, true
	return true
}

// isMoreThanScan reports whether this is UDP of more packets than a scan of all ports has: a flood, also after a scan by its source.
func (s targetTraffic) isMoreThanScan() bool {
	return s.kind == kindUDP && s.v.sum[s.kind] > scanRounds*maxPorts
}

// endWindow takes over the floods that have been told, and forgets those undecided that the window did not have.
func (v *verdicts) endWindow(active map[identity]*flood) {
	maps.DeleteFunc(v.undecided, func(id identity, _ time.Time) bool { return !v.seen[id] })
	clear(v.seen)
	v.byActor = map[string][]verdict{}
	for id := range active {
		v.add(id, true)
	}
	for id := range v.undecided {
		v.add(id, false)
	}
}

func (v *verdicts) add(id identity, told bool) {
	if isAddress(id.actor) {
		v.byActor[id.actor] = append(v.byActor[id.actor], verdict{id, told})
	}
}

func isAddress(actor string) bool { return actor != Spoofed && actor != Distributed }

// covers reports whether an attempt of the flood's actor is a packet of the flood.
func (v verdict) covers(a attempt) bool {
	id := v.flood
	hit := id.target == a.host || id.network.IsValid() && id.network.Contains(a.host)
	return hit && (id.port == 0 || id.port == a.port) && id.name == floodOf(a.method)
}

// floodOf returns the name of the flood that many attempts of a method are.
func floodOf(m method) string {
	switch m {
	case bySYN:
		return SYNFlood
	case byUDP:
		return UDPFlood
	case byICMP:
		return ICMPFlood
	}
	return ""
}

// of returns the verdicts on the floods by a source.
func (v *verdicts) of(actor netip.Prefix) []verdict {
	if !actor.IsSingleIP() || len(v.byActor) == 0 {
		return nil
	}
	return v.byActor[actor.Addr().String()]
}

// withoutFloods returns the failed attempts of a source that are not packets of a flood by it. It forgets those of a flood that has been
// told, and leaves the others out until it is known whether there is one.
func (d *scans) withoutFloods(p *sourceState, now time.Time) []attempt {
	all := d.verdicts.of(p.actor)
	if len(all) == 0 {
		return p.failed(now)
	}
	p.attempts = slices.DeleteFunc(p.attempts, func(a attempt) bool {
		return slices.ContainsFunc(all, func(v verdict) bool { return v.told && v.covers(a) })
	})
	return filter(p.failed(now), func(a attempt) bool {
		return !slices.ContainsFunc(all, func(v verdict) bool { return v.covers(a) })
	})
}

// isFlood reports whether a source that its record shows as a scanner is one that floods: told, or not known yet.
func (d *scans) isFlood(addr netip.Addr, c candidate) (told, maybe bool) {
	for _, v := range d.verdicts.of(single(addr)) {
		if slices.ContainsFunc(c.attempts, v.covers) {
			told, maybe = told || v.told, true
		}
	}
	return told, maybe
}

package detect

import (
	"net/netip"
	"slices"
	"time"

	"github.com/ironpost/ironpost/bpf/traffic"
)

const (
	// maxAttempts bounds what is remembered of one source before it is a scan, and maxYoung
	// that together with attempts that may still succeed. The sampling budget bounds these, of all sources.
	maxAttempts = 48
	maxYoung    = 512
	// minAttempts is the least that may be called a scan.
	minAttempts = 3
	// evaluationWindows is for how many windows a source is evaluated after a new attempt.
	evaluationWindows = 4
	// handshakeTimeout is how long a handshake, or a reply to a ping, may take before the
	// attempt has failed, and replyTimeout the same of UDP: a resolver asks others first.
	handshakeTimeout = time.Second
	replyTimeout     = 2 * time.Second
	// maxAnswers bounds the answered attempts of this machine in memory.
	maxAnswers = 128
	// minShared is how many ports of one host are probed with ACK from one port: a client has
	// another port for each connection.
	minShared = 3
)

// attempt is a probe and its outcome.
type attempt struct {
	probe

	by      netip.Addr // who made it
	from    uint16     // its port
	at      time.Time
	outcome traffic.Outcome
}

// sourceState is what is known about one source of probes, or about a network of sources.
type sourceState struct {
	actor       netip.Prefix // of one address, or a network
	last        time.Time
	attempts    []attempt
	answered    int       // attempts that were, while there was room for them
	answers     []attempt // of this machine: the latest that were answered
	proven      bool      // it completed a handshake, so its address is not forged
	scans       []*scan
	evaluations int       // windows for which it is still evaluated: an attempt is new, or may still fail
	lastBulkUDP time.Time // when it last sent far more UDP than there are ports: calls and games, no scan
}

// open counts the attempts that were not answered. Sources with the fewest are evicted first.
func (p *sourceState) open() int {
	n := 0
	for _, a := range p.attempts {
		if a.outcome != traffic.Answered {
			n++
		}
	}
	return n
}

// failed returns the attempts that failed by now, as far as the engine can see.
func (p *sourceState) failed(now time.Time) []attempt {
	return filter(p.attempts, func(a attempt) bool {
		age := now.Sub(a.at)
		switch {
		case a.outcome != traffic.Open:
			return a.outcome == traffic.Refused
		case a.method == bySYN || a.method == byICMP || a.method == bySCTPInit:
			return age >= handshakeTimeout
		case a.method == byUDP:
			return age >= replyTimeout && now.Sub(p.lastBulkUDP) >= bulkUDPMemory
		case a.method == byACK:
			return p.sharePort(a) >= minShared
		}
		return true
	})
}

// sharePort counts the ports of a's host that ACK of a's port went to.
func (p *sourceState) sharePort(a attempt) int {
	n := 0
	for _, o := range p.attempts {
		if o.method == byACK && o.host == a.host && o.by == a.by && o.from == a.from && isClientToService(o.from, o.port) {
			n++
		}
	}
	return n
}

// settle takes the outcome of a probe that by made, and reports whether it was known.
func (p *sourceState) settle(t probe, by netip.Addr, outcome traffic.Outcome) (known bool) {
	for i, a := range p.attempts {
		if a.by == by && a.outcome == traffic.Open && a.answeredBy(t) {
			p.attempts[i].outcome, known = outcome, true
			p.evaluations = evaluationWindows
			if outcome == traffic.Answered {
				p.answered++
			}
		}
	}
	return known
}

// answer remembers an answered attempt of this machine.
func (p *sourceState) answer(a attempt) {
	if len(p.answers) >= maxAnswers {
		p.answers = p.answers[1:]
	}
	p.answers = append(p.answers, a)
}

// answersLike returns the answered attempts that are like those of c, since the first of these.
func (p *sourceState) answersLike(c candidate) []attempt {
	first, _ := c.span()
	return filter(p.answers, func(a attempt) bool { return c.covers(a) && !a.at.Before(first) })
}

// flow returns the conversation that an attempt begins.
func (a attempt) flow() Flow {
	return Flow{Proto: a.protocol(), Source: netip.AddrPortFrom(a.by, a.from), Target: netip.AddrPortFrom(a.host, a.port)}
}

// answeredBy reports whether the outcome of t is that of a: t itself, or the end of the handshake that a begins.
func (a attempt) answeredBy(t probe) bool {
	if a.method == bySCTPInit && t.method == bySCTPCookie {
		t.method = bySCTPInit
	}
	return a.probe == t
}

// add remembers an attempt, if there is room.
func (p *sourceState) add(t attempt) {
	for i, a := range p.attempts {
		if a.probe == t.probe {
			if a.by == t.by && a.outcome != traffic.Answered { // it was tried again; an answer holds as long as it is remembered
				p.attempts[i].at, p.attempts[i].from = t.at, t.from
			}
			return
		}
	}
	if len(p.attempts) >= maxYoung {
		return
	}
	p.attempts = append(p.attempts, t)
	p.evaluations = evaluationWindows
}

// trim drops what there is no room for: answered attempts, or else the oldest that were judged.
func (p *sourceState) trim(now time.Time) {
	for len(p.attempts) > maxAttempts {
		i := slices.IndexFunc(p.attempts, func(a attempt) bool { return a.outcome == traffic.Answered })
		if i < 0 {
			i = slices.IndexFunc(p.attempts, func(a attempt) bool { return now.Sub(a.at) > 2*replyTimeout })
		}
		if i < 0 {
			return
		}
		p.attempts = slices.Delete(p.attempts, i, i+1)
	}
}

// scanOf returns the running scan that a probe belongs to, or nil.
func (p *sourceState) scanOf(t probe) *scan {
	for _, sc := range p.scans {
		if sc.method == t.method && sc.covers(t.host, t.port) {
			return sc
		}
	}
	return nil
}

// isKnown reports whether an ACK or RST belongs to a connection that p tried to open.
func (p *sourceState) isKnown(t probe) bool {
	if t.method != byRST {
		return false
	}
	return p.scanOf(probe{host: t.host, port: t.port, method: bySYN}) != nil ||
		slices.ContainsFunc(p.attempts, func(a attempt) bool { return a.method == bySYN && a.host == t.host && a.port == t.port })
}

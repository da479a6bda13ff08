package detect

import (
	"net/netip"
	"slices"
	"time"
)

const (
	// maxAttempts bounds what is remembered of one source before it is a scan.
	maxAttempts = 48
	// minAttempts is the least that may be called a scan.
	minAttempts = 3
	// evaluationWindows is for how many windows a source is evaluated after a new attempt.
	evaluationWindows = 3
	// handshakeTimeout is how long a handshake may take before the attempt has failed.
	handshakeTimeout = 500 * time.Millisecond
	// maxScansPerMethod bounds the scans of one actor and method that are told apart. Everything
	// beyond them is one block scan.
	maxScansPerMethod = 4
)

// attempt is a probe and its outcome.
type attempt struct {
	probe

	at        time.Time
	completed bool // the handshake was, or UDP was answered
}

// sourceState is what is known about one source of probes.
type sourceState struct {
	addr        netip.Addr
	last        time.Time
	attempts    []attempt
	scans       []*scan
	evaluations int       // windows for which it is still evaluated: an attempt is new, or may still fail
	lastBulkUDP time.Time // when it last sent far more UDP than there are ports: calls and games, no scan
}

// completed counts the attempts that succeeded.
func (p *sourceState) completed() int {
	n := 0
	for _, a := range p.attempts {
		if a.completed {
			n++
		}
	}
	return n
}

// failed counts the attempts that did not succeed. Sources with the fewest are evicted first.
func (p *sourceState) failed() int { return len(p.attempts) - p.completed() }

// completeHandshake takes an ACK and reports whether it ends a handshake that p began.
func (p *sourceState) completeHandshake(ack probe) bool {
	for i, a := range p.attempts {
		if a.method == bySYN && a.host == ack.host && a.port == ack.port {
			p.attempts[i].completed = true
			return true
		}
	}
	return p.scanOf(probe{host: ack.host, port: ack.port, method: bySYN}) != nil
}

// markAnswered records that a port answered UDP of p. It needs a view of both directions.
func (p *sourceState) markAnswered(host netip.Addr, port uint16) {
	for i, a := range p.attempts {
		if a.method == byUDP && a.host == host && a.port == port {
			p.attempts[i].completed = true
		}
	}
}

// add remembers a probe. It returns false if there is no room.
func (p *sourceState) add(t probe, at time.Time) bool {
	for i, a := range p.attempts {
		if a.probe == t {
			p.attempts[i].at = at
			return true
		}
	}
	if len(p.attempts) >= maxAttempts {
		return false
	}
	p.attempts = append(p.attempts, attempt{probe: t, at: at})
	p.evaluations = evaluationWindows
	return true
}

// makeRoom drops a completed attempt, or else the oldest.
func (p *sourceState) makeRoom() {
	i := max(0, slices.IndexFunc(p.attempts, func(a attempt) bool { return a.completed }))
	p.attempts = slices.Delete(p.attempts, i, i+1)
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

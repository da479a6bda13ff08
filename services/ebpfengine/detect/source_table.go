package detect

import (
	"net/netip"
	"time"
)

const (
	// evictionSample is how many sources are compared when one has to be evicted.
	evictionSample = 32
	// expiryBatch is how many sources are checked for expiry in each window.
	expiryBatch = 256
)

// sourceTable is a bounded table of sources. For a new one, one of those with the fewest
// open attempts is evicted, never one with a running scan, so that forged sources evict
// each other rather than a scanner.
type sourceTable struct {
	most    int
	byActor map[netip.Prefix]*sourceState
	order   []*sourceState // the same, for eviction and expiry
	hand    int            // position in order, as of a clock
	evicted *uint64
}

func newSourceTable(most int, evicted *uint64) *sourceTable {
	return &sourceTable{most: most, byActor: map[netip.Prefix]*sourceState{}, evicted: evicted}
}

// single returns the prefix of one address.
func single(addr netip.Addr) netip.Prefix { return netip.PrefixFrom(addr, addr.BitLen()) }

// find returns the state of an actor, or nil.
func (t *sourceTable) find(actor netip.Prefix) *sourceState { return t.byActor[actor] }

// get returns the state of an actor, a new one if there is none, in place of another if there is no room.
func (t *sourceTable) get(actor netip.Prefix) *sourceState {
	if p := t.byActor[actor]; p != nil {
		return p
	}
	p := &sourceState{actor: actor}
	t.byActor[actor] = p
	if len(t.order) < t.most {
		t.order = append(t.order, p)
		return p
	}
	at := t.evictionCandidate()
	delete(t.byActor, t.order[at].actor)
	t.order[at] = p
	*t.evicted++
	return p
}

func (t *sourceTable) evictionCandidate() int {
	best, least := -1, 0
	for seen := 0; seen < len(t.order) && (seen < evictionSample || best < 0); seen++ {
		t.hand = (t.hand + 1) % len(t.order)
		p := t.order[t.hand]
		if len(p.scans) > 0 {
			continue
		}
		if n := p.open(); best < 0 || n < least {
			best, least = t.hand, n
		}
		if least <= 1 {
			break
		}
	}
	return max(best, 0) // all have running scans, which go on without the state of their source
}

// expire drops sources without a probe since before, a few at a time.
func (t *sourceTable) expire(before time.Time) {
	for range min(len(t.order), expiryBatch) {
		t.hand = (t.hand + 1) % len(t.order)
		p := t.order[t.hand]
		if !p.last.Before(before) || len(p.scans) > 0 {
			continue
		}
		delete(t.byActor, p.actor)
		last := len(t.order) - 1
		t.order[t.hand] = t.order[last]
		t.order = t.order[:last]
		if last == 0 {
			return
		}
		t.hand %= last
	}
}

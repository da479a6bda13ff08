package blocklist

import (
	"cmp"
	"container/heap"
	"net/netip"
	"slices"
	"time"

	"github.com/ironpost/ironpost/bpf"
	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
)

// The owners of an entry, as bits of the kernel's Entry.Reason. After a restart they tell which source has to be read
// before the entry may be changed. An entry with neither bit is unowned and removed.
const (
	ownedByBucket uint32 = 1 << iota
	ownedByFeed
)

// DroppedFor sums packets that the program dropped, given by the reasons of the entries (see traffic.Counters), by owner:
// bus or files; bus for entries of both; unknown for unowned entries.
func DroppedFor(byReason [4]uint64) map[string]uint64 {
	return map[string]uint64{
		"unknown": byReason[0], "bus": byReason[ownedByBucket] + byReason[ownedByBucket|ownedByFeed], "files": byReason[ownedByFeed],
	}
}

// maxBlocks bounds the entries of the bucket that are kept in memory. It is more than the kernel may have room for, because
// an expired entry makes room for another.
const maxBlocks = 1 << 20

// maxRefused bounds the entries beyond maxBlocks that are counted.
const maxRefused = 1 << 16

// plan is the desired state of the kernel's blocklist, and the queue of what may have to be written for it. It does no I/O and
// reads no clock.
type plan struct {
	capacity  int
	maxBlocks int

	blocks      map[netip.Prefix]bus.Block   // of the bucket, none expired; of several of a prefix the one that lasts longest
	shadowed    map[netip.Prefix][]bus.Block // the others of a prefix, some of which may have expired
	now         time.Time                    // of the latest expire
	admitted    map[netip.Prefix]struct{}    // those of blocks that have room; nil: all
	withRoom    int                          // how many these are
	expiries    expiries
	refused     map[netip.Prefix]struct{} // entries of the bucket beyond maxBlocks, at most maxRefused
	bucketKnown bool                      // the bucket has been read since the start

	feeds      *mergedFeeds
	quota      int  // how many of the feeds' prefixes have room
	feedsKnown bool // every file has been read since the start

	scopes scopes

	changed bool // since allocate
	queue
}

func newPlan(capacity int) *plan {
	return &plan{
		scopes:   newScopes(),
		capacity: capacity, maxBlocks: maxBlocks, quota: capacity, feeds: &mergedFeeds{},
		blocks: map[netip.Prefix]bus.Block{}, shadowed: map[netip.Prefix][]bus.Block{}, refused: map[netip.Prefix]struct{}{},
		queue: queue{urgent: map[netip.Prefix]struct{}{}},
	}
}

// put adds or replaces an entry of the bucket that has not expired.
func (p *plan) put(b bus.Block) {
	if !b.All() {
		p.scopes.put(b)
		p.changed = true // allocate queues its prefix
		return
	}
	p.store(b)
	p.urgent[b.Prefix] = struct{}{}
}

func (p *plan) store(b bus.Block) {
	if _, known := p.blocks[b.Prefix]; !known && len(p.blocks) >= p.maxBlocks {
		if len(p.refused) < maxRefused {
			p.refused[b.Prefix] = struct{}{}
		}
		return
	}
	delete(p.refused, b.Prefix)
	p.blocks[b.Prefix] = b
	p.changed = true
	heap.Push(&p.expiries, expiry{at: b.Expires, prefix: b.Prefix})
	if len(p.expiries) > 2*len(p.blocks)+1000 { // outdated expiries of entries that were extended again and again
		p.expiries = p.expiries[:0]
		for prefix, b := range p.blocks {
			p.expiries = append(p.expiries, expiry{at: b.Expires, prefix: prefix})
		}
		heap.Init(&p.expiries)
	}
}

// shadow takes over the blocks of a prefix besides the one that lasts longest.
func (p *plan) shadow(prefix netip.Prefix, others []bus.Block) {
	p.changed = true
	if len(others) == 0 {
		delete(p.shadowed, prefix)
		return
	}
	p.shadowed[prefix] = others
}

// drop removes an entry of the bucket.
func (p *plan) drop(prefix netip.Prefix) {
	delete(p.refused, prefix)
	delete(p.shadowed, prefix)
	if _, known := p.blocks[prefix]; known {
		delete(p.blocks, prefix)
		p.urgent[prefix] = struct{}{}
		p.changed = true
	}
}

// dropScope removes an entry of the bucket for a part of the packets, and reports whether there was one.
func (p *plan) dropScope(key string) bool {
	_, known := p.scopes.byKey[key]
	delete(p.scopes.byKey, key)
	p.changed = p.changed || known
	return known
}

// replace takes over the whole bucket. The first time, most of it may be in the kernel already: nothing is queued and the
// result is true, which asks for a comparison.
func (p *plan) replace(blocks []bus.Block) (first bool) {
	clear(p.refused)
	p.scopes.replace(blocks)
	p.changed = true
	blocks = slices.DeleteFunc(slices.Clone(blocks), func(b bus.Block) bool { return !b.All() })
	if !p.bucketKnown {
		for _, b := range blocks {
			p.store(b)
		}
		p.bucketKnown = true
		return true
	}
	now := make(map[netip.Prefix]struct{}, len(blocks))
	for _, b := range blocks {
		now[b.Prefix] = struct{}{}
	}
	for prefix := range p.blocks {
		if _, stays := now[prefix]; !stays {
			p.drop(prefix)
		}
	}
	for _, b := range blocks {
		if have, known := p.blocks[b.Prefix]; !known || !sameBlock(have, b) {
			p.put(b)
		}
	}
	return false
}

func sameBlock(a, b bus.Block) bool {
	return a.Expires.Equal(b.Expires) && a.Created.Equal(b.Created) && a.Source == b.Source && a.Reason == b.Reason && a.Hosts == b.Hosts && a.Trust == b.Trust
}

// setFeeds takes over the collapsed prefixes of all files. Complete says that each file has been read at least once; until
// then, most prefixes may be in the kernel already: additions are not queued and the result is true, which asks for a comparison.
func (p *plan) setFeeds(list []feedPrefix, complete bool) (first bool) {
	old := p.feeds
	p.feeds, p.changed = &mergedFeeds{list: list}, true
	removed, added := diffFeeds(old, p.feeds, p.quota)
	p.removes = append(p.removes, removed...)
	if first = !p.feedsKnown; !first {
		p.adds = append(p.adds, added...)
	}
	p.feedsKnown = p.feedsKnown || complete
	return first
}

// expire drops the entries of the bucket that have expired at now.
func (p *plan) expire(now time.Time) {
	p.now = now
	for _, key := range p.scopes.expired(now) {
		p.dropScope(key)
	}
	for len(p.expiries) > 0 && !p.expiries[0].at.After(now) {
		e, _ := heap.Pop(&p.expiries).(expiry)
		if b, known := p.blocks[e.prefix]; known && !b.Expires.After(now) {
			p.drop(e.prefix)
		}
	}
}

// nextExpiry returns when the next entry may expire; zero if none will.
func (p *plan) nextExpiry() time.Time {
	next := p.scopes.nextExpiry()
	if len(p.expiries) > 0 && (next.IsZero() || p.expiries[0].at.Before(next)) {
		next = p.expiries[0].at
	}
	return next
}

// allocate gives out the kernel's room: first to an operator's entries, then to automatic ones up to half of the list, then to the
// feeds, then to the other automatic ones; among automatic ones to those with the strongest evidence, then to those that last longest.
// So neither a long feed nor many alerts leave the other nothing. The newest are not preferred: whoever
// can cause many blocks would push an attacker out.
func (p *plan) allocate() {
	if !p.changed {
		return
	}
	p.changed = false
	for _, prefix := range p.scopes.choose() {
		p.urgent[prefix] = struct{}{}
	}
	before := p.admitted
	p.admitted, p.withRoom = nil, p.bucketRoom()
	if len(p.blocks) > p.withRoom {
		p.admitted = p.mostImportant()
	}
	if before != nil || p.admitted != nil {
		for prefix := range p.blocks {
			if contains(before, prefix) != contains(p.admitted, prefix) {
				p.urgent[prefix] = struct{}{}
			}
		}
	}
	quota := max(0, p.room()-p.withRoom)
	p.adds = append(p.adds, p.feeds.byRank(p.quota, quota)...)
	p.removes = append(p.removes, p.feeds.byRank(quota, p.quota)...)
	p.quota = quota
}

// room returns how many entries the kernel has room for beside those of prefixes with scopes.
func (p *plan) room() int { return max(0, p.capacity-len(p.scopes.prefixes)) }

// bucketRoom returns how many entries of the bucket have room beside the feeds.
func (p *plan) bucketRoom() int {
	room := p.room()
	if len(p.blocks)+len(p.feeds.list) <= room {
		return len(p.blocks)
	}
	operators := 0
	for _, b := range p.blocks {
		if p.important(b).Source == bus.Operator {
			operators++
		}
	}
	left := max(0, room-operators)
	automatic := max(min(left, (p.capacity+1)/2), left-len(p.feeds.list))
	return min(room, len(p.blocks), operators+automatic)
}

// mostImportant returns the withRoom most important entries of the bucket.
func (p *plan) mostImportant() map[netip.Prefix]struct{} {
	all := make([]bus.Block, 0, len(p.blocks))
	for _, b := range p.blocks {
		all = append(all, p.important(b))
	}
	slices.SortFunc(all, byImportance)
	admitted := make(map[netip.Prefix]struct{}, p.withRoom)
	for _, b := range all[:p.withRoom] {
		admitted[b.Prefix] = struct{}{}
	}
	return admitted
}

// important returns the block b of a prefix with the owner and the evidence of the prefix's most important one: a weak block that lasts
// longer makes a prefix no less important.
func (p *plan) important(b bus.Block) bus.Block {
	for _, o := range p.shadowed[b.Prefix] {
		holds := o.Expires.After(p.now)
		o.Expires = b.Expires
		if holds && byImportance(o, b) < 0 {
			b.Source, b.Trust = o.Source, o.Trust
		}
	}
	return b
}

// byImportance orders an operator's entries before automatic ones, then the strongest first, then what lasts longest.
func byImportance(a, b bus.Block) int {
	automatic := func(b bus.Block) int {
		if b.Source == bus.Operator {
			return 0
		}
		return 1
	}
	return cmp.Or(automatic(a)-automatic(b), strength(b)-strength(a), b.Expires.Compare(a.Expires), compare(a.Prefix, b.Prefix))
}

// strength returns the rank of the evidence of an automatic block. What an earlier version blocked, which did not say, was
// proven or ended soon.
func strength(b bus.Block) int { return cmp.Or(b.Trust, event.TrustHost).Rank() }

// contains reports whether p is in set; a nil set contains everything.
func contains(set map[netip.Prefix]struct{}, p netip.Prefix) bool {
	_, in := set[p]
	return in || set == nil
}

// desired returns the entry that the kernel should have for prefix, false if none.
func (p *plan) desired(prefix netip.Prefix) (bpf.Entry, bool) {
	e := bpf.Entry{Prefix: prefix}
	if b, known := p.blocks[prefix]; known && contains(p.admitted, prefix) {
		e.Reason, e.Expires = ownedByBucket, b.Expires
	}
	if p.feeds.contains(prefix, p.quota) {
		e.Reason, e.Expires = e.Reason|ownedByFeed, time.Time{} // a feed's entry does not expire
	}
	if _, scoped := p.scopes.prefixes[prefix]; e.Reason == 0 && scoped {
		e.Reason, e.Scoped = ownedByBucket, true
	}
	return e, e.Reason != 0
}

// wanted is desired for what has no room too.
func (p *plan) wanted(prefix netip.Prefix) (bpf.Entry, bool) {
	e := bpf.Entry{Prefix: prefix}
	if b, known := p.blocks[prefix]; known {
		e.Reason, e.Expires = ownedByBucket, b.Expires
	}
	if p.feeds.contains(prefix, len(p.feeds.list)) {
		e.Reason, e.Expires = e.Reason|ownedByFeed, time.Time{}
	}
	return e, e.Reason != 0
}

// overflow counts the entries without room.
func (p *plan) overflow() (ofBucket, ofFeeds int) {
	return max(0, len(p.blocks)-p.withRoom), max(0, len(p.feeds.list)-p.quota)
}

// expiry is when an entry of the bucket expired as of the time it was put; it may have been extended since.
type expiry struct {
	at     time.Time
	prefix netip.Prefix
}

// expiries is a heap (container/heap), the earliest first.
type expiries []expiry

func (e expiries) Len() int           { return len(e) }
func (e expiries) Less(i, j int) bool { return e[i].at.Before(e[j].at) }
func (e expiries) Swap(i, j int)      { e[i], e[j] = e[j], e[i] }

// Push implements heap.Interface.
func (e *expiries) Push(x any) { *e = append(*e, x.(expiry)) } //nolint:forcetypeassert // container/heap hands back what it was given

// Pop implements heap.Interface.
func (e *expiries) Pop() any {
	last := (*e)[len(*e)-1]
	*e = (*e)[:len(*e)-1]
	return last
}

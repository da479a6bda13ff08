package blocklist

import (
	"cmp"
	"container/heap"
	"net/netip"
	"slices"
	"time"

	"github.com/ironpost/ironpost/bpf"
	"github.com/ironpost/ironpost/bus"
)

// Who wants an entry, as the kernel keeps it in Entry.Reason. After a restart it tells whose word to wait for.
const (
	fromBus uint32 = 1 << iota
	fromFeed
)

// DroppedFor sorts what the program dropped, by the reasons of the entries (see traffic.Counters), by who wanted that: the bus or
// files. What both wanted is the bus's; unknown is what no wish of ours had made yet when it dropped.
func DroppedFor(byReason [4]uint64) map[string]uint64 {
	return map[string]uint64{
		"unknown": byReason[0], "bus": byReason[fromBus] + byReason[fromBus|fromFeed], "files": byReason[fromFeed],
	}
}

const (
	// maxBus bounds the entries of the bucket that are kept in memory. More than the kernel takes are kept, because one
	// that expires makes room for another.
	maxBus = 1 << 20
	// slack is how far an expiry in the kernel may be from the wish: the two clocks are read one after the other, and the
	// kernel's is coarse.
	slack = 2 * time.Second
)

// plan is the wish, and what of it is still to be written. It is pure: it knows neither the kernel nor the clock.
type plan struct {
	capacity int

	wanted   map[netip.Prefix]bus.Block
	admitted map[netip.Prefix]struct{} // nil: all of wanted
	changed  bool                      // since settle
	ends     ends
	refused  uint64 // entries beyond maxBus
	busKnown bool   // the bucket has been read since the start

	feeds      *feeds
	quota      int // how many of the feeds' prefixes there is room for
	feedsKnown bool

	// To do: prefixes whose entry in the kernel may differ from the wish. What the wish is shows when it is their turn.
	urgent  map[netip.Prefix]struct{}
	adds    []netip.Prefix
	removes []netip.Prefix
}

func newPlan(capacity int) *plan {
	return &plan{
		capacity: capacity, quota: capacity, feeds: &feeds{},
		wanted: map[netip.Prefix]bus.Block{}, urgent: map[netip.Prefix]struct{}{},
	}
}

// put takes in an entry of the bucket that is not over.
func (p *plan) put(b bus.Block) {
	p.keep(b)
	p.urgent[b.Prefix] = struct{}{}
}

func (p *plan) keep(b bus.Block) {
	_, known := p.wanted[b.Prefix]
	if !known && len(p.wanted) >= maxBus {
		p.refused++
		return
	}
	p.wanted[b.Prefix] = b
	p.changed = true
	heap.Push(&p.ends, end{at: b.Expires, prefix: b.Prefix})
	if len(p.ends) > 2*len(p.wanted)+1000 { // entries that were extended over and over
		p.ends = endsOf(p.wanted)
	}
}

// drop forgets an entry of the bucket.
func (p *plan) drop(prefix netip.Prefix) {
	if _, known := p.wanted[prefix]; known {
		delete(p.wanted, prefix)
		p.urgent[prefix] = struct{}{}
		p.changed = true
	}
}

// replace takes in the whole bucket. The first time, most of it may be in the kernel already: true asks for an audit.
func (p *plan) replace(blocks []bus.Block) (first bool) {
	if first = !p.busKnown; first {
		for _, b := range blocks {
			p.keep(b)
		}
		p.busKnown = true
		return first
	}
	now := make(map[netip.Prefix]struct{}, len(blocks))
	for _, b := range blocks {
		now[b.Prefix] = struct{}{}
	}
	for prefix := range p.wanted {
		if _, stays := now[prefix]; !stays {
			p.drop(prefix)
		}
	}
	for _, b := range blocks {
		if have, known := p.wanted[b.Prefix]; !known || !alike(have, b) {
			p.put(b)
		}
	}
	return first
}

func alike(a, b bus.Block) bool {
	return a.Expires.Equal(b.Expires) && a.Created.Equal(b.Created) && a.Source == b.Source && a.Reason == b.Reason
}

// setFeeds takes in what all files say. Complete says that each was read once at least; until then, most of it may be in the
// kernel already: true asks for an audit.
func (p *plan) setFeeds(list []ranked, complete bool) (first bool) {
	old := p.feeds
	p.feeds, p.changed = &feeds{list: list}, true
	gone, came := changes(old, p.feeds, p.quota, p.quota)
	p.removes = append(p.removes, gone...)
	if first = !p.feedsKnown; !first {
		p.adds = append(p.adds, came...)
	}
	p.feedsKnown = p.feedsKnown || complete
	return first
}

// expire forgets what is over at now.
func (p *plan) expire(now time.Time) {
	for len(p.ends) > 0 && !p.ends[0].at.After(now) {
		e, _ := heap.Pop(&p.ends).(end)
		if b, known := p.wanted[e.prefix]; known && !b.Expires.After(now) {
			p.drop(e.prefix)
		}
	}
}

// nextEnd returns when the next entry may be over; zero if none will.
func (p *plan) nextEnd() time.Time {
	if len(p.ends) == 0 {
		return time.Time{}
	}
	return p.ends[0].at
}

// settle decides who stays where there is no room for all: a person's entries before automatic ones, those before the
// feeds; among entries of the bucket the newest, because an attack of now matters more than one of yesterday.
func (p *plan) settle() {
	if !p.changed {
		return
	}
	p.changed = false
	p.admit()
	quota := max(0, p.capacity-len(p.wanted))
	p.adds = append(p.adds, p.feeds.between(p.quota, quota)...)
	p.removes = append(p.removes, p.feeds.between(quota, p.quota)...)
	p.quota = quota
}

func (p *plan) admit() {
	before := p.admitted
	p.admitted = nil
	if len(p.wanted) <= p.capacity && before == nil {
		return
	}
	if len(p.wanted) > p.capacity {
		p.admitted = p.first()
	}
	for prefix := range p.wanted {
		if has(before, prefix) != has(p.admitted, prefix) {
			p.urgent[prefix] = struct{}{}
		}
	}
}

func (p *plan) first() map[netip.Prefix]struct{} {
	all := make([]bus.Block, 0, len(p.wanted))
	for _, b := range p.wanted {
		all = append(all, b)
	}
	slices.SortFunc(all, func(a, b bus.Block) int {
		return cmp.Or(
			-compareBool(a.Source == bus.Operator, b.Source == bus.Operator),
			b.Created.Compare(a.Created),
			compare(a.Prefix, b.Prefix))
	})
	first := make(map[netip.Prefix]struct{}, p.capacity)
	for _, b := range all[:p.capacity] {
		first[b.Prefix] = struct{}{}
	}
	return first
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// has: a nil set holds everything.
func has(set map[netip.Prefix]struct{}, p netip.Prefix) bool {
	_, in := set[p]
	return in || set == nil
}

// want returns the entry that the kernel should have for prefix.
func (p *plan) want(prefix netip.Prefix) (bpf.Entry, bool) {
	e := bpf.Entry{Prefix: prefix}
	if b, known := p.wanted[prefix]; known && has(p.admitted, prefix) {
		e.Reason, e.Expires = fromBus, b.Expires
	}
	if p.feeds.holds(prefix, p.quota) {
		e.Reason, e.Expires = e.Reason|fromFeed, time.Time{} // a feed's entry does not end
	}
	return e, e.Reason != 0
}

// overflow counts what there is no room for.
func (p *plan) overflow() (ofBus, ofFeeds int) {
	return max(0, len(p.wanted)-p.capacity), max(0, len(p.feeds.list)-p.quota)
}

// batch is something to write into the kernel.
type batch struct {
	block   []bpf.Entry
	unblock []netip.Prefix
}

func (b batch) empty() bool { return len(b.block) == 0 && len(b.unblock) == 0 }

// next takes up to n prefixes off what is to do: changes of the bucket first, so that a million entries of a feed delay
// none; what comes before what goes, so that a prefix split or joined is never without an entry.
func (p *plan) next(n int) batch {
	var b batch
	for prefix := range p.urgent {
		if n == 0 {
			break
		}
		delete(p.urgent, prefix)
		p.decide(prefix, &b)
		n--
	}
	n -= p.take(&p.adds, n, &b)
	if len(p.adds) == 0 {
		p.take(&p.removes, n, &b)
	}
	return b
}

// room takes up to n prefixes off those that are to go, where the kernel is full; what it meets that is to stay, it gives too.
func (p *plan) room(n int) batch {
	var b batch
	p.take(&p.removes, n, &b)
	for prefix := range p.urgent {
		if len(b.unblock) >= n {
			break
		}
		if _, wanted := p.want(prefix); !wanted {
			delete(p.urgent, prefix)
			b.unblock = append(b.unblock, prefix)
		}
	}
	return b
}

func (p *plan) take(queue *[]netip.Prefix, n int, b *batch) int {
	n = min(n, len(*queue))
	for _, prefix := range (*queue)[:n] {
		p.decide(prefix, b)
	}
	*queue = (*queue)[n:]
	if len(*queue) == 0 {
		*queue = nil
	}
	return n
}

func (p *plan) decide(prefix netip.Prefix, b *batch) {
	if e, wanted := p.want(prefix); wanted {
		b.block = append(b.block, e)
		return
	}
	b.unblock = append(b.unblock, prefix)
}

// audit compares the wish with what the kernel holds, which it sorts, and marks every difference. Entries of somebody
// whose word has not been heard since the start are left alone: they stay in force through a restart.
func (p *plan) audit(kernel []bpf.Entry) (differences int) {
	slices.SortFunc(kernel, func(a, b bpf.Entry) int { return compare(a.Prefix, b.Prefix) })
	for _, e := range kernel {
		w, wanted := p.want(e.Prefix)
		if p.unheard(e.Reason) || wanted && same(e, w) {
			continue
		}
		p.urgent[e.Prefix] = struct{}{}
		differences++
	}
	missing := func(prefix netip.Prefix) {
		_, there := slices.BinarySearchFunc(kernel, prefix, func(e bpf.Entry, p netip.Prefix) int { return compare(e.Prefix, p) })
		if _, wanted := p.want(prefix); wanted && !there {
			p.adds = append(p.adds, prefix)
			differences++
		}
	}
	for prefix := range p.wanted {
		missing(prefix)
	}
	for _, r := range p.feeds.list {
		missing(r.Prefix)
	}
	return differences
}

func (p *plan) unheard(reason uint32) bool {
	return reason&fromBus != 0 && !p.busKnown || reason&fromFeed != 0 && !p.feedsKnown
}

func same(have, want bpf.Entry) bool {
	if have.Reason != want.Reason || have.Monitor != want.Monitor || have.Expires.IsZero() != want.Expires.IsZero() {
		return false
	}
	return have.Expires.Sub(want.Expires).Abs() <= slack
}

// end is when an entry of the bucket was to end when it was written; it may have been written again since.
type end struct {
	at     time.Time
	prefix netip.Prefix
}

// ends is a heap (container/heap), the earliest first.
type ends []end

func (e ends) Len() int           { return len(e) }
func (e ends) Less(i, j int) bool { return e[i].at.Before(e[j].at) }
func (e ends) Swap(i, j int)      { e[i], e[j] = e[j], e[i] }

// Push implements heap.Interface.
func (e *ends) Push(x any) { *e = append(*e, x.(end)) } //nolint:forcetypeassert // container/heap hands back what it was given

// Pop implements heap.Interface.
func (e *ends) Pop() any {
	last := (*e)[len(*e)-1]
	*e = (*e)[:len(*e)-1]
	return last
}

func endsOf(wanted map[netip.Prefix]bus.Block) ends {
	all := make(ends, 0, len(wanted))
	for prefix, b := range wanted {
		all = append(all, end{at: b.Expires, prefix: prefix})
	}
	heap.Init(&all)
	return all
}

package blocklist

import (
	"net/netip"
	"slices"
	"time"

	"github.com/ironpost/ironpost/bpf"
)

// expirySlack is how far an expiry in the kernel may be from the desired one: the two clocks are read one after the other,
// and the kernel's is coarse.
const expirySlack = 2 * time.Second

// queue holds prefixes whose entry in the kernel may differ from the desired one. The desired entry is looked up when the
// prefix is taken off the queue, so a prefix that is queued twice, or changed meanwhile, does no harm.
type queue struct {
	urgent  map[netip.Prefix]struct{} // of the bucket, and differences
	adds    []netip.Prefix            // of feeds
	removes []netip.Prefix            // of feeds
}

// pending returns how many prefixes are queued.
func (q *queue) pending() int { return len(q.urgent) + len(q.adds) + len(q.removes) }

// batch is something to write into the kernel.
type batch struct {
	block   []bpf.Entry
	unblock []netip.Prefix
}

func (b batch) empty() bool { return len(b.block) == 0 && len(b.unblock) == 0 }

// next takes up to n prefixes off the queue: changes of the bucket first, so that a million entries of a feed delay none;
// additions before removals, so that a prefix split or joined always has an entry.
func (p *plan) next(n int) batch {
	var b batch
	for prefix := range p.urgent {
		if n == 0 {
			break
		}
		delete(p.urgent, prefix)
		p.addTo(&b, prefix)
		n--
	}
	n -= p.take(&p.adds, n, &b)
	if len(p.adds) == 0 {
		p.take(&p.removes, n, &b)
	}
	return b
}

// removals takes up to n prefixes off the queue that are to be removed, for a kernel without room. Entries that turn out to be
// desired are in the batch too.
func (p *plan) removals(n int) batch {
	var b batch
	p.take(&p.removes, n, &b)
	for prefix := range p.urgent {
		if len(b.unblock) >= n {
			break
		}
		if _, desired := p.desired(prefix); !desired {
			delete(p.urgent, prefix)
			b.unblock = append(b.unblock, prefix)
		}
	}
	return b
}

// take moves up to n prefixes from the front of list to b and returns how many.
func (p *plan) take(list *[]netip.Prefix, n int, b *batch) int {
	n = min(n, len(*list))
	for _, prefix := range (*list)[:n] {
		p.addTo(b, prefix)
	}
	*list = (*list)[n:]
	if len(*list) == 0 {
		*list = nil // frees the memory of a long feed
	}
	return n
}

func (p *plan) addTo(b *batch, prefix netip.Prefix) {
	if e, desired := p.desired(prefix); desired {
		b.block = append(b.block, e)
		return
	}
	b.unblock = append(b.unblock, prefix)
}

// compareWith queues every difference between the desired state and the entries of the kernel, sorted by compare, and returns
// their number. What feeds had queued is replaced, so that repeated comparisons do not pile up. Entries whose owner has not been
// read since the start are left alone: they stay in force through a restart.
func (p *plan) compareWith(kernel []bpf.Entry) (differences int) {
	p.adds = nil
	if p.feedsKnown { // else the entries of feeds are left alone, and their queued removals are not found again
		p.removes = nil
	}
	for _, e := range kernel {
		want, desired := p.desired(e.Prefix)
		switch {
		case p.ownerUnread(e.Reason) || desired && matches(e, want):
			continue
		case !desired && e.Reason == ownedByFeed:
			p.removes = append(p.removes, e.Prefix)
		default:
			p.urgent[e.Prefix] = struct{}{}
		}
		differences++
	}
	addMissing := func(prefix netip.Prefix) {
		_, there := slices.BinarySearchFunc(kernel, prefix, func(e bpf.Entry, p netip.Prefix) int { return compare(e.Prefix, p) })
		if _, desired := p.desired(prefix); desired && !there {
			p.adds = append(p.adds, prefix)
			differences++
		}
	}
	for prefix := range p.blocks {
		addMissing(prefix)
	}
	for prefix := range p.scopes.prefixes {
		addMissing(prefix)
	}
	for _, f := range p.feeds.list {
		addMissing(f.Prefix)
	}
	return differences
}

// ownerUnread reports whether an owner of an entry has not been read since the start.
func (p *plan) ownerUnread(reason uint32) bool {
	return reason&ownedByBucket != 0 && !p.bucketKnown || reason&ownedByFeed != 0 && !p.feedsKnown
}

func matches(have, want bpf.Entry) bool {
	if have.Reason != want.Reason || have.Scoped != want.Scoped || have.Monitor != want.Monitor || have.Expires.IsZero() != want.Expires.IsZero() {
		return false
	}
	return have.Expires.Sub(want.Expires).Abs() <= expirySlack
}

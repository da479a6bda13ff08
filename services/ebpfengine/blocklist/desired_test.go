package blocklist_test

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bpf"
	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/services/ebpfengine/blocklist"
)

// Whatever is blocked, no protected address is dropped, every other blocked one is, and nothing more.
func TestNoBlocklistDropsAProtectedAddress(t *testing.T) {
	t.Parallel()
	dropped, everything := 0, 0
	for i := range uint64(randomLists) {
		g := newGenerator(i)
		protected := g.protected()
		blocks, files := g.list(protected)
		m := newModel(1000)
		require.NoError(t, m.Allow(prefixesOf(protected)))
		p := blocklist.NewPlan(1000)
		p.Replace(blocks)
		p.SetFeeds(true, files[0], files[1])
		_, err := p.Compare(m)
		require.NoError(t, err)
		_, err = p.Write(m, 4)
		require.NoError(t, err)

		now := began.Add(time.Minute)
		for _, l := range protected {
			require.False(t, m.drops(l.Prefix.Addr(), now), "list %d: %v", i, l)
			require.False(t, m.drops(last(l.Prefix), now), "list %d: %v", i, l)
		}
		for range 8 {
			addr := g.addr()
			want := isBlocked(addr, blocks, files) && !isAllowed(addr, protected)
			require.Equal(t, want, m.drops(addr, now), "list %d: %v", i, addr)
			if want {
				dropped++
			}
		}
		if m.drops(netip.MustParseAddr("203.0.113.99"), now) {
			everything++
		}
	}
	t.Logf("%d lists: %d of %d other addresses dropped, %d lists drop everything", randomLists, dropped, 8*randomLists, everything)
	require.Greater(t, dropped, randomLists)
	require.Greater(t, everything, randomLists/10)
}

func prefixesOf(protected []blocklist.ProtectedAddress) []netip.Prefix {
	var all []netip.Prefix
	for _, l := range protected {
		all = append(all, l.Prefix)
	}
	return all
}

func isBlocked(addr netip.Addr, blocks []bus.Block, files [2][]netip.Prefix) bool {
	in := func(p netip.Prefix) bool { return p.Contains(addr) }
	return slices.ContainsFunc(blocks, func(b bus.Block) bool { return in(b.Prefix) }) || slices.ContainsFunc(files[0], in) || slices.ContainsFunc(files[1], in)
}

func isAllowed(addr netip.Addr, protected []blocklist.ProtectedAddress) bool {
	return slices.ContainsFunc(protected, func(l blocklist.ProtectedAddress) bool { return l.Prefix.Contains(addr) })
}

// last returns the last address of p.
func last(p netip.Prefix) netip.Addr {
	bytes := p.Addr().AsSlice()
	for i := p.Bits(); i < 8*len(bytes); i++ {
		bytes[i/8] |= 0x80 >> (i % 8)
	}
	addr, _ := netip.AddrFromSlice(bytes)
	return addr
}

// oracle computes the desired state from scratch.
type oracle struct {
	capacity int
	blocks   map[netip.Prefix]bus.Block
	files    [2][]netip.Prefix
}

func (o oracle) entries(now time.Time) map[netip.Prefix]time.Time {
	var blocks []bus.Block
	for _, b := range o.blocks {
		if b.Expires.After(now) {
			blocks = append(blocks, b)
		}
	}
	slices.SortFunc(blocks, func(a, b bus.Block) int {
		return cmp.Or(rank(a)-rank(b), strength(b)-strength(a), b.Expires.Compare(a.Expires), order(a.Prefix, b.Prefix))
	})
	feeds := o.feeds()
	desired := map[netip.Prefix]time.Time{}
	automatic := 0
	used := 0 // a prefix of both counts twice
	add := func(of []bus.Block, most int) []bus.Block {
		n := min(len(of), most, o.capacity-used)
		for _, b := range of[:n] {
			desired[b.Prefix] = b.Expires
		}
		used += n
		return of[n:]
	}
	for automatic < len(blocks) && rank(blocks[automatic]) == 0 {
		automatic++
	}
	add(blocks[:automatic], o.capacity)
	others := add(blocks[automatic:], (o.capacity+1)/2)
	n := min(len(feeds), o.capacity-used)
	used += n
	add(others, o.capacity)
	for _, p := range feeds[:n] {
		desired[p] = time.Time{}
	}
	return desired
}

func rank(b bus.Block) int {
	if b.Source == bus.Operator {
		return 0
	}
	return 1
}

func strength(b bus.Block) int {
	if b.Trust == "" { // of an earlier version
		return event.TrustHost.Rank()
	}
	return b.Trust.Rank()
}

func order(a, b netip.Prefix) int {
	return cmp.Or(a.Addr().Compare(b.Addr()), a.Bits()-b.Bits())
}

// feeds returns the prefixes of the files by importance: by file, then the wider ones.
func (o oracle) feeds() []netip.Prefix {
	all := blocklist.Collapse(slices.Concat(o.files[0], o.files[1]))
	first := func(p netip.Prefix) int {
		if slices.ContainsFunc(o.files[0], func(f netip.Prefix) bool { return f.Overlaps(p) }) {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(all, func(a, b netip.Prefix) int { return cmp.Or(first(a)-first(b), a.Bits()-b.Bits()) })
	return all
}

// After any sequence of changes the kernel holds exactly the desired state, also where there is no room for all.
func TestAnySequenceOfChangesEndsInTheDesiredState(t *testing.T) {
	t.Parallel()
	for i := range uint64(randomSequences) {
		g := newGenerator(i)
		o := oracle{capacity: 1 + g.IntN(12), blocks: map[netip.Prefix]bus.Block{}}
		m, p, now := newModel(o.capacity), blocklist.NewPlan(o.capacity), began
		p.Replace(nil)
		p.SetFeeds(true)
		for step := range 12 {
			change(g, &o, p, &now)
			p.Expire(now)
			if g.IntN(6) == 0 { // changed by another program
				_ = m.Unblock(prefixes("10.0.0.0/24"))
				_ = m.Block([]bpf.Entry{{Prefix: netip.MustParsePrefix("10.0.1.0/24")}})
				_, err := p.Compare(m)
				require.NoError(t, err)
			}
			_, err := p.Write(m, 1+g.IntN(5))
			require.NoError(t, err)
			got := map[netip.Prefix]time.Time{}
			for prefix, e := range m.entries {
				got[prefix] = e.Expires
			}
			require.Equal(t, sorted(o.entries(now)), sorted(got), "sequence %d, step %d", i, step)
		}
	}
}

func sorted(entries map[netip.Prefix]time.Time) []string {
	var all []string
	for p, end := range entries {
		all = append(all, p.String()+" "+end.Format(time.RFC3339))
	}
	slices.Sort(all)
	return all
}

func change(g generator, o *oracle, p *blocklist.Plan, now *time.Time) {
	switch g.IntN(6) {
	case 0, 1:
		b := g.block(g.addr())
		b.Created, b.Expires = *now, now.Add(time.Duration(1+g.IntN(600))*time.Second)
		b.Trust = event.Trusts()[g.IntN(len(event.Trusts()))]
		o.blocks[b.Prefix] = b
		p.Put(b)
	case 2:
		for prefix := range o.blocks {
			delete(o.blocks, prefix)
			p.Drop(prefix)
			break
		}
	case 3:
		_, o.files = g.list(blocklist.AlwaysProtected())
		p.SetFeeds(true, o.files[0], o.files[1])
	case 4:
		*now = now.Add(time.Duration(g.IntN(300)) * time.Second)
	case 5:
		blocks, _ := g.list(blocklist.AlwaysProtected())
		o.blocks = map[netip.Prefix]bus.Block{}
		for _, b := range blocks {
			o.blocks[b.Prefix] = b
		}
		for prefix, b := range o.blocks {
			if !b.Expires.After(*now) {
				delete(o.blocks, prefix)
			}
		}
		var all []bus.Block
		for _, b := range o.blocks {
			all = append(all, b)
		}
		p.Replace(all)
	}
}

// A prefix that is split, joined or moved between the bucket and a file is blocked at every moment.
func TestRearrangedPrefixesNeverLapse(t *testing.T) {
	t.Parallel()
	m, p := newModel(10), blocklist.NewPlan(10)
	p.Replace(nil)
	p.SetFeeds(true, prefixes("10.0.0.0/25", "10.0.0.128/25"))
	_, err := p.Compare(m)
	require.NoError(t, err)
	_, err = p.Write(m, 1)
	require.NoError(t, err)
	checked := &checkedModel{model: m, t: t, addr: netip.MustParseAddr("10.0.0.200")}
	for _, list := range [][]netip.Prefix{
		prefixes("10.0.0.0/26", "10.0.0.128/25"), prefixes("10.0.0.128/25"), prefixes("10.0.0.0/8"), prefixes("10.0.0.200/32"),
	} {
		p.SetFeeds(true, list)
		_, err = p.Write(checked, 1)
		require.NoError(t, err)
	}
	b := always("10.0.0.200/32")
	p.Put(b)
	_, err = p.Write(checked, 1)
	require.NoError(t, err)
	p.SetFeeds(true)
	_, err = p.Write(checked, 1)
	require.NoError(t, err)
	require.Equal(t, b.Expires, m.entries[b.Prefix].Expires, "owned by the bucket alone")
	b.Expires = b.Expires.Add(time.Hour)
	p.Put(b)
	_, err = p.Write(checked, 1)
	require.NoError(t, err)
}

// checkedModel requires after every write that addr is dropped.
type checkedModel struct {
	*model
	t    *testing.T
	addr netip.Addr
}

func (c *checkedModel) Block(entries []bpf.Entry) error {
	err := c.model.Block(entries)
	require.True(c.t, c.drops(c.addr, began.Add(time.Minute)))
	return err
}

func (c *checkedModel) Unblock(prefixes []netip.Prefix) error {
	err := c.model.Unblock(prefixes)
	require.True(c.t, c.drops(c.addr, began.Add(time.Minute)))
	return err
}

// When many entries expire at once, of which half were extended just before, only the other half is removed.
func TestMassExpiryRemovesNothingElse(t *testing.T) {
	t.Parallel()
	const n, chunk = expiringEntries, 4096
	m, p := newModel(1<<20), blocklist.NewPlan(1<<20)
	p.Replace(nil)
	end := began.Add(time.Hour)
	at := func(i int) bus.Block {
		addr := netip.AddrFrom4([4]byte{11, byte(i >> 16), byte(i >> 8), byte(i)})
		return bus.Block{Prefix: netip.PrefixFrom(addr, 32), Source: bus.ContainerGuard, Created: began, Expires: end}
	}
	for i := range n {
		p.Put(at(i))
	}
	_, err := p.Write(m, chunk)
	require.NoError(t, err)
	for i := 0; i < n; i += 2 {
		b := at(i)
		b.Expires = end.Add(time.Hour)
		p.Put(b)
	}
	_, err = p.Write(m, chunk)
	require.NoError(t, err)
	require.Equal(t, n, m.size())

	now := end.Add(time.Second)
	expired := 0
	for _, e := range m.entries {
		if !e.Expires.After(now) {
			expired++
		}
	}
	require.Equal(t, n/2, expired, "by the kernel's clock, without a write")
	p.Expire(now)
	writes, err := p.Write(m, chunk)
	require.NoError(t, err)
	require.Equal(t, n/2, m.size())
	require.Equal(t, (n/2+chunk-1)/chunk, writes)
	for prefix, e := range m.entries {
		if !e.Expires.After(now) {
			require.Fail(t, "not removed", "%s", prefix)
		}
	}
}

// An entry of the bucket is written before a feed that was queued earlier.
func TestFeedDoesNotDelayTheBucket(t *testing.T) {
	t.Parallel()
	p := blocklist.NewPlan(1 << 20)
	p.Replace(nil)
	p.SetFeeds(true)
	var list []netip.Prefix
	for i := range 50_000 {
		list = append(list, netip.PrefixFrom(netip.AddrFrom4([4]byte{11, byte(i >> 8), byte(i), 1}), 32))
	}
	p.SetFeeds(true, list)
	m := &first{model: newModel(1 << 20)}
	p.Put(always("203.0.113.7/32"))
	_, err := p.Write(m, 4096)
	require.NoError(t, err)
	require.Equal(t, "203.0.113.7/32", m.entry.Prefix.String())
}

type first struct {
	*model
	entry bpf.Entry
}

func (f *first) Block(entries []bpf.Entry) error {
	if !f.entry.Prefix.IsValid() {
		f.entry = entries[0]
	}
	return f.model.Block(entries)
}

func TestExtendedEntriesDoNotPileUp(t *testing.T) {
	t.Parallel()
	p := blocklist.NewPlan(10)
	b := always("203.0.113.7/32")
	for i := range 10_000 {
		b.Expires = began.Add(time.Duration(i) * time.Second)
		p.Put(b)
	}
	require.LessOrEqual(t, p.Expiries(), 1002)
	p.Expire(began.Add(9998 * time.Second))
	_, desired := p.Desired(b.Prefix)
	require.True(t, desired)
	p.Expire(b.Expires)
	_, desired = p.Desired(b.Prefix)
	require.False(t, desired)
}

func ExampleCovered() {
	gateway := blocklist.ProtectedAddress{Prefix: netip.MustParsePrefix("192.0.2.1/32"), Kind: blocklist.Gateway}
	covered := blocklist.Covered([]blocklist.ProtectedAddress{gateway}, netip.MustParsePrefix("192.0.2.0/24"))
	fmt.Println(covered[0].Prefix, covered[0].Kind)
	// Output: 192.0.2.1/32 gateway
}

// Comparisons with a kernel that takes nothing do not queue the same prefixes again and again.
func TestRepeatedComparisonsDoNotPileUp(t *testing.T) {
	t.Parallel()
	m, p := newModel(1000), blocklist.NewPlan(1000)
	p.Replace([]bus.Block{always("203.0.113.7/32")})
	p.SetFeeds(true, prefixes("10.0.0.1/32", "10.0.0.3/32"))
	require.NoError(t, m.Block([]bpf.Entry{{Prefix: netip.MustParsePrefix("10.9.0.0/16"), Reason: 2}, {Prefix: netip.MustParsePrefix("10.8.0.0/16")}}))
	for range 3 {
		differences, err := p.Compare(m)
		require.NoError(t, err)
		require.Equal(t, 5, differences)
		require.Equal(t, 5, p.Pending())
	}
}

// A feed that removes a prefix while another file cannot be read removes it from the kernel.
func TestRemovalIsWrittenWhileAnotherFileIsUnread(t *testing.T) {
	t.Parallel()
	m, p := newModel(1000), blocklist.NewPlan(1000)
	p.Replace(nil)
	p.SetFeeds(false, prefixes("10.0.0.1/32", "10.0.0.3/32"))
	_, err := p.Compare(m)
	require.NoError(t, err)
	_, err = p.Write(m, 10)
	require.NoError(t, err)
	p.SetFeeds(false, prefixes("10.0.0.1/32"))
	_, err = p.Compare(m)
	require.NoError(t, err)
	_, err = p.Write(m, 10)
	require.NoError(t, err)
	require.Equal(t, 1, m.size())
}

// Entries of the bucket beyond the bound are counted as long as the bucket has them.
func TestRefusedEntriesAreCountedWhileTheyAreInTheBucket(t *testing.T) {
	t.Parallel()
	p := blocklist.NewPlan(10)
	p.SetMaxBlocks(2)
	prefix := func(n int) string { return fmt.Sprintf("203.0.113.%d/32", n) }
	for n := range 4 {
		p.Put(block(prefix(n), time.Hour))
		p.Put(block(prefix(n), 2*time.Hour))
	}
	require.Equal(t, 2, p.Refused(), "each is counted once")
	p.Drop(netip.MustParsePrefix(prefix(3)))
	require.Equal(t, 1, p.Refused(), "removed from the bucket")
	p.Drop(netip.MustParsePrefix(prefix(0)))
	p.Put(block(prefix(2), time.Hour))
	require.Zero(t, p.Refused(), "there was room when it was put again")

	all := []bus.Block{block(prefix(5), time.Hour), block(prefix(6), time.Hour), block(prefix(7), time.Hour)}
	p.Replace(all)
	p.Replace(all)
	require.Equal(t, 1, p.Refused())
	p.Replace(all[:2])
	require.Zero(t, p.Refused())
}

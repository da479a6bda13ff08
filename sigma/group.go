package sigma

import (
	"cmp"
	"container/list"
	"math"
	"slices"
	"sort"
	"time"
)

// maxIntervals bounds the fired windows that a group remembers. They matter for
// late events only.
const maxIntervals = 8

// entry is one counted event.
type entry struct {
	at    int64 // ns since 1970
	rule  int   // index into Correlation.Rules
	value string
	rank  uint8  // Event.Rank
	times uint16 // Event.Times, 1 to MaxTimes
}

// interval is the time of a window that fired, extended while it stays true.
type interval struct {
	first, last int64
}

// group is the state of a correlation for one combination of group-by values.
type group struct {
	correlation *compiledCorrelation
	key         string
	values      []string   // of the group-by fields, shortened for display
	entries     []entry    // by time, then by arrival
	samples     []Sample   // by arrival
	fired       []interval // in the order of firing
	quiet       bool       // the newest window satisfies the condition and has fired
	firedRank   uint8      // while quiet: the highest rank with which it fired, of which enough entries are left
	lastSeq     uint64     // the Observe call that counted last
	counts      *windowCounts
	asStrong    *windowCounts // of the entries of firedRank and above
	stronger    *windowCounts // of the entries above firedRank
	topRank     uint8         // the highest rank of an entry so far
	class       evictionClass // that of recency
	recency     *list.Element // in groupStore.queues; nil before the first entry
	queued      int           // the number of entries when it was queued
}

// window is a window that satisfies the condition.
type window struct {
	count       int
	first, last int64
}

// insert adds e in the order of time and returns its index.
func (g *group) insert(e entry) int {
	n := len(g.entries)
	if n == 0 || g.entries[n-1].at <= e.at {
		g.entries = append(g.entries, e)
		return n
	}
	i := sort.Search(n, func(i int) bool { return g.entries[i].at > e.at })
	start := g.entries[n-1].at - g.correlation.span
	g.entries = slices.Insert(g.entries, i, e)
	if e.at >= start {
		g.counts, g.asStrong, g.stronger = nil, nil, nil
		return i
	}
	g.counts, g.asStrong, g.stronger = g.counts.behind(i), g.asStrong.behind(i), g.stronger.behind(i)
	return i
}

// dropDistant drops the oldest entries, up to one that can still count with e or is stronger than e. It drops none that is newer than
// e, however far: whoever may choose a time would take back what was counted.
func (g *group) dropDistant(e entry) {
	low := 0
	for low < len(g.entries) && g.entries[low].at < e.at-g.correlation.maxDistance && g.entries[low].rank <= e.rank {
		low++
	}
	g.entries = g.entries[low:]
	g.counts, g.asStrong, g.stronger = g.counts.without(low), g.asStrong.without(low), g.stronger.without(low)
}

// dropOldest drops the entries beyond the limit of the group, and returns how many.
func (g *group) dropOldest() (dropped int) {
	over := max(0, len(g.entries)-g.correlation.maxEvents)
	g.dropWeakest(over)
	return over
}

// dropWeakest drops n entries, each the oldest of the rank that gives way.
func (g *group) dropWeakest(n int) {
	if n == 0 {
		return
	}
	var held rankCounts
	for _, e := range g.entries {
		held[e.rank]++
	}
	for range n {
		rank := held.givesWay(len(g.entries))
		held[rank]--
		i := slices.IndexFunc(g.entries, func(e entry) bool { return e.rank == rank })
		for _, counts := range []*windowCounts{g.counts, g.asStrong, g.stronger} {
			counts.remove(g.correlation, i, g.entries[i])
		}
		copy(g.entries[1:i+1], g.entries[:i])
		g.entries = g.entries[1:]
	}
}

// compact removes the middle one of three newest entries of the same rule and rank: only
// the two ends of such a run decide whether other rules lie within a timespan.
func (g *group) compact() {
	n := len(g.entries)
	same := func(a, b entry) bool { return a.rule == b.rule && a.rank == b.rank }
	if n < 3 || !same(g.entries[n-1], g.entries[n-2]) || !same(g.entries[n-2], g.entries[n-3]) {
		return
	}
	g.entries[n-2] = g.entries[n-1]
	g.entries = g.entries[:n-1]
}

// evaluate checks the windows that hold entry i, which was just inserted. fire
// is the window that became true by it, holds the window around it that is
// true, no matter since when; both may be nil.
func (g *group) evaluate(i int) (fire, holds *window) {
	newest := g.newestWindow()
	switch {
	case newest == nil:
		g.quiet = false
	case g.quiet:
		g.extendFired(newest)
		if g.firedRank > 0 && !g.satisfiedFrom(g.firedRank, &g.asStrong) {
			g.setFiredRank(g.rank(newest)) // those that are left hide only what is as weak
		}
		if g.entries[i].rank > g.firedRank && g.satisfiedFrom(g.firedRank+1, &g.stronger) {
			fire = newest
		}
	default:
		g.quiet = true
		g.addFired(newest)
		fire = newest
	}
	if fire != nil {
		g.setFiredRank(g.rank(fire))
	}
	if i == len(g.entries)-1 || newest != nil && g.entries[i].at >= newest.first {
		return fire, newest
	}
	// A late entry outside of the newest window: its windows fire unless they
	// overlap one that fired before.
	holds = g.lateWindow(i)
	if fire == nil && holds != nil && !g.overlapsFired(holds) {
		g.addFired(holds)
		fire = holds
	}
	return fire, holds
}

func (g *group) setFiredRank(rank uint8) {
	g.firedRank, g.asStrong, g.stronger = rank, nil, nil
}

func (g *group) overlapsFired(w *window) bool {
	return slices.ContainsFunc(g.fired, func(f interval) bool {
		return w.first <= f.last && w.last >= f.first
	})
}

func (g *group) addFired(w *window) {
	g.fired = append(g.fired, interval{w.first, w.last})
	if len(g.fired) > maxIntervals {
		oldest := slices.MinFunc(g.fired, func(a, b interval) int { return cmp.Compare(a.last, b.last) })
		g.fired = slices.Delete(g.fired, slices.Index(g.fired, oldest), slices.Index(g.fired, oldest)+1)
	}
}

// extendFired extends the latest fired interval while its window stays true.
func (g *group) extendFired(w *window) {
	latest := -1
	for i, f := range g.fired {
		if latest < 0 || f.last >= g.fired[latest].last {
			latest = i
		}
	}
	if latest >= 0 {
		g.fired[latest].last = max(g.fired[latest].last, w.last)
	}
}

// newestWindow evaluates the window that ends with the newest entry.
func (g *group) newestWindow() *window {
	n := len(g.entries)
	start := g.entries[n-1].at - g.correlation.span
	if g.correlation.temporal() {
		return g.satisfiedWindow(g.firstSince(start), n, nil)
	}
	if g.counts == nil {
		low := g.firstSince(start)
		g.counts = &windowCounts{low: low, end: low}
	}
	g.counts.slide(g.correlation, g.entries, start, n)
	return g.satisfiedWindow(g.counts.low, n, g.counts)
}

// lateWindow evaluates the windows that hold entry i, the earliest first.
func (g *group) lateWindow(i int) *window {
	span := g.correlation.span
	low := g.firstSince(g.entries[i].at - span)
	counts := &windowCounts{low: low, end: low}
	for end := i + 1; end <= len(g.entries) && g.entries[end-1].at <= g.entries[i].at+span; end++ {
		counts.slide(g.correlation, g.entries, g.entries[end-1].at-span, end)
		if w := g.satisfiedWindow(counts.low, end, counts); w != nil {
			return w
		}
	}
	return nil
}

// firstSince returns the index of the first entry at or after at.
func (g *group) firstSince(at int64) int {
	return sort.Search(len(g.entries), func(i int) bool { return g.entries[i].at >= at })
}

// satisfiedWindow returns the entries from low to end as a window if they
// satisfy the condition, else nil. counts are those of the window; the temporal
// types need none.
func (g *group) satisfiedWindow(low, end int, counts *windowCounts) *window {
	entries := g.entries[low:end]
	count := g.count(entries, 0, counts)
	if !g.satisfied(count) {
		return nil
	}
	return &window{count: count, first: entries[0].at, last: entries[len(entries)-1].at}
}

// count returns what the condition is compared with, of the entries with the rank floor or a higher one. counts are
// those of these entries; the temporal types need none.
func (g *group) count(entries []entry, floor uint8, counts *windowCounts) int {
	switch g.correlation.correlation.Type {
	case Temporal:
		return distinctRules(entries, floor)
	case TemporalOrdered:
		return longestChain(entries, len(g.correlation.correlation.Rules), floor)
	case ValueCount:
		return len(counts.values)
	}
	return counts.n
}

func (g *group) satisfied(count int) bool {
	return count > 0 && satisfies(g.correlation.correlation.Condition, float64(count))
}

// satisfiedFrom reports whether the entries of the newest window with the rank floor or a higher one satisfy the condition
// by themselves. counts are those of these entries, created when needed.
func (g *group) satisfiedFrom(floor uint8, counts **windowCounts) bool {
	n := len(g.entries)
	start := g.entries[n-1].at - g.correlation.span
	if g.correlation.temporal() {
		return g.satisfied(g.count(g.entries[g.firstSince(start):], floor, nil))
	}
	if *counts == nil {
		low := g.firstSince(start)
		*counts = &windowCounts{low: low, end: low, floor: floor}
	}
	(*counts).slide(g.correlation, g.entries, start, n)
	return g.satisfied(g.count(nil, floor, *counts))
}

// rank returns the highest rank whose entries in w, with those of higher ranks, satisfy the condition by themselves.
func (g *group) rank(w *window) uint8 {
	entries := g.entries[g.firstSince(w.first):]
	entries = entries[:sort.Search(len(entries), func(i int) bool { return entries[i].at > w.last })]
	if len(entries) == 0 {
		return 0 // a late window, dropped at once for the limits
	}
	var has [math.MaxUint8 + 1]bool
	lowest := uint8(math.MaxUint8)
	for _, e := range entries {
		has[e.rank] = true
		lowest = min(lowest, e.rank)
	}
	for floor := uint8(math.MaxUint8); floor > lowest; floor-- {
		if !has[floor] {
			continue
		}
		counts := &windowCounts{floor: floor}
		if !g.correlation.temporal() {
			counts.slide(g.correlation, entries, math.MinInt64, len(entries))
		}
		if g.satisfied(g.count(entries, floor, counts)) {
			return floor
		}
	}
	return lowest
}

func distinctRules(entries []entry, floor uint8) int {
	seen := make(map[int]bool)
	for _, e := range entries {
		if e.rank >= floor {
			seen[e.rule] = true
		}
	}
	return len(seen)
}

// longestChain returns how many rules occur in the order of the correlation.
// chains[r] is the length of the longest chain that ends with rule r so far.
func longestChain(entries []entry, rules int, floor uint8) int {
	chains := make([]int, rules)
	for _, e := range entries {
		if e.rank < floor {
			continue
		}
		before := 0
		for r := range e.rule {
			before = max(before, chains[r])
		}
		chains[e.rule] = max(chains[e.rule], before+1)
	}
	return slices.Max(chains)
}

// match reports w, which fired, for the caller of Observe.
func (g *group) match(w *window) CorrelationMatch {
	m := g.describe(w)
	m.Rank = g.rank(w)
	for _, s := range g.samples {
		if !s.Time.Before(m.First) && !s.Time.After(m.Last) {
			m.Samples = append(m.Samples, s)
		}
	}
	return m
}

// ongoing reports w, which fired before, for an event of this rank, which was counted last.
func (g *group) ongoing(w *window, rank uint8) CorrelationMatch {
	m := g.describe(w)
	m.Rank = min(rank, g.firedRank)
	m.Samples = slices.Clone(g.samples[len(g.samples)-1:])
	return m
}

func (g *group) describe(w *window) CorrelationMatch {
	first, last := time.Unix(0, w.first).UTC(), time.Unix(0, w.last).UTC()
	return CorrelationMatch{
		Correlation: g.correlation.correlation,
		Key:         g.key,
		Group:       g.named(),
		Count:       w.count,
		First:       first,
		Last:        last,
		QuietUntil:  last.Add(g.correlation.correlation.Timespan),
		Silent:      g.correlation.silent,
	}
}

// named returns the group-by names with their values.
func (g *group) named() map[string]string {
	out := make(map[string]string, len(g.values))
	for i, name := range g.correlation.correlation.GroupBy {
		out[name] = g.values[i]
	}
	return out
}

// windowCounts counts the entries from low to end incrementally while the window
// slides over them.
type windowCounts struct {
	low, end int
	floor    uint8          // entries of a lower rank do not count
	n        int            // events that count, each of the entries Event.Times times
	values   map[string]int // of value_count: value → entries with it
}

// without returns t after the first entries were dropped, nil if the window held some of them.
func (t *windowCounts) without(dropped int) *windowCounts {
	if t == nil || t.low < dropped {
		return nil
	}
	t.low, t.end = t.low-dropped, t.end-dropped
	return t
}

// behind returns t after an entry was inserted at i, which is before its window; nil if the window began before i.
func (t *windowCounts) behind(i int) *windowCounts {
	if t == nil || t.low < i {
		return nil
	}
	t.low, t.end = t.low+1, t.end+1
	return t
}

// slide moves the window so that it holds the entries from time start to index
// end.
func (t *windowCounts) slide(c *compiledCorrelation, entries []entry, start int64, end int) {
	countsValues := c.correlation.Type == ValueCount
	if countsValues && t.values == nil {
		t.values = make(map[string]int)
	}
	for ; t.end < end; t.end++ {
		if entries[t.end].rank < t.floor {
			continue
		}
		t.n += int(entries[t.end].times)
		if countsValues {
			t.values[entries[t.end].value]++
		}
	}
	for ; t.low < end && entries[t.low].at < start; t.low++ {
		t.uncount(c, entries[t.low])
	}
}

// remove takes e, the entry at i, out of the window: it is about to be dropped.
func (t *windowCounts) remove(c *compiledCorrelation, i int, e entry) {
	if t == nil || i >= t.end {
		return
	}
	t.end--
	if i < t.low {
		t.low--
		return
	}
	t.uncount(c, e)
}

func (t *windowCounts) uncount(c *compiledCorrelation, e entry) {
	if e.rank < t.floor {
		return
	}
	t.n -= int(e.times)
	if c.correlation.Type != ValueCount {
		return
	}
	if t.values[e.value]--; t.values[e.value] == 0 {
		delete(t.values, e.value)
	}
}

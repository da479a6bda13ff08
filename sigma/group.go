package sigma

import (
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
	rank  uint8 // Event.Rank
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
	g.entries = slices.Insert(g.entries, i, e)
	g.counts, g.asStrong, g.stronger = nil, nil, nil
	return i
}

// dropDistant drops the entries too far from at, on both sides: otherwise one
// event with a time far in the future would make all later events too late.
func (g *group) dropDistant(at int64) (dropped int) {
	distance := g.correlation.maxDistance
	low, high := 0, len(g.entries)
	for low < high && g.entries[low].at < at-distance {
		low++
	}
	for high > low && g.entries[high-1].at > at+distance {
		high--
	}
	dropped = len(g.entries) - (high - low)
	if high < len(g.entries) {
		g.counts, g.asStrong, g.stronger = nil, nil, nil
	}
	g.slice(low, high)
	return dropped
}

// dropOldest drops the oldest entries beyond the limit of the group.
func (g *group) dropOldest() (dropped int) {
	if over := len(g.entries) - g.correlation.maxEvents; over > 0 {
		g.slice(over, len(g.entries))
		return over
	}
	return 0
}

// slice keeps the entries from low to high only.
func (g *group) slice(low, high int) {
	if low == 0 && high == len(g.entries) {
		return
	}
	g.entries = g.entries[low:high]
	g.counts, g.asStrong, g.stronger = g.counts.without(low), g.asStrong.without(low), g.stronger.without(low)
}

// compact removes the middle one of three newest entries of the same rule and rank: only
// the two ends of such a run decide whether other rules lie within a timespan.
func (g *group) compact() (dropped int) {
	n := len(g.entries)
	same := func(a, b entry) bool { return a.rule == b.rule && a.rank == b.rank }
	if n < 3 || !same(g.entries[n-1], g.entries[n-2]) || !same(g.entries[n-2], g.entries[n-3]) {
		return 0
	}
	g.entries[n-2] = g.entries[n-1]
	g.entries = g.entries[:n-1]
	return 1
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
		g.fired = g.fired[1:]
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
	n        int            // entries that count
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
		t.n++
		if countsValues {
			t.values[entries[t.end].value]++
		}
	}
	for ; t.low < end && entries[t.low].at < start; t.low++ {
		if entries[t.low].rank < t.floor {
			continue
		}
		t.n--
		if !countsValues {
			continue
		}
		value := entries[t.low].value
		if t.values[value]--; t.values[value] == 0 {
			delete(t.values, value)
		}
	}
}

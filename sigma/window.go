package sigma

import (
	"container/list"
	"slices"
	"sort"
)

// maxIntervals bounds how many fired windows a group remembers, which matters
// for late events only.
const maxIntervals = 8

// entry is one counted event.
type entry struct {
	at    int64 // ns since 1970
	rule  int
	value string // of value_count
}

// interval is a window that fired, with what kept it true afterwards.
type interval struct {
	first, last int64
}

// group is the state of one combination of group-by values.
type group struct {
	correlation *compiledCorrelation
	key     string
	values  []string   // shortened for display
	entries []entry    // by time, then by arrival
	samples []Sample   // by arrival
	fired   []interval // in the order of firing
	quiet   bool       // the newest window holds, and was told
	lastSeq uint64     // the Observe that counted last
	counts   *windowCounts     // of the newest window; nil if it must be built anew
	seen    *list.Element
}

// window is a window that satisfies the condition.
type window struct {
	count       int
	first, last int64
}

// insert puts an entry in its place and returns its index.
func (g *group) insert(e entry) int {
	n := len(g.entries)
	if n == 0 || g.entries[n-1].at <= e.at {
		g.entries = append(g.entries, e)
		return n
	}
	i := sort.Search(n, func(i int) bool { return g.entries[i].at > e.at })
	g.entries = slices.Insert(g.entries, i, e)
	g.counts = nil
	return i
}

// dropDistant drops what lies too far from time at, on either side: a single event
// with an absurd time can then not make all later ones count as too late.
func (g *group) dropDistant(at int64) (dropped int) {
	keep := g.correlation.maxDistance
	low, high := 0, len(g.entries)
	for low < high && g.entries[low].at < at-keep {
		low++
	}
	for high > low && g.entries[high-1].at > at+keep {
		high--
	}
	dropped = len(g.entries) - (high - low)
	if high < len(g.entries) {
		g.counts = nil
	}
	g.dropFirst(low, high)
	return dropped
}

// dropFirst keeps the entries from low to high.
func (g *group) dropFirst(low, high int) {
	if low == 0 && high == len(g.entries) {
		return
	}
	g.entries = g.entries[low:high]
	if g.counts != nil && !g.counts.shift(low) {
		g.counts = nil
	}
}

// dropOldest drops the oldest entries beyond the limit.
func (g *group) dropOldest() (dropped int) {
	if over := len(g.entries) - g.correlation.maxEvents; over > 0 {
		g.dropFirst(over, len(g.entries))
		return over
	}
	return 0
}

// compact removes the inside of a run of one rule at the newest end, of which
// only the two ends decide whether other rules lie within one timespan.
func (g *group) compact() int {
	n := len(g.entries)
	if n < 3 || g.entries[n-1].rule != g.entries[n-2].rule || g.entries[n-2].rule != g.entries[n-3].rule {
		return 0
	}
	g.entries[n-2] = g.entries[n-1]
	g.entries = g.entries[:n-1]
	return 1
}

// evaluate looks at the windows that the entry at index i has changed. It returns
// the window that became true by it, and the window around it that is true at
// all, which temporal correlations built on this one count.
func (g *group) evaluate(i int) (fire, holds *window) {
	n := len(g.entries)
	newest := g.newestWindow()
	switch {
	case newest == nil:
		g.quiet = false
	case g.quiet:
		g.extendFired(newest)
	default:
		g.quiet = true
		g.addFired(newest)
		fire = newest
	}
	if i == n-1 || newest != nil && g.entries[i].at >= newest.first {
		return fire, newest
	}
	return g.evaluateLate(i, fire)
}

// evaluateLate looks at the windows around an entry that the newest window does
// not hold. They fire unless they are part of what fired before.
func (g *group) evaluateLate(i int, fire *window) (*window, *window) {
	holds := g.lateWindow(i)
	if holds == nil || fire != nil || g.overlapsFired(holds) {
		return fire, holds
	}
	g.addFired(holds)
	return holds, holds
}

func (g *group) overlapsFired(v *window) bool {
	return slices.ContainsFunc(g.fired, func(f interval) bool {
		return v.first <= f.last && v.last >= f.first
	})
}

func (g *group) addFired(v *window) {
	g.fired = append(g.fired, interval{v.first, v.last})
	if len(g.fired) > maxIntervals {
		g.fired = g.fired[1:]
	}
}

// extendFired lets the newest fired window grow while the group is quiet.
func (g *group) extendFired(v *window) {
	newest := -1
	for i, f := range g.fired {
		if newest < 0 || f.last >= g.fired[newest].last {
			newest = i
		}
	}
	if newest >= 0 {
		g.fired[newest].last = max(g.fired[newest].last, v.last)
	}
}

// newestWindow judges the window that ends with the newest entry.
func (g *group) newestWindow() *window {
	n := len(g.entries)
	start := g.entries[n-1].at - g.correlation.span
	if g.correlation.temporal() {
		return g.satisfiedWindow(g.lowest(start), n, nil)
	}
	if g.counts == nil {
		low := g.lowest(start)
		g.counts = &windowCounts{low: low, end: low}
	}
	g.counts.slide(g.correlation, g.entries, start, n)
	return g.satisfiedWindow(g.counts.low, n, g.counts)
}

// lateWindow judges the windows that hold entry i, from the earliest on.
func (g *group) lateWindow(i int) *window {
	span := g.correlation.span
	low := g.lowest(g.entries[i].at - span)
	t := &windowCounts{low: low, end: low}
	for end := i + 1; end <= len(g.entries) && g.entries[end-1].at <= g.entries[i].at+span; end++ {
		t.slide(g.correlation, g.entries, g.entries[end-1].at-span, end)
		if v := g.satisfiedWindow(t.low, end, t); v != nil {
			return v
		}
	}
	return nil
}

// lowest returns the index of the first entry at or after a time.
func (g *group) lowest(at int64) int {
	return sort.Search(len(g.entries), func(i int) bool { return g.entries[i].at >= at })
}

// satisfiedWindow judges the entries from low to end; t is their tally, if there is one.
func (g *group) satisfiedWindow(low, end int, t *windowCounts) *window {
	window := g.entries[low:end]
	var count int
	switch g.correlation.correlation.Type {
	case Temporal:
		count = distinctRules(window)
	case TemporalOrdered:
		count = longestChain(window, len(g.correlation.correlation.Rules))
	case ValueCount:
		count = len(t.values)
	default:
		count = len(window)
	}
	if !satisfies(g.correlation.correlation.Condition, float64(count)) {
		return nil
	}
	return &window{count: count, first: window[0].at, last: window[len(window)-1].at}
}

func distinctRules(window []entry) int {
	seen := make(map[int]bool)
	for _, e := range window {
		seen[e.rule] = true
	}
	return len(seen)
}

// longestChain returns how many rules occur in the order of the correlation.
// chains[r] is the length of the longest chain that ends with rule r so far.
func longestChain(window []entry, rules int) int {
	chains := make([]int, rules)
	for _, e := range window {
		before := 0
		for r := range e.rule {
			before = max(before, chains[r])
		}
		chains[e.rule] = max(chains[e.rule], before+1)
	}
	return slices.Max(chains)
}

// windowCounts counts the entries from low to end while the window slides over them.
type windowCounts struct {
	low, end int
	values   map[string]int // of value_count
}

// slide moves the window so that it holds the entries from time start to end.
func (t *windowCounts) slide(c *compiledCorrelation, entries []entry, start int64, end int) {
	counts := c.correlation.Type == ValueCount
	if counts && t.values == nil {
		t.values = make(map[string]int)
	}
	for ; t.end < end; t.end++ {
		if counts {
			t.values[entries[t.end].value]++
		}
	}
	for ; t.low < end && entries[t.low].at < start; t.low++ {
		if counts {
			t.remove(entries[t.low].value)
		}
	}
}

func (t *windowCounts) remove(value string) {
	if t.values[value]--; t.values[value] == 0 {
		delete(t.values, value)
	}
}

// shift follows entries that were dropped at the front. It reports false if the
// window held some of them.
func (t *windowCounts) shift(n int) bool {
	t.low, t.end = t.low-n, t.end-n
	return t.low >= 0
}

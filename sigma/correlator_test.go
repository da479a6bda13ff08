package sigma_test

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/sigma"
)

const baseRules = `title: A
name: a
id: 00000000-0000-4000-8000-00000000000a
logsource: {product: p}
detection: {s: {kind: a}, condition: s}
---
title: B
name: b
logsource: {product: p}
detection: {s: {kind: b}, condition: s}
---
title: C
name: c
logsource: {product: p}
detection: {s: {kind: c}, condition: s}
`

// correlated adds correlations to baseRules: each section is one, with the title
// X1, X2, …
func correlated(sections ...string) string {
	var b strings.Builder
	b.WriteString(baseRules)
	for i, s := range sections {
		fmt.Fprintf(&b, "---\ntitle: X%d\nname: x%d\nlevel: high\ncorrelation:\n", i+1, i+1)
		for line := range strings.SplitSeq(strings.Trim(s, "\n"), "\n") {
			b.WriteString("  " + line + "\n")
		}
	}
	return b.String()
}

const countOfA = `
type: event_count
rules: [a]
group-by: [ip]
timespan: 10s
condition: {gte: 3}`

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// step is one event of a timeline: its second, and kind[/ip[/user]][*times].
type step struct {
	at   int
	what string
}

func (s step) event() sigma.Event {
	what, repeated, _ := strings.Cut(s.what, "*")
	times, _ := strconv.Atoi(repeated)
	parts := append(strings.Split(what, "/"), "", "")
	f := fields{"kind": parts[0], "raw": s.what}
	if parts[1] != "" {
		f["ip"] = parts[1]
	}
	if parts[2] != "" {
		f["user"] = parts[2]
	}
	return sigma.Event{Time: start.Add(time.Duration(s.at) * time.Second), Ref: fmt.Sprint(s.at), Times: times, Fields: sigma.FieldsOf(f)}
}

// play returns the correlations that fire, as "title@second".
func play(rs *sigma.RuleSet, c *sigma.Correlator, steps []step) []string {
	fired := []string{}
	for _, s := range steps {
		ev := s.event()
		began, _ := c.Observe(ev, rs.Match(ev))
		for _, m := range began {
			if !m.Silent {
				fired = append(fired, fmt.Sprintf("%s@%d", m.Correlation.Title, s.at))
			}
		}
	}
	return fired
}

func steps(line string) []step {
	var out []step
	for word := range strings.FieldsSeq(line) {
		var s step
		at, what, _ := strings.Cut(word, ":")
		_, _ = fmt.Sscan(at, &s.at)
		s.what = what
		out = append(out, s)
	}
	return out
}

func TestCorrelationTimelines(t *testing.T) {
	t.Parallel()
	values := "type: value_count\nrules: [a, b]\ngroup-by: [ip]\ntimespan: 10s\ncondition: {field: user, gte: 3}"
	temporal := "type: temporal\nrules: [a, b]\ngroup-by: [ip]\ntimespan: 10s"
	ordered := "type: temporal_ordered\nrules: [a, b, c]\ngroup-by: [ip]\ntimespan: 10s"
	for _, tt := range []struct {
		name    string
		section []string
		line    string
		want    string
	}{
		{"fires at the bound", []string{countOfA}, "0:a/1 1:a/1 2:a/1", "X1@2"},
		{"one event that stands for three", []string{countOfA}, "0:a/1*3", "X1@0"},
		{"one that stands for two, and another", []string{countOfA}, "0:a/1*2 1:b/1*2 2:a/1", "X1@2"},
		{"one that stands for two leaves the window", []string{countOfA}, "0:a/1*2 11:a/1*2 12:a/1", "X1@12"},
		{"distinct values are no more by that", []string{values}, "0:a/1/u*9 1:a/1/v*9", ""},
		{"one short", []string{countOfA}, "0:a/1 1:a/1", ""},
		{"other rules do not count", []string{countOfA}, "0:a/1 1:b/1 2:a/1", ""},
		{"groups are apart", []string{countOfA}, "0:a/1 1:a/2 2:a/1 3:a/2 4:a/2", "X1@4"},
		{"no group value", []string{countOfA}, "0:a 1:a 2:a", ""},
		{"both ends belong to the window", []string{countOfA}, "0:a/1 5:a/1 10:a/1", "X1@10"},
		{"slides", []string{countOfA}, "0:a/1 5:a/1 11:a/1 14:a/1", "X1@14"},
		{"not bound to full minutes", []string{countOfA}, "58:a/1 60:a/1 62:a/1", "X1@62"},
		{"quiet while it holds", []string{countOfA}, "0:a/1 1:a/1 2:a/1 3:a/1 9:a/1 11:a/1 12:a/1 18:a/1", "X1@2"},
		{"fires again after a pause", []string{countOfA}, "0:a/1 1:a/1 2:a/1 30:a/1 31:a/1 32:a/1", "X1@2 X1@32"},
		{"late event completes", []string{countOfA}, "0:a/1 9:a/1 3:a/1", "X1@3"},
		{"late event completes an older window", []string{countOfA}, "0:a/1 9:a/1 30:a/1 3:a/1", "X1@3"},
		{"late event of a window that fired", []string{countOfA}, "0:a/1 1:a/1 2:a/1 30:a/1 3:a/1 4:a/1", "X1@2"},
		{"late event too far from others", []string{countOfA}, "0:a/1 9:a/1 30:a/1 19:a/1", ""},
		{"reverse order", []string{countOfA}, "9:a/1 8:a/1 7:a/1 6:a/1", "X1@7"},
		{"one absurd time does not stop it", []string{countOfA}, "900000000:a/1 0:a/1 1:a/1 2:a/1", "X1@2"},
		{"same second", []string{countOfA}, "5:a/1 5:a/1 5:a/1", "X1@5"},
		{"gt", []string{strings.Replace(countOfA, "gte: 3", "gt: 1", 1)}, "0:a/1 1:a/1", "X1@1"},
		{"eq", []string{strings.Replace(countOfA, "gte: 3", "eq: 2", 1)}, "0:a/1 1:a/1 2:a/1 12:a/1 13:a/1", "X1@1 X1@12"},
		{"neq", []string{strings.Replace(countOfA, "gte: 3", "neq: 1", 1)}, "0:a/1 1:a/1", "X1@1"},
		{"lt", []string{strings.Replace(countOfA, "gte: 3", "lt: 2", 1)}, "0:a/1 1:a/1 20:a/1", "X1@0 X1@20"},
		{"lte", []string{strings.Replace(countOfA, "gte: 3", "lte: 1", 1)}, "0:a/1 1:a/1", "X1@0"},
		{"range", []string{strings.Replace(countOfA, "gte: 3", "gt: 1, lte: 3", 1)}, "0:a/1 1:a/1 2:a/1 3:a/1 11:a/1 13:a/1", "X1@1 X1@13"},
		{"several rules count together", []string{strings.Replace(countOfA, "[a]", "[a, b]", 1)}, "0:a/1 1:b/1 2:a/1", "X1@2"},
		{"without groups", []string{strings.Replace(countOfA, "group-by: [ip]\n", "", 1)}, "0:a/1 1:a/2 2:a", "X1@2"},

		{"distinct values", []string{values}, "0:a/1/x 1:a/1/y 2:a/1/z", "X1@2"},
		{"same value once", []string{values}, "0:a/1/x 1:b/1/x 2:a/1/y 3:b/1/y", ""},
		{"values slide out", []string{values}, "0:a/1/x 5:a/1/y 11:a/1/z 14:a/1/x", "X1@14"},
		{"value comes late", []string{values}, "0:a/1/x 9:a/1/z 4:b/1/y", "X1@4"},
		{"no value", []string{values}, "0:a/1/x 1:a/1 2:a/1/z", ""},

		{"temporal any order", []string{temporal}, "0:b/1 4:a/1", "X1@4"},
		{"temporal same rule twice", []string{temporal}, "0:a/1 4:a/1 15:b/1", ""},
		{"temporal too far", []string{temporal}, "0:a/1 11:b/1", ""},
		{"temporal late", []string{temporal}, "0:a/1 30:c/1 40:a/1 5:b/1", "X1@5"},
		{"temporal two of three", []string{strings.Replace(temporal, "[a, b]", "[a, b, c]", 1) + "\ncondition: {gte: 2}"}, "0:c/1 3:a/1", "X1@3"},

		{"ordered", []string{ordered}, "0:a/1 4:b/1 8:c/1", "X1@8"},
		{"ordered with others between", []string{ordered}, "0:a/1 1:c/1 2:a/1 4:b/1 5:b/1 8:c/1", "X1@8"},
		{"ordered wrong order", []string{ordered}, "0:c/1 4:b/1 8:a/1", ""},
		{"ordered by time, not by arrival", []string{ordered}, "8:c/1 4:b/1 0:a/1", "X1@0"},
		{"ordered too slow", []string{ordered}, "0:a/1 4:b/1 11:c/1", ""},
		{"ordered same second by arrival", []string{ordered}, "4:a/1 4:b/1 4:c/1", "X1@4"},
		{"ordered long runs", []string{ordered}, "0:a/1 1:a/1 2:a/1 3:a/1 9:a/1 10:b/1 11:b/1 12:b/1 19:c/1", "X1@19"},

		{
			"chain: success after failures",
			[]string{countOfA, "type: temporal_ordered\nrules: [x1, b]\ngroup-by: [ip]\ntimespan: 20s"},
			"0:a/1 1:a/1 2:a/1 3:a/1 5:b/1", "X2@5",
		},
		{
			"chain: the inner one holds long after it fired",
			[]string{countOfA, "type: temporal_ordered\nrules: [x1, b]\ngroup-by: [ip]\ntimespan: 5s"},
			"0:a/1 1:a/1 2:a/1 6:a/1 9:a/1 14:a/1 15:b/1", "X2@15",
		},
		{
			"chain: success first",
			[]string{countOfA, "type: temporal_ordered\nrules: [x1, b]\ngroup-by: [ip]\ntimespan: 20s"},
			"0:b/1 1:a/1 2:a/1 3:a/1", "",
		},
		{
			"chain: an outer count counts firings",
			[]string{countOfA, "type: event_count\nrules: [x1]\ntimespan: 1h\ncondition: {gte: 2}"},
			"0:a/1 1:a/1 2:a/1 3:a/1 4:a/1 5:a/2 6:a/2 7:a/2", "X2@7",
		},
		{
			"chain: the outer one groups by fields of its own",
			[]string{countOfA, "type: temporal_ordered\nrules: [x1, b]\ngroup-by: [user]\ntimespan: 20s"},
			"0:a/1/u 1:a/1/v 2:a/1/u 5:b/2/v 6:b/2/u", "X2@6",
		},
		{
			"chain: generate keeps the inner one",
			[]string{countOfA, "type: temporal_ordered\nrules: [x1, b]\ngroup-by: [ip]\ntimespan: 20s\ngenerate: true"},
			"0:a/1 1:a/1 2:a/1 5:b/1", "X1@2 X2@5",
		},
		{
			"aliases",
			[]string{"type: temporal\nrules: [a, b]\ngroup-by: [who]\ntimespan: 10s\naliases: {who: {a: ip, b: user}}"},
			"0:a/1/2 1:b/2/1 20:a/1/2 21:b/1/2", "X1@1",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			rs := compile(t, correlated(tt.section...), sigma.Options{})
			require.Equal(t, tt.want, strings.Join(play(rs, rs.NewCorrelator(), steps(tt.line)), " "))
			require.Equal(t, tt.want, strings.Join(playInterrupted(t, rs, steps(tt.line)), " "), "with a restore after every event")
		})
	}
}

// playInterrupted is play with a snapshot and a new correlator after every event.
func playInterrupted(t *testing.T, rs *sigma.RuleSet, line []step) []string {
	t.Helper()
	fired := []string{}
	c := rs.NewCorrelator()
	for _, s := range line {
		fired = append(fired, play(rs, c, []step{s})...)
		c = restored(t, rs, c)
	}
	return fired
}

func restored(t *testing.T, rs *sigma.RuleSet, c *sigma.Correlator) *sigma.Correlator {
	t.Helper()
	data, err := c.Snapshot()
	require.NoError(t, err)
	fresh := rs.NewCorrelator()
	require.NoError(t, fresh.Restore(data))
	again, err := fresh.Snapshot()
	require.NoError(t, err)
	require.Equal(t, string(data), string(again))
	return fresh
}

// Random timelines with late events: an interrupted run equals an uninterrupted one,
// and the final snapshots are equal.
func TestRestoreEqualsUninterrupted(t *testing.T) {
	t.Parallel()
	rs := compile(t, correlated(countOfA,
		"type: value_count\nrules: [a, b]\ngroup-by: [ip]\ntimespan: 10s\ncondition: {field: user, gte: 3}",
		"type: temporal_ordered\nrules: [x1, b, c]\ngroup-by: [ip]\ntimespan: 20s\ngenerate: true",
		"type: temporal\nrules: [a, b, c]\ngroup-by: [user]\ntimespan: 5s"),
		sigma.Options{Limits: sigma.Limits{MaxGroups: 9, MaxGroupEvents: 12, MaxEvents: 60, MaxSamples: 2}})
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 1))
		var line []step
		for i := range 200 {
			line = append(line, step{at: i - r.IntN(8)*r.IntN(8), what: fmt.Sprintf("%c/%d/%d*%d", 'a'+r.IntN(3), r.IntN(4), r.IntN(4), r.IntN(3))})
		}
		whole := rs.NewCorrelator()
		want := play(rs, whole, line)
		cut := r.IntN(len(line))
		half := rs.NewCorrelator()
		got := play(rs, half, line[:cut])
		half = restored(t, rs, half)
		got = append(got, play(rs, half, line[cut:])...)
		require.Equal(t, want, got, "seed %d", seed)
		a, err := whole.Snapshot()
		require.NoError(t, err)
		b, err := half.Snapshot()
		require.NoError(t, err)
		require.Equal(t, string(a), string(b), "seed %d", seed)
	}
}

// A group that reaches the bound in event time fires in every order of arrival
// within the lateness.
func TestArrivalOrderDoesNotMatter(t *testing.T) {
	t.Parallel()
	rs := compile(t, correlated(countOfA), sigma.Options{})
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 2))
		at := make([]int, 12)
		for i := range at {
			at[i] = r.IntN(60)
		}
		var line []step
		for _, s := range at {
			line = append(line, step{s, "a/1"})
		}
		require.Equal(t, reaches(at, 3, 10), len(play(rs, rs.NewCorrelator(), line)) > 0, "%v", at)
	}
}

// reaches is a simple reference: it counts from every event on.
func reaches(at []int, want, span int) bool {
	for _, from := range at {
		n := 0
		for _, s := range at {
			if s >= from && s <= from+span {
				n++
			}
		}
		if n >= want {
			return true
		}
	}
	return false
}

func TestCorrelationMatchFields(t *testing.T) {
	t.Parallel()
	rs := compile(t, correlated(strings.Replace(countOfA, "[ip]", "[ip, user]", 1)), sigma.Options{Limits: sigma.Limits{MaxSamples: 2}})
	require.True(t, rs.Match(step{0, "a"}.event())[0].Silent)
	require.False(t, rs.Match(step{0, "b"}.event())[0].Silent)
	c := rs.NewCorrelator()
	play(rs, c, steps("1:a/1/u 4:a/1/u"))
	ev := step{6, "a/1/u"}.event()
	got, ongoing := c.Observe(ev, rs.Match(ev))
	require.Empty(t, ongoing)
	require.Len(t, got, 1)
	m := got[0]
	require.Equal(t, "X1", m.Correlation.Title)
	require.Equal(t, "high", m.Correlation.Level)
	require.Len(t, m.Key, 32)
	require.Equal(t, map[string]string{"ip": "1", "user": "u"}, m.Group)
	require.Equal(t, 3, m.Count)
	require.Equal(t, start.Add(1*time.Second), m.First)
	require.Equal(t, start.Add(6*time.Second), m.Last)
	require.Equal(t, start.Add(16*time.Second), m.QuietUntil)
	require.Equal(t, []sigma.Sample{
		{Time: start.Add(4 * time.Second), Rule: "a", Ref: "4", Text: "a/1/u"},
		{Time: start.Add(6 * time.Second), Rule: "a", Ref: "6", Text: "a/1/u"},
	}, m.Samples)
	require.False(t, m.Silent)
}

func TestEventOfSeveralRulesCountsOnce(t *testing.T) {
	t.Parallel()
	text := strings.Replace(correlated(strings.Replace(countOfA, "[a]", "[a, b]", 1)), "{kind: b}", "{kind: a}", 1)
	rs := compile(t, text, sigma.Options{})
	require.Equal(t, []string{"X1@2"}, play(rs, rs.NewCorrelator(), steps("0:a/1 1:a/1 2:a/1")))
}

func TestCorrelatorEnforcesLimits(t *testing.T) {
	t.Parallel()
	rs := compile(t, correlated(countOfA), sigma.Options{Limits: sigma.Limits{MaxGroups: 10, MaxGroupEvents: 5, MaxEvents: 20}})
	c := rs.NewCorrelator()
	for i := range 1000 {
		play(rs, c, []step{{i / 100, fmt.Sprintf("a/%d", i%50)}})
		require.LessOrEqual(t, c.Stats().Groups, 10)
		require.LessOrEqual(t, c.Stats().Events, 20)
	}
	require.Positive(t, c.Stats().EvictedGroups)
	c = rs.NewCorrelator()
	for i := range 100 {
		play(rs, c, []step{{i / 50, "a/1"}})
	}
	require.Equal(t, sigma.CorrelatorStats{Groups: 1, Events: 5, EvictedEvents: 95, Evicted: map[string]uint64{"x1": 95}}, c.Stats())
	play(rs, c, []step{{0, "a"}})
	ev := step{0, "a/1"}.event()
	ev.Time = time.Time{}
	began, ongoing := c.Observe(ev, rs.Match(ev))
	require.Empty(t, began)
	require.Empty(t, ongoing)
	require.EqualValues(t, 1, c.Stats().Ungrouped)
	require.EqualValues(t, 1, c.Stats().Untimed)
}

func TestRestoreAfterRulesChanged(t *testing.T) {
	t.Parallel()
	other := "type: event_count\nrules: [b]\ngroup-by: [ip]\ntimespan: 10s\ncondition: {gte: 3}"
	before := compile(t, correlated(countOfA, other), sigma.Options{})
	c := before.NewCorrelator()
	play(before, c, steps("0:a/1 0:b/1 1:a/1 1:b/1"))
	data, err := c.Snapshot()
	require.NoError(t, err)
	for name, tt := range map[string]struct {
		sections []string
		want     int // groups
	}{
		"nothing":    {[]string{countOfA, other}, 2},
		"one gone":   {[]string{countOfA}, 1},
		"bound":      {[]string{strings.Replace(countOfA, "gte: 3", "gte: 4", 1), other}, 2},
		"grouping":   {[]string{strings.Replace(countOfA, "[ip]", "[user]", 1), other}, 1},
		"both types": {[]string{"type: temporal\nrules: [a, b]\ntimespan: 1s"}, 0},
	} {
		after := compile(t, correlated(tt.sections...), sigma.Options{})
		fresh := after.NewCorrelator()
		require.NoError(t, fresh.Restore(data), name)
		require.Equal(t, tt.want, fresh.Stats().Groups, name)
	}
}

func TestRestoreRefusesDamagedSnapshots(t *testing.T) {
	t.Parallel()
	rs := compile(t, correlated(countOfA), sigma.Options{})
	c := rs.NewCorrelator()
	play(rs, c, steps("0:a/1 1:a/1"))
	data, err := c.Snapshot()
	require.NoError(t, err)
	for _, damaged := range []string{
		"", "[]", "{}", string(data[:len(data)-5]),
		strings.Replace(string(data), `"group":["1"]`, `"group":["1","2"]`, 1),
		strings.Replace(string(data), `"times":[`, `"rules":[7,7],"times":[`, 1),
		strings.Replace(string(data), `"times":[`, `"times":[9000000000000000000,`, 1),
		strings.Replace(string(data), `"version":1`, `"version":9`, 1),
	} {
		require.Error(t, c.Restore([]byte(damaged)), damaged)
	}
	require.Equal(t, 2, c.Stats().Events, "unchanged")
	require.Equal(t, []string{"X1@2"}, play(rs, c, steps("2:a/1")))
}

// The features of the specification that need a rule of their own.
func TestCorrelationFeatures(t *testing.T) {
	t.Parallel()
	ev := func(second int, f fields) sigma.Event {
		return sigma.Event{Time: start.Add(time.Duration(second) * time.Second), Fields: sigma.FieldsOf(f)}
	}
	long := strings.Repeat("x", 2000)
	for _, tt := range []struct {
		name    string
		section string
		events  []fields
		want    []int // counts of the matches
	}{
		{
			"aliases name a field for each rule",
			"type: temporal\nrules: [a, b]\naliases: {addr: {a: ip, b: peer}}\ngroup-by: [addr]\ntimespan: 10s",
			[]fields{{"kind": "a", "ip": "1"}, {"kind": "b", "peer": "2"}, {"kind": "b", "peer": "1"}},
			[]int{2},
		},
		{
			"value_count of two fields counts pairs",
			"type: value_count\nrules: [a]\ntimespan: 10s\ncondition: {field: [x, y], gte: 3}",
			[]fields{{"kind": "a", "x": "1", "y": "12"}, {"kind": "a", "x": "11", "y": "2"}, {"kind": "a", "x": "1", "y": "12"}, {"kind": "a", "x": "2", "y": "1"}},
			[]int{3},
		},
		{
			"value_count distinguishes long values",
			"type: value_count\nrules: [a]\ntimespan: 10s\ncondition: {field: x, gte: 2}",
			[]fields{{"kind": "a", "x": long + "1"}, {"kind": "a", "x": long + "1"}, {"kind": "a", "x": long + "2"}},
			[]int{2},
		},
		{
			"value_count leaves events without the field out",
			"type: value_count\nrules: [a]\ntimespan: 10s\ncondition: {field: x, gte: 2}",
			[]fields{{"kind": "a"}, {"kind": "a", "x": nil}, {"kind": "a", "x": "1"}},
			nil,
		},
		{
			"a list is one group value",
			"type: event_count\nrules: [a]\ngroup-by: [ip]\ntimespan: 10s\ncondition: {gte: 2}",
			[]fields{{"kind": "a", "ip": []any{"1", "2"}}, {"kind": "a", "ip": "1"}, {"kind": "a", "ip": []any{"1", "2"}}},
			[]int{2},
		},
		{
			"group-by of a nested field",
			"type: event_count\nrules: [a]\ngroup-by: [src.ip]\ntimespan: 10s\ncondition: {eq: 2}",
			[]fields{{"kind": "a", "src": fields{"ip": "1"}}, {"kind": "a", "src.ip": "1"}},
			[]int{2},
		},
		{
			"neq",
			"type: event_count\nrules: [a]\ntimespan: 10s\ncondition: {neq: 1}",
			[]fields{{"kind": "a"}, {"kind": "a"}, {"kind": "a"}},
			[]int{2},
		},
		{
			"a range",
			"type: event_count\nrules: [a]\ntimespan: 10s\ncondition: {gt: 1, lte: 2}",
			[]fields{{"kind": "a"}, {"kind": "a"}, {"kind": "a"}},
			[]int{2},
		},
		{
			"temporal with a condition needs that many rules",
			"type: temporal\nrules: [a, b, c]\ntimespan: 10s\ncondition: {gte: 2}",
			[]fields{{"kind": "a"}, {"kind": "a"}, {"kind": "c"}},
			[]int{2},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			rs := compile(t, correlated(tt.section), sigma.Options{})
			require.Len(t, rs.Correlations(), 1)
			c := rs.NewCorrelator()
			var counts []int
			for i, f := range tt.events {
				e := ev(i, f)
				began, _ := c.Observe(e, rs.Match(e))
				for _, m := range began {
					counts = append(counts, m.Count)
				}
				data, err := c.Snapshot()
				require.NoError(t, err)
				require.NoError(t, c.Restore(data))
			}
			require.Equal(t, tt.want, counts)
		})
	}
}

// generate is accepted in the correlation, as in the schema, and in the document,
// as pySigma reads it.
func TestGenerateKeepsTheRulesAlerting(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"correlation": correlated(countOfA + "\ngenerate: true"),
		"document":    strings.Replace(correlated(countOfA), "level: high", "level: high\ngenerate: true", 1),
	} {
		require.False(t, compile(t, text, sigma.Options{}).Match(step{0, "a"}.event())[0].Silent, name)
	}
}

func TestCorrelationProblemsAreReported(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, old, new, want string }{
		{"type", "event_count", "events", `type "events" is none of`},
		{"no type", "type: event_count", "generate: false", "type is missing"},
		{"no rules", "rules: [a]", "generate: false", "rules is missing"},
		{"empty rules", "[a]", "[]", "rules is empty"},
		{"rules of numbers", "[a]", "[5]", "must be a string"},
		{"unknown rule", "[a]", "[unknown]", `there is no rule with the id or name "unknown"`},
		{"itself", "[a]", "[x1]", "refers to itself"},
		{"no timespan", "timespan: 10s", "generate: false", "timespan is missing"},
		{"timespan", "10s", "10w", "timespan must be a number and s, m, h or d"},
		{"timespan zero", "10s", "0s", "out of range"},
		{"timespan huge", "10s", "99999d", "out of range"},
		{"mistyped key", "timespan:", "time-span:", `no key "time-span"`},
		{"no condition", "condition: {gte: 3}", "generate: true", "condition is missing"},
		{"text condition", "{gte: 3}", "a and b", "must be a map"},
		{"two lower bounds", "{gte: 3}", "{gte: 3, gt: 2}", "one bound, or a lower one"},
		{"unknown bound", "{gte: 3}", "{ge: 3}", `no key "ge"`},
		{"float", "{gte: 3}", "{gte: 3.5}", "whole number"},
		{"negative", "{gte: 3}", "{gte: -3}", "whole number"},
		{"text bound", "{gte: 3}", "{gte: '3'}", "must be a number"},
		{"never", "{gte: 3}", "{lt: 1}", "can never be true"},
		{"empty range", "{gte: 3}", "{gt: 3, lt: 4}", "can never be true"},
		{"three bounds", "{gte: 3}", "{gte: 3, lte: 9, neq: 5}", "may have one bound"},
		{"no bound", "{gte: 3}", "{}", "condition has no bound"},
		{"field of a map", "{gte: 3}", "{gte: 3, field: {a: b}}", "field must be a list of strings"},
		{"aliases of a list", "[ip]", "[ip]\n  aliases: [x]", "aliases must be a map"},
		{"alias of a string", "[ip]", "[ip]\n  aliases: {x: y}", "an alias must be a map"},
		{"timespan of a list", "10s", "[10s]", "timespan must be a number and s, m, h or d"},
		{"timespan without unit", "10s", "10", "timespan must be a number and s, m, h or d"},
		{"section of a list", "correlation:\n", "correlation: [x]\nfoo:\n", "correlation must be a map"},
		{"with detection", "level: high\n", "detection: {s: {a: b}, condition: s}\n", "detection and correlation cannot be in one document"},
		{"group-by twice", "[ip]", "[ip, ip]", `group-by holds "ip" twice`},
		{"field", "{gte: 3}", "{gte: 3, field: x}", "takes no field"},
		{"value_count without field", "event_count", "value_count", "needs field"},
		{"too many", "{gte: 3}", "{gte: 10001}", "needs more events than a group may hold (10000)"},
		{"aliases", "[ip]", "[ip]\n  aliases: {who: {zzz: ip}}", `alias for "zzz"`},
		{"generate", "[ip]", "[ip]\n  generate: 5", "generate must be true or false"},
	} {
		text := strings.Replace(correlated(countOfA), tt.old, tt.new, 1)
		docs, err := sigma.Parse("f.yml", []byte(text))
		if err == nil {
			_, err = sigma.Compile(docs, sigma.Options{})
		}
		require.ErrorContains(t, err, tt.want, tt.name)
		require.Regexp(t, `f\.yml:\d+:\d+: `, err.Error(), tt.name)
	}
	for _, kind := range []string{"value_sum", "value_avg", "value_percentile"} {
		text := strings.Replace(correlated(strings.Replace(countOfA, "gte: 3", "gte: 3.5, field: x", 1)), "event_count", kind, 1)
		docs, err := sigma.Parse("f.yml", []byte(text))
		require.NoError(t, err)
		_, err = sigma.Compile(docs, sigma.Options{})
		require.ErrorContains(t, err, "f.yml:21:9: correlations of type "+kind+" are not evaluated", kind)
	}
}

// The rank of a match is the highest whose events satisfy the condition by themselves, also through inner correlations and
// over a restart. What is weaker hides nothing: the group fires again when stronger events satisfy it.
func TestRankOfAMatch(t *testing.T) {
	t.Parallel()
	const values = "type: value_count\nrules: [a]\ngroup-by: [ip]\ntimespan: 10s\ncondition: {field: user, gte: 3}"
	const together, ordered = "type: temporal\nrules: [a, b]\ngroup-by: [ip]\ntimespan: 10s", "type: temporal_ordered\nrules: [a, b]\ngroup-by: [ip]\ntimespan: 10s"
	outer := "type: temporal\nrules: [x1, b]\ngroup-by: [ip]\ntimespan: 1m\ngenerate: true"
	for _, tt := range []struct {
		name     string
		sections []string
		line     string
		ranks    []uint8
		want     string // the matches: title@second=rank
	}{
		{"all the same", []string{countOfA, outer}, "0:a/1 1:a/1 2:a/1 3:b/1", []uint8{3, 3, 3, 3}, "X1@2=3 X2@3=3"},
		{"a weak event is needed", []string{countOfA, outer}, "0:a/1 1:a/1 2:a/1 3:b/1", []uint8{3, 1, 4, 4}, "X1@2=1 X2@3=1"},
		{"outside of the window", []string{countOfA, outer}, "0:a/1 20:a/1 21:a/1 22:a/1 23:b/1", []uint8{0, 2, 3, 2, 4}, "X1@22=2 X2@23=2"},
		{"only the outer is weak", []string{countOfA, outer}, "0:a/1 1:a/1 2:a/1 3:b/1", []uint8{3, 3, 3, 1}, "X1@2=3 X2@3=1"},
		{"a weak event too many", []string{strings.Replace(countOfA, "gte: 3", "eq: 4", 1)}, "0:a/1 1:a/1 2:a/1 3:a/1", []uint8{3, 3, 3, 0}, "X1@3=0"},
		{"weak ones came first", []string{countOfA}, "0:a/1 1:a/1 2:a/1 3:a/1 4:a/1 5:a/1 6:a/1", []uint8{0, 0, 0, 3, 3, 3, 3}, "X1@2=0 X1@5=3"},
		{"weak ones between", []string{countOfA}, "0:a/1 1:a/1 2:a/1 3:a/1 4:a/1 5:a/1 6:a/1", []uint8{0, 3, 0, 3, 0, 4, 0}, "X1@2=0 X1@5=3"},
		{"the strong ones are too far apart", []string{countOfA}, "0:a/1 1:a/1 2:a/1 8:a/1 9:a/1 12:a/1 13:a/1", []uint8{3, 0, 0, 3, 0, 3, 3}, "X1@2=0 X1@13=3"},
		{"a late one", []string{countOfA}, "0:a/1 2:a/1 6:a/1 7:a/1 8:a/1 1:a/1", []uint8{0, 0, 0, 3, 3, 3}, "X1@6=0 X1@1=3"},
		{"every rank in turn", []string{strings.Replace(countOfA, "gte: 3", "gte: 1", 1)}, "0:a/1 1:a/1 2:a/1 3:a/1", []uint8{0, 2, 1, 3}, "X1@0=0 X1@1=2 X1@3=3"},
		{"fewer than", []string{strings.Replace(countOfA, "gte: 3", "lt: 3", 1)}, "0:a/1 1:a/1", []uint8{0, 3}, "X1@0=0 X1@1=3"},
		{"strong ones come back", []string{countOfA}, "0:a/1 1:a/1 2:a/1 5:a/1 8:a/1 11:a/1 14:a/1 17:a/1 20:a/1 21:a/1 22:a/1 23:a/1", []uint8{3, 3, 3, 0, 0, 0, 0, 0, 3, 3, 3, 3}, "X1@2=3 X1@22=3"},
		{"strong ones remain", []string{countOfA}, "0:a/1 1:a/1 2:a/1 5:a/1 8:a/1 9:a/1 11:a/1 12:a/1 13:a/1", []uint8{3, 3, 3, 0, 3, 3, 3, 3, 3}, "X1@2=3"},
		{"less strong ones come", []string{countOfA}, "0:a/1 1:a/1 2:a/1 5:a/1 8:a/1 11:a/1 14:a/1 15:a/1 16:a/1 17:a/1 18:a/1 19:a/1", []uint8{3, 3, 3, 1, 1, 1, 2, 2, 2, 3, 3, 3}, "X1@2=3 X1@16=2 X1@19=3"},
		{"distinct values come back", []string{values}, "0:a/1/x 1:a/1/y 2:a/1/z 5:a/1/x 8:a/1/y 11:a/1/z 14:a/1/x 17:a/1/y 20:a/1/x 21:a/1/y 22:a/1/z", []uint8{3, 3, 3, 0, 0, 0, 0, 0, 3, 3, 3}, "X1@2=3 X1@22=3"},
		{"both come back", []string{together}, "0:a/1 1:b/1 8:a/1 12:b/1 17:a/1 20:a/1 21:b/1", []uint8{3, 3, 0, 0, 0, 3, 3}, "X1@1=3 X1@21=3"},
		{"distinct values", []string{values}, "0:a/1/x 1:a/1/y 2:a/1/z 3:a/1/x 4:a/1/x 5:a/1/y 6:a/1/z", []uint8{0, 0, 0, 3, 3, 3, 3}, "X1@2=0 X1@6=3"},
		{"distinct values slide out", []string{values}, "0:a/1/x 1:a/1/y 2:a/1/z 3:a/1/x 9:a/1/y 14:a/1/u 15:a/1/v", []uint8{0, 0, 0, 3, 0, 3, 3}, "X1@2=0 X1@15=0"},
		{"temporal", []string{together}, "0:a/1 1:b/1 2:b/1 3:a/1 4:b/1", []uint8{0, 0, 3, 0, 0}, "X1@1=0"},
		{"temporal, stronger", []string{together}, "0:a/1 1:b/1 2:b/1 3:a/1 4:b/1", []uint8{0, 0, 3, 3, 3}, "X1@1=0 X1@3=3"},
		{"in order", []string{ordered}, "0:a/1 1:b/1 2:b/1 3:a/1 4:b/1", []uint8{0, 0, 3, 3, 3}, "X1@1=0 X1@4=3"},
	} {
		rs := compile(t, correlated(tt.sections...), sigma.Options{})
		c := rs.NewCorrelator()
		var got []string
		for i, s := range steps(tt.line) {
			ev := s.event()
			ev.Rank = tt.ranks[i]
			began, _ := c.Observe(ev, rs.Match(ev))
			for _, m := range began {
				got = append(got, fmt.Sprintf("%s@%d=%d", m.Correlation.Title, s.at, m.Rank))
			}
			c = restored(t, rs, c)
		}
		require.Equal(t, tt.want, strings.Join(got, " "), tt.name)
	}
}

// A snapshot of a version that fired once for all ranks does not fire again for the same events.
func TestSnapshotWithoutTheRankThatFired(t *testing.T) {
	t.Parallel()
	rs := compile(t, correlated(countOfA), sigma.Options{})
	c := rs.NewCorrelator()
	observe := func(at int, rank uint8) int {
		ev := step{at, "a/1"}.event()
		ev.Rank = rank
		began, _ := c.Observe(ev, rs.Match(ev))
		return len(began)
	}
	require.Equal(t, 1, observe(0, 3)+observe(1, 3)+observe(2, 3))
	data, err := c.Snapshot()
	require.NoError(t, err)
	require.Contains(t, string(data), `,"fired_rank":3`)
	require.NoError(t, c.Restore([]byte(strings.Replace(string(data), `,"fired_rank":3`, "", 1))))
	require.Zero(t, observe(3, 3))
	require.Error(t, c.Restore([]byte(strings.Replace(string(data), `,"fired_rank":3`, `,"fired_rank":256`, 1))))
}

// Each event with which a correlation stays true is reported, as no stronger than it is itself.
func TestEventsOfAnOngoingCorrelationAreReported(t *testing.T) {
	t.Parallel()
	rs := compile(t, correlated(countOfA), sigma.Options{})
	c := rs.NewCorrelator()
	var got []string
	for _, s := range []struct {
		at   int
		rank uint8
	}{{0, 3}, {1, 3}, {2, 3}, {3, 1}, {4, 3}, {500, 3}, {501, 3}} {
		ev := step{s.at, "a/1"}.event()
		ev.Rank = s.rank
		began, ongoing := c.Observe(ev, rs.Match(ev))
		for _, m := range began {
			got = append(got, fmt.Sprintf("began@%d=%d", s.at, m.Rank))
		}
		for _, m := range ongoing {
			require.Len(t, m.Samples, 1)
			require.Equal(t, fmt.Sprint(s.at), m.Samples[0].Ref)
			got = append(got, fmt.Sprintf("ongoing@%d=%d", s.at, m.Rank))
		}
	}
	require.Equal(t, []string{"began@2=3", "ongoing@3=1", "ongoing@4=3"}, got)
}

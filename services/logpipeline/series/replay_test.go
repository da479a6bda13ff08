package series_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/services/logpipeline/series"
)

// saved returns the series of a table as a checkpoint has them.
func saved(t *testing.T, table *series.Table) (out []series.Series) {
	t.Helper()
	raw, err := json.Marshal(table.All())
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(raw, &out))
	return out
}

// After a crash the table is that of the checkpoint, the stream holds what was published since, and records come again.
func TestReplayMakesSameRevisions(t *testing.T) {
	t.Parallel()
	table := series.New(time.Minute, 0)
	first := one(t, table, detection("t", "k", 0), 0)
	checkpoint := saved(t, table)
	second := one(t, table, detection("t", "k", 10), 10)

	after := series.New(time.Minute, 0)
	after.Restore(checkpoint, at(20))
	again := one(t, after, detection("t", "k", 10), 20)
	require.Equal(t, second.ID, again.ID, "the publisher leaves it out")

	empty := series.New(time.Minute, 0) // the checkpoint is older than the series
	empty.Seen(first, at(20))
	empty.Seen(second, at(20))
	require.Nil(t, one(t, empty, detection("t", "k", 0), 20))
	require.Nil(t, one(t, empty, detection("t", "k", 10), 20))
	require.Equal(t, 2, one(t, empty, detection("t", "k", 60), 60).Revision)
}

// A series whose matches all came again after a crash ends as any other.
func TestSeriesEndsAfterReplay(t *testing.T) {
	t.Parallel()
	table := series.New(time.Minute, 0)
	checkpoint := saved(t, table)
	first := table.Add(line("a", "k", 0), at(0))[0]
	var revised *event.Alert
	for n := 1; n <= 10; n++ {
		for _, a := range table.Add(line(fmt.Sprint("b", n), "k", n), at(n)) {
			revised = a
		}
	}
	require.Equal(t, []string{"a+1 ongoing 11"}, told(revised))
	after := series.New(time.Minute, 0)
	after.Restore(checkpoint, at(20))
	after.Seen(first, at(20))
	after.Seen(revised, at(20))
	require.Empty(t, after.Expire(at(300)), "its matches come again")
	require.Empty(t, after.Add(line("a", "k", 0), at(21)))
	for n := 1; n <= 10; n++ {
		require.Empty(t, after.Add(line(fmt.Sprint("b", n), "k", n), at(21)))
	}
	require.Equal(t, at(30+60), after.Next())
	require.Equal(t, []string{"a+2 over 11"}, told(after.Expire(at(90))...))
}

// Records of an attack whose end was published before a crash come again.
func TestReplayAfterTheEndPublishesNothing(t *testing.T) {
	t.Parallel()
	table := series.New(time.Minute, 0)
	published := []*event.Alert{one(t, table, detection("t", "k", 0), 0), one(t, table, detection("t", "k", 10), 10)}
	require.Nil(t, one(t, table, detection("t", "k", 20), 20))
	published = append(published, one(t, table, end("t", 30), 30))

	after := series.New(time.Minute, 0)
	for _, a := range published {
		after.Seen(a, at(40))
	}
	for _, s := range []int{0, 10, 20} {
		require.Nil(t, one(t, after, detection("t", "k", s), 40))
	}
	require.Nil(t, one(t, after, end("t", 30), 40))
}

// world plays lines of several keys and trusts, whose process is killed at any moment: after any line, before or after its alerts are
// stored, with checkpoints anywhere and lines read again in another order.
type world struct {
	t      *testing.T
	random *rand.Rand
	lines  []series.Match
	stream []*event.Alert
	ids    map[string]bool

	table      *series.Table
	wall       time.Time
	next       int // the line to read
	checkpoint []series.Series
	savedNext  int
	savedSeq   int
}

// step reads a line, and publishes its alerts unless the process is killed before.
func (w *world) step(killed bool) {
	m := w.lines[w.next]
	alert := *m.Alert
	m.Alert = &alert
	w.next++
	if m.Alert.LastSeen.After(w.wall) {
		w.wall = m.Alert.LastSeen
	}
	out := append(w.table.Expire(w.wall), w.table.Add(m, w.wall)...)
	for _, a := range out {
		if killed && w.random.IntN(2) == 0 {
			return
		}
		if !w.ids[a.ID] { // the publisher leaves out what is stored
			w.ids[a.ID] = true
			w.stream = append(w.stream, a)
		}
	}
}

func (w *world) save() {
	w.checkpoint, w.savedNext, w.savedSeq = saved(w.t, w.table), w.next, len(w.stream)
}

// restart continues after a kill. Lines since the checkpoint come again, now and then in another order.
func (w *world) restart() {
	w.table = series.New(time.Minute, 0)
	w.table.Restore(w.checkpoint, w.wall)
	for _, a := range w.stream[w.savedSeq:] {
		w.table.Seen(a, w.wall)
	}
	w.next = w.savedNext
}

func TestKillsAtAnyMomentKeepSeriesAndCounts(t *testing.T) {
	t.Parallel()
	for seed := range uint64(50) {
		w := &world{t: t, random: rand.New(rand.NewPCG(seed, 1)), ids: map[string]bool{}, wall: start, table: series.New(time.Minute, 0)}
		second := 0
		for n := range 400 {
			second += w.random.IntN(3)
			if w.random.IntN(60) == 0 {
				second += 70 // the series end
			}
			trust := event.TrustOfRank(w.random.IntN(5) / 4 * 3) // now and then host
			request := asks(fmt.Sprintf("/%d/x.php", w.random.IntN(3)), 200+w.random.IntN(2)*204)
			w.lines = append(w.lines, line(fmt.Sprint("l", n), fmt.Sprint("k", w.random.IntN(3)), second, trusted(trust), request))
		}
		wantStream := uncrashed(t, w.lines)
		want := counts(t, wantStream)

		w.save()
		for kills := 0; w.next < len(w.lines); {
			switch {
			case kills < 10 && w.random.IntN(20) == 0:
				w.step(true)
				w.restart()
				kills++
			case w.random.IntN(30) == 0:
				w.save()
			default:
				w.step(false)
			}
		}
		w.stream = append(w.stream, w.table.Expire(w.wall.Add(time.Hour))...)
		require.Equal(t, want, counts(t, w.stream), "seed %d", seed)
		require.Equal(t, escalations(wantStream), escalations(w.stream), "seed %d", seed)
	}
}

// uncrashed returns the alerts of lines without a crash.
func uncrashed(t *testing.T, lines []series.Match) []*event.Alert {
	t.Helper()
	w := &world{t: t, random: rand.New(rand.NewPCG(0, 0)), ids: map[string]bool{}, table: series.New(time.Minute, 0), lines: lines}
	for w.next < len(lines) {
		w.step(false)
	}
	return append(w.stream, w.table.Expire(w.wall.Add(time.Hour))...)
}

// escalations returns which request escalated each series, in order.
func escalations(stream []*event.Alert) map[string][]string {
	out := map[string][]string{}
	for _, a := range stream {
		if a.Escalated {
			out[a.Series] = append(out[a.Series], fmt.Sprint(a.Revision, " ", *a.Request))
		}
	}
	return out
}

// counts returns the last count of each series, and checks that each revision is there once.
func counts(t *testing.T, stream []*event.Alert) map[string]int {
	t.Helper()
	out, revisions := map[string]int{}, map[string]bool{}
	for _, a := range stream {
		require.False(t, revisions[fmt.Sprint(a.Series, a.Revision)], "revision %d of %s twice", a.Revision, a.Series)
		revisions[fmt.Sprint(a.Series, a.Revision)] = true
		require.GreaterOrEqual(t, a.Count, out[a.Series], "%v", told(a))
		out[a.Series] = a.Count
	}
	return out
}

// Lines of two files come again in another order than before the crash.
func TestReplayInAnotherOrderOpensNoSecondSeries(t *testing.T) {
	t.Parallel()
	before := series.New(time.Minute, 0)
	before.Add(line("a", "k", 0), at(0))
	checkpoint := saved(t, before)
	require.Empty(t, before.Add(line("b", "k", 5), at(5)))
	sent := before.Add(line("c", "k", 70), at(70))
	require.Equal(t, []string{"a+1 over 2", "c"}, told(sent...))
	require.Empty(t, before.Add(line("d", "k", 75), at(75)))

	seconds := map[string]int{"b": 5, "c": 70, "d": 75}
	for _, order := range [][]string{{"b", "c", "d"}, {"d", "c", "b"}, {"c", "d", "b"}} {
		after := series.New(time.Minute, 0)
		after.Restore(checkpoint, at(80))
		for _, a := range sent {
			after.Seen(a, at(80))
		}
		for _, id := range order {
			require.Empty(t, after.Add(line(id, "k", seconds[id]), at(80)), "%v", order)
		}
		require.Equal(t, []string{"c+1 over 2"}, told(after.Expire(at(80+130))...), "%v", order)
	}
}

// A deduplication window of an earlier version goes on as a series, as do alerts that this version published after its checkpoint.
func TestWindowsOfEarlierVersionsBecomeSeries(t *testing.T) {
	t.Parallel()
	var windows []series.Window
	require.NoError(t, json.Unmarshal([]byte(`[{"first":{"id":"a","trace_id":"t","first_seen":"2026-11-30T09:00:00Z",
		"last_seen":"2026-11-30T09:00:00Z","count":1,"dedup_key":"k","trust":"unproven","severity":"medium"},
		"end":"2026-11-30T09:01:00Z","last":"2026-11-30T09:00:05Z","count":7}]`), &windows))
	table := series.New(time.Minute, 0)
	table.Restore(series.FromWindows(windows, time.Minute), at(6))
	require.Empty(t, table.Add(line("b", "k", 7), at(7)))
	require.Equal(t, []string{"a+1 over 8"}, told(table.Expire(at(90))...))

	table.Restore(series.FromWindows(windows, time.Minute), at(6))
	update := *line("u", "k", 5).Alert
	update.Update, update.Count = true, 9
	table.Seen(&update, at(80))
	table.Seen(line("c", "k", 70).Alert, at(80))
	for n := range 2 { // those that the update counted
		require.Empty(t, table.Add(line(fmt.Sprint("again", n), "k", 5), at(80)))
	}
	require.Empty(t, table.Add(line("c", "k", 70), at(80)))
	require.Empty(t, table.Add(line("d", "k", 71), at(80)))
	require.Equal(t, []string{"c+1 over 2"}, told(table.Expire(at(80+130))...))
}

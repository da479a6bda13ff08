package series_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/services/logpipeline/series"
)

var start = time.Date(2026, 11, 30, 9, 0, 0, 0, time.UTC)

func at(seconds int) time.Time { return start.Add(time.Duration(seconds) * time.Second) }

// detection is the alert of a record that came seconds after the start.
func detection(trace, key string, seconds int) *event.Alert {
	n := uint64(1 + seconds)
	return &event.Alert{
		ID: fmt.Sprintf("%s-%d", trace, seconds), TraceID: trace, DedupKey: key, Count: 1, FirstSeen: start, LastSeen: at(seconds),
		Peak: n, Totals: map[string]uint64{"packets": 100 * n}, Ports: []uint16{uint16(n)}, Evidence: []string{fmt.Sprint(seconds)},
	}
}

func end(trace string, seconds int) *event.Alert {
	a := detection(trace, "", seconds)
	a.ID = ""
	return a
}

// Revisions follow after 10 s, 1, 5 and 15 min, and then hourly, with the counts so far.
func TestRevisionsComeAtGrowingIntervals(t *testing.T) {
	t.Parallel()
	table := series.New(time.Minute)
	var published []*event.Alert
	for s := 0; s <= 3*3600; s += 5 {
		if a := table.Add(detection("t", "k", s), at(s)); a != nil {
			published = append(published, a)
		}
	}
	var times []int
	for n, a := range published {
		times = append(times, int(a.LastSeen.Sub(start).Seconds()))
		require.Equal(t, "t-0", a.Series)
		require.Equal(t, n, a.Revision)
		require.Equal(t, n > 0, a.Update)
		require.EqualValues(t, 1+times[n], a.Peak)
		require.EqualValues(t, 100*(1+times[n]), a.Totals["packets"])
		require.Equal(t, []string{fmt.Sprint(times[n])}, a.Evidence)
		require.Equal(t, start, a.FirstSeen)
	}
	require.Equal(t, []int{0, 10, 60, 300, 900, 3600, 7200, 10_800}, times)
	require.Equal(t, event.Open, published[0].State)
	require.Equal(t, event.Ongoing, published[1].State)

	last := table.End(end("t", 10_805), at(10_805))
	require.Len(t, last, 1)
	require.Equal(t, event.Over, last[0].State)
	require.Equal(t, len(published), last[0].Revision)
	require.EqualValues(t, 10_806, last[0].Peak)
	require.Empty(t, table.End(end("t", 10_806), at(10_806)))
}

// Two detections of one attack are one series, which is over when both are; soon after it goes on, later it is another.
func TestDetectionsOfOneAttackAreOneSeries(t *testing.T) {
	t.Parallel()
	table := series.New(time.Minute)
	require.NotNil(t, table.Add(detection("a", "k", 0), at(0)))
	require.Nil(t, table.Add(detection("b", "k", 1), at(1)))
	require.NotNil(t, table.Add(detection("x", "other", 1), at(1)))
	require.Empty(t, table.End(end("a", 5), at(5)))
	over := table.End(end("b", 6), at(6))
	require.Len(t, over, 1)
	require.Equal(t, "a-0", over[0].Series)

	again := detection("c", "k", 30)
	again.FirstSeen = at(28)
	continued := table.Add(again, at(30))
	require.Equal(t, "a-0", continued.Series)
	require.Equal(t, event.Ongoing, continued.State)
	require.Equal(t, []uint16{1, 2, 6, 7, 31}, continued.Ports)
	require.Len(t, table.End(end("c", 40), at(40)), 1)

	later := detection("d", "k", 200)
	later.FirstSeen = at(190)
	require.Equal(t, event.Open, table.Add(later, at(200)).State)
}

// After a crash the table is that of the checkpoint, the stream holds what was published since, and records come again.
func TestReplayMakesSameRevisions(t *testing.T) {
	t.Parallel()
	table := series.New(time.Minute)
	first := table.Add(detection("t", "k", 0), at(0))
	raw, err := json.Marshal(table.All())
	require.NoError(t, err)
	second := table.Add(detection("t", "k", 10), at(10))

	var saved []series.Series
	require.NoError(t, json.Unmarshal(raw, &saved))
	after := series.New(time.Minute)
	after.Restore(saved)
	again := after.Add(detection("t", "k", 10), at(20))
	require.Equal(t, second.ID, again.ID, "the publisher leaves it out")

	empty := series.New(time.Minute) // the checkpoint is older than the series
	empty.Seen(first, at(20))
	empty.Seen(second, at(20))
	require.Nil(t, empty.Add(detection("t", "k", 0), at(20)))
	require.Nil(t, empty.Add(detection("t", "k", 10), at(20)))
	require.Equal(t, 2, empty.Add(detection("t", "k", 60), at(60)).Revision)
}

// Records of an attack whose end was published before a crash come again.
func TestReplayAfterTheEndPublishesNothing(t *testing.T) {
	t.Parallel()
	table := series.New(time.Minute)
	published := []*event.Alert{table.Add(detection("t", "k", 0), at(0)), table.Add(detection("t", "k", 10), at(10))}
	require.Nil(t, table.Add(detection("t", "k", 20), at(20)))
	published = append(published, table.End(end("t", 30), at(30))...)
	require.Len(t, published, 3)

	after := series.New(time.Minute)
	for _, a := range published {
		after.Seen(a, at(40))
	}
	for _, s := range []int{0, 10, 20} {
		require.Nil(t, after.Add(detection("t", "k", s), at(40)))
	}
	require.Empty(t, after.End(end("t", 30), at(40)))
}

// However long the deduplication window, an attack after a block of ten minutes is a series of its own.
func TestAttackAfterBlockIsAnotherSeries(t *testing.T) {
	t.Parallel()
	table := series.New(24 * time.Hour)
	table.Add(detection("t", "k", 0), at(0))
	require.Len(t, table.End(end("t", 5), at(5)), 1)
	again := detection("u", "k", 600)
	again.FirstSeen = at(600)
	require.Zero(t, table.Add(again, at(600)).Revision)
}

func TestSilentSeriesEnds(t *testing.T) {
	t.Parallel()
	table := series.New(time.Minute)
	table.Add(detection("t", "k", 0), at(0))
	require.Empty(t, table.Expire(at(34*60)))
	out := table.Expire(at(36 * 60))
	require.Len(t, out, 1)
	require.Equal(t, event.Over, out[0].State)
	require.Zero(t, table.Stats().Open)
}

func TestSeriesAreBounded(t *testing.T) {
	t.Parallel()
	table := series.New(time.Minute)
	for i := range 10_100 {
		table.Add(detection(fmt.Sprint(i), fmt.Sprint("k", i), 0), start.Add(time.Duration(i)))
	}
	require.Equal(t, 10_000, table.Stats().Open)
	require.EqualValues(t, 100, table.Stats().Evicted)
}

package series_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/services/logpipeline/series"
)

// detection is the match of a record that came seconds after the start.
func detection(trace, key string, seconds int) series.Match {
	n := uint64(1 + seconds)
	return series.Match{Detection: true, Alert: &event.Alert{
		ID: fmt.Sprintf("%s-%d", trace, seconds), TraceID: trace, DedupKey: key, Count: 1, FirstSeen: start, LastSeen: at(seconds),
		Peak: n, Totals: map[string]uint64{"packets": 100 * n}, Ports: []uint16{uint16(n)}, Evidence: []string{fmt.Sprint(seconds)},
		Trust: event.TrustKernel,
	}}
}

func end(trace string, seconds int) series.Match {
	m := detection(trace, "", seconds)
	m.Alert.ID, m.Alert.Trust = "", ""
	return series.Match{Alert: m.Alert, Ended: true}
}

// one returns the only alert that adding m gives, nil if there is none.
func one(t *testing.T, table *series.Table, m series.Match, seconds int) *event.Alert {
	t.Helper()
	out := table.Add(m, at(seconds))
	require.LessOrEqual(t, len(out), 1)
	if len(out) == 0 {
		return nil
	}
	return out[0]
}

// Revisions follow after 10 s, 1, 5 and 15 min, and then hourly, with the counts so far.
func TestRevisionsComeAtGrowingIntervals(t *testing.T) {
	t.Parallel()
	table := series.New(time.Minute, 0)
	var published []*event.Alert
	for s := 0; s <= 3*3600; s += 5 {
		if a := one(t, table, detection("t", "k", s), s); a != nil {
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

	last := one(t, table, end("t", 10_805), 10_805)
	require.Equal(t, event.Over, last.State)
	require.Equal(t, len(published), last.Revision)
	require.EqualValues(t, 10_806, last.Peak)
	require.Nil(t, one(t, table, end("t", 10_806), 10_806))
}

// Two detections of one attack are one series, which is over when both are; soon after it goes on, later it is another.
func TestDetectionsOfOneAttackAreOneSeries(t *testing.T) {
	t.Parallel()
	table := series.New(time.Minute, 0)
	require.NotNil(t, one(t, table, detection("a", "k", 0), 0))
	require.Nil(t, one(t, table, detection("b", "k", 1), 1))
	require.NotNil(t, one(t, table, detection("x", "other", 1), 1))
	require.Nil(t, one(t, table, end("a", 5), 5))
	require.Equal(t, "a-0", one(t, table, end("b", 6), 6).Series)

	again := detection("c", "k", 30)
	again.Alert.FirstSeen = at(28)
	continued := one(t, table, again, 30)
	require.Equal(t, "a-0", continued.Series)
	require.Equal(t, event.Ongoing, continued.State)
	require.Equal(t, []uint16{1, 2, 6, 7, 31}, continued.Ports)
	require.NotNil(t, one(t, table, end("c", 40), 40))

	later := detection("d", "k", 200)
	later.Alert.FirstSeen = at(190)
	require.Equal(t, event.Open, one(t, table, later, 200).State)
}

// However long the deduplication window, an attack after a block of ten minutes is a series of its own.
func TestAttackAfterBlockIsAnotherSeries(t *testing.T) {
	t.Parallel()
	table := series.New(24*time.Hour, 0)
	table.Add(detection("t", "k", 0), at(0))
	require.NotNil(t, one(t, table, end("t", 5), 5))
	again := detection("u", "k", 600)
	again.Alert.FirstSeen = at(600)
	require.Zero(t, one(t, table, again, 600).Revision)
}

func TestSilentSeriesEnds(t *testing.T) {
	t.Parallel()
	table := series.New(time.Minute, 0)
	table.Add(detection("t", "k", 0), at(0))
	require.Empty(t, table.Expire(at(34*60)))
	out := table.Expire(at(36 * 60))
	require.Len(t, out, 1)
	require.Equal(t, event.Over, out[0].State)
	require.Zero(t, table.Stats().Open)
}

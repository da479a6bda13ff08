package series_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/services/logpipeline/series"
)

var start = time.Date(2026, 11, 30, 9, 0, 0, 0, time.UTC)

func at(seconds int) time.Time { return start.Add(time.Duration(seconds) * time.Second) }

// line is a match of a line written seconds after the start.
func line(id, key string, seconds int, with ...func(*event.Alert)) series.Match {
	a := &event.Alert{
		ID: id, TraceID: "trace-" + id, DedupKey: key, Count: 1, FirstSeen: at(seconds), LastSeen: at(seconds),
		Evidence: []string{"line " + id}, Trust: event.TrustUnproven, Severity: event.Medium,
		Origin: &event.Origin{Transport: event.TransportFile, Source: "/var/log/auth.log"},
	}
	for _, change := range with {
		change(a)
	}
	return series.Match{Alert: a}
}

func trusted(trust event.Trust) func(*event.Alert) {
	return func(a *event.Alert) { a.Trust, a.LogHost = trust, "host of "+a.ID }
}

// told describes alerts: the id of revision 0, else number, state and count.
func told(alerts ...*event.Alert) []string {
	out := []string{}
	for _, a := range alerts {
		text := a.ID
		if a.Revision > 0 {
			text = fmt.Sprintf("%s+%d %s %d", a.Series, a.Revision, a.State, a.Count)
		}
		if a.Escalated {
			text += " escalated"
		}
		out = append(out, text)
	}
	return out
}

// A brute force of 600 attempts in ten minutes is one series with six alerts.
func TestRevisionsOfABruteForce(t *testing.T) {
	t.Parallel()
	table := series.New(time.Minute, 0)
	var got []string
	for s := range 600 {
		m := line(fmt.Sprint("l", s), "k", s, func(a *event.Alert) { a.Members = []string{fmt.Sprint("user:", s%60)} })
		for _, a := range append(table.Expire(at(s)), table.Add(m, at(s))...) {
			require.Equal(t, "l0", a.Series)
			require.Equal(t, a.Revision > 0, a.Update)
			require.Equal(t, at(0), a.FirstSeen)
			got = append(got, fmt.Sprintf("%ds %s", int(a.LastSeen.Sub(start).Seconds()), told(a)[0]))
		}
	}
	require.Empty(t, table.Expire(at(599+59)))
	over := table.Expire(at(599 + 60))
	require.Len(t, over, 1)
	require.Equal(t, []string{
		"0s l0", "10s l0+1 ongoing 11", "60s l0+2 ongoing 61", "300s l0+3 ongoing 301", "599s l0+4 over 600",
	}, append(got, "599s "+told(over...)[0]))
	require.Len(t, over[0].Members, event.MaxMembers)
	require.EqualValues(t, 1, over[0].Peak)
	require.Equal(t, []string{"line l599"}, over[0].Evidence)
	stats := table.Stats()
	require.Zero(t, stats.Open)
	require.EqualValues(t, 600-4, stats.Counted)
	require.EqualValues(t, 4, stats.Revisions)
	require.True(t, table.Next().IsZero())
}

func TestTimeWithoutAMatchEndsASeries(t *testing.T) {
	t.Parallel()
	table := series.New(time.Minute, 0)
	require.Equal(t, []string{"a"}, told(table.Add(line("a", "k", 0), at(0))...))
	require.Empty(t, table.Add(line("b", "k", 5), at(5)))
	require.Empty(t, table.Add(line("older", "k", -3600), at(6)), "a backdated line opens no second series")
	require.Equal(t, []string{"x"}, told(table.Add(line("x", "other", 1), at(6))...))
	require.Equal(t, []string{"a+1 over 3", "c"}, told(table.Add(line("c", "k", 65), at(7))...), "by the times of lines")
	require.Empty(t, table.Expire(at(65)))
	require.Empty(t, table.Expire(at(67)), "series of one match were told at once")
	require.Zero(t, table.Stats().Open)

	long := line("d", "k", 100)
	long.Quiet, long.Began = 10*time.Minute, true
	require.Equal(t, []string{"d"}, told(table.Add(long, at(100))...))
	require.Empty(t, table.Expire(at(100+599)), "the timespan of a correlation is longer")
	again := line("e", "k", 100+590)
	again.Quiet, again.Began = 10*time.Minute, true
	require.Equal(t, []string{"d+1 ongoing 2"}, told(table.Add(again, at(100+590))...))
	again.Alert.ID, again.Alert.LastSeen = "f", at(100+595)
	require.Empty(t, table.Add(again, at(100+595)), "no flood of revisions by a correlation that begins again and again")
}

// A forged weaker line hides no stronger one: not by opening the series, and not by keeping it open.
func TestStrongerLineIsNeverHidden(t *testing.T) {
	t.Parallel()
	table := series.New(time.Minute, 0)
	member := func(a *event.Alert) { a.Members = []string{"user:" + a.ID} }
	require.Equal(t, []string{"forged"}, told(table.Add(line("forged", "k", 0, trusted(event.TrustUnproven), member), at(0))...))
	out := table.Add(line("real", "k", 1, trusted(event.TrustHost), member), at(1))
	require.Equal(t, []string{"forged+1 ongoing 2 escalated"}, told(out...))
	require.Equal(t, []string{"line real"}, out[0].Evidence)
	require.Equal(t, "host of real", out[0].LogHost)
	require.Equal(t, event.TrustHost, out[0].Trust)
	require.Equal(t, []string{"user:real"}, out[0].Members)
	require.Equal(t, at(0), out[0].FirstSeen)

	out = table.Add(line("forged2", "k", 11, trusted(event.TrustUnproven), member), at(11))
	require.Equal(t, []string{"forged+2 ongoing 3"}, told(out...))
	require.Equal(t, []string{"line real"}, out[0].Evidence, "a weaker line is counted, not shown")
	for s := 20; s <= 60; s += 10 {
		table.Add(line(fmt.Sprint("forged", s), "k", s, trusted(event.TrustUnproven)), at(s))
		require.Empty(t, table.Expire(at(s)))
	}
	require.Equal(t, []string{"forged+4 over 8"}, told(table.Expire(at(62))...), "weaker lines do not keep it open")
	require.Equal(t, []string{"forged62"}, told(table.Add(line("forged62", "k", 62, trusted(event.TrustUnproven)), at(62))...))
	require.Equal(t, []string{"forged62+1 ongoing 2 escalated"}, told(table.Add(line("real2", "k", 63, trusted(event.TrustHost)), at(63))...))
}

// asks makes a line a request for path that a server answered.
func asks(path string, status int) func(*event.Alert) {
	return func(a *event.Alert) { a.Request = &event.Request{Method: "GET", Path: path, Status: status} }
}

// The first success in a further directory escalates, eight times at most: what a server answers in one says nothing about another. Each
// revision has the newest request.
func TestRequestsInFurtherDirectoriesEscalate(t *testing.T) {
	t.Parallel()
	table := series.New(time.Minute, 0)
	add := func(id string, seconds int, path string, status int) []*event.Alert {
		return table.Add(line(id, "k", seconds, asks(path, status)), at(seconds))
	}
	require.Equal(t, []string{"a"}, told(add("a", 0, "/noise.php", 200)...))
	require.Empty(t, add("b", 1, "/other.php", 200))
	require.Empty(t, add("c", 2, "/uploads/x.php", 404), "no success")
	out := add("d", 3, "/uploads/x.php", 200)
	require.Equal(t, []string{"a+1 ongoing 4 escalated"}, told(out...))
	require.Equal(t, "/uploads/x.php", out[0].Request.Path)
	require.Empty(t, add("e", 4, "/uploads/y.php", 200))
	require.Empty(t, add("f", 5, "/noise.php", 200))
	out = add("g", 13, "/uploads/z.php", 200)
	require.Equal(t, []string{"a+2 ongoing 7"}, told(out...))
	require.Equal(t, &event.Request{Method: "GET", Path: "/uploads/z.php", Status: 200}, out[0].Request)

	escalated := 0
	for n := range 100 {
		escalated += len(add(fmt.Sprint("n", n), 14, fmt.Sprint("/", n, "/x.php"), 200))
	}
	require.Equal(t, 6, escalated)
	out = add("host", 15, "/real/x.php", 200)
	require.Empty(t, out, "its request is that of the next revision")
	out = table.Add(line("strong", "k", 16, trusted(event.TrustHost), asks("/strong/x.php", 200)), at(16))
	require.Equal(t, "/strong/x.php", out[0].Request.Path)
	require.Empty(t, add("weak", 17, "/weak/x.php", 200))
	require.Equal(t, "/strong/x.php", table.Expire(at(16 + 60))[0].Request.Path, "a weaker line is not shown")
}

// A further source that is no weaker escalates, eight times at most: whoever may choose addresses has many.
func TestFurtherSourcesEscalate(t *testing.T) {
	t.Parallel()
	table := series.New(time.Minute, 0)
	from := func(transport, peer string) func(*event.Alert) {
		return func(a *event.Alert) { a.Origin = &event.Origin{Transport: transport, Peer: peer} }
	}
	table.Add(line("a", "k", 0), at(0))
	escalated := 0
	for n := range 100 {
		for _, a := range table.Add(line(fmt.Sprint("t", n), "k", 1, from(event.TransportSyslogTCP, fmt.Sprintf("192.0.2.%d:99", n))), at(1)) {
			require.True(t, a.Escalated)
			require.NotNil(t, a.Origin)
			escalated++
		}
		require.Empty(t, table.Add(line(fmt.Sprint("again", n), "k", 1), at(1)))
	}
	require.Equal(t, 7, escalated)

	table.Add(line("b", "u", 0), at(0))
	escalated = 0
	for n := range 100 {
		escalated += len(table.Add(line(fmt.Sprint("u", n), "u", 1, from(event.TransportSyslogUDP, fmt.Sprintf("192.0.2.%d:99", n))), at(1)))
	}
	require.Equal(t, 1, escalated, "anyone may choose the address of a datagram")

	table.Add(line("c", "s", 0), at(0))
	severe := table.Add(line("d", "s", 1, func(a *event.Alert) { a.Severity = event.Critical }), at(1))
	require.Equal(t, []string{"c+1 ongoing 2 escalated"}, told(severe...))
	require.Equal(t, event.Critical, severe[0].Severity)
}

// At the limit series of the weakest trust are given up first, of these the ones with one match.
func TestWeakSeriesAreGivenUpFirst(t *testing.T) {
	t.Parallel()
	table := series.New(time.Hour, 3)
	table.Add(line("strong", "strong", 0, trusted(event.TrustHost)), at(0))
	table.Add(line("often", "often", 1), at(1))
	table.Add(line("often2", "often", 2), at(2))
	for n := range 1000 {
		require.Equal(t, []string{fmt.Sprint("n", n)}, told(table.Add(line(fmt.Sprint("n", n), fmt.Sprint("n", n), 3), at(3))...))
	}
	require.Equal(t, 3, table.Stats().Open)
	require.EqualValues(t, 999, table.Stats().Evicted)
	require.Equal(t, at(3), table.Stats().EvictedAt)
	require.Empty(t, table.Add(line("often3", "often", 4), at(4)))
	require.Empty(t, table.Add(line("strong2", "strong", 4, trusted(event.TrustHost)), at(4)))
	table.Add(line("n999b", "n999", 4), at(4))
	require.Equal(t, []string{"often+1 over 3", "new"}, told(table.Add(line("new", "new", 5), at(5))...), "its count is told")
}

func TestSeriesKeepLittleMemory(t *testing.T) {
	t.Parallel()
	table := series.New(time.Minute, 0)
	large := func(a *event.Alert) {
		for range 100 {
			a.Evidence = append(a.Evidence, string(make([]byte, 10_000)))
			a.Members = append(a.Members, fmt.Sprint(len(a.Members), string(make([]byte, 10_000))))
			a.Matched = append(a.Matched, event.Matched{Value: string(make([]byte, 10_000))})
		}
		asks("/"+string(make([]byte, 10_000))+"/"+a.ID, 200)(a)
	}
	for n := range 20 {
		table.Add(line(fmt.Sprint(n), "k", n, large), at(n))
	}
	raw, err := json.Marshal(table.All())
	require.NoError(t, err)
	require.Less(t, len(raw), 30_000)
}

// 10,000 series with the longest hostile texts have at most 64 MB in a checkpoint; the weakest are given up for it.
func TestHostileSeriesAreBounded(t *testing.T) {
	t.Parallel()
	table := series.New(time.Hour, 0)
	hostile := strings.Repeat("\x01", 8000)
	large := func(a *event.Alert) {
		a.User, a.LogHost, a.Evidence = hostile, hostile, []string{hostile, hostile}
		a.Request = &event.Request{Method: hostile, Path: hostile}
		for n := range event.MaxMembers {
			a.Members = append(a.Members, fmt.Sprint(n, hostile))
		}
	}
	table.Add(line("strong", "strong", 0, trusted(event.TrustHost)), at(0))
	for n := range series.DefaultMax {
		table.Add(line(fmt.Sprint(n), fmt.Sprint(n), 1, large), at(1))
	}
	raw, err := json.Marshal(table.All())
	require.NoError(t, err)
	require.Less(t, len(raw), 64_000_000)
	require.Greater(t, table.Stats().Open, 1000)
	require.EqualValues(t, series.DefaultMax+1-table.Stats().Open, table.Stats().Evicted)
	require.Empty(t, table.Add(line("strong2", "strong", 2, trusted(event.TrustHost)), at(2)), "it is still there")
}

func TestMatchThatOnlyJoinsOpensNoSeries(t *testing.T) {
	t.Parallel()
	table := series.New(time.Minute, 0)
	joins := func(id string, seconds int) series.Match {
		m := line(id, "k", seconds)
		m.Joins = true
		return m
	}
	require.Empty(t, table.Add(joins("a", 0), at(0)))
	table.Add(line("b", "k", 1), at(1))
	require.Empty(t, table.Add(joins("c", 2), at(2)))
	require.Empty(t, table.Add(joins("d", 100), at(50)))
	require.Equal(t, []string{"b+1 over 2"}, told(table.Expire(at(62))...))
}

// The times of receipt count where a line names any time: its revisions come, and say when the newest match was received.
func TestReceiptCountsWhereLinesNameAnyTime(t *testing.T) {
	t.Parallel()
	table := series.New(time.Minute, 0)
	var got []string
	for s := 0; s <= 100; s += 5 {
		m := line(fmt.Sprint("l", s), "k", -3600, func(a *event.Alert) { a.Received = at(s) })
		for _, a := range table.Add(m, at(s)) {
			require.Equal(t, at(s), a.Received)
			got = append(got, fmt.Sprintf("%ds %s", s, told(a)[0]))
		}
	}
	require.Equal(t, []string{"0s l0", "10s l0+1 ongoing 3", "60s l0+2 ongoing 13"}, got)
}

// An answer to weak evidence and the sign that an alert about a container is hold for minutes, so such a series is told every five.
func TestSeriesWhoseAnswersHoldForMinutesAreToldMoreOften(t *testing.T) {
	t.Parallel()
	often := []int{0, 10, 60, 300, 900, 1200, 1500, 1800, 2100, 2400, 2700, 3000, 3300, 3600}
	inContainer := func(a *event.Alert) { a.Trust, a.Container = event.TrustContainer, &event.Container{ID: "web"} }
	for name, c := range map[string]struct {
		change func(*event.Alert)
		want   []int
	}{
		"weak":               {trusted(event.TrustUnproven), often},
		"about a container":  {inContainer, often},
		"strong, of no such": {trusted(event.TrustHost), []int{0, 10, 60, 300, 900, 3600}},
	} {
		table := series.New(time.Minute, 0)
		var got []int
		for s := 0; s <= 3600; s += 10 {
			if len(table.Add(line(fmt.Sprint("l", s), "k", s, c.change), at(s))) > 0 {
				got = append(got, s)
			}
		}
		require.Equal(t, c.want, got, name)
	}
}

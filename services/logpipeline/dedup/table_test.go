package dedup_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/services/logpipeline/dedup"
)

var start = time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)

func alert(id, key string, at int) *event.Alert {
	seen := start.Add(time.Duration(at) * time.Second)
	return &event.Alert{ID: id, DedupKey: key, Count: 1, FirstSeen: seen, LastSeen: seen, Evidence: []string{"line " + id}}
}

func ids(alerts []*event.Alert) []string {
	out := []string{}
	for _, a := range alerts {
		id := a.ID
		if a.Update {
			id = fmt.Sprintf("update %d", a.Count)
		}
		out = append(out, id)
	}
	return out
}

func TestFirstAlertIsPublishedAndOthersAreCounted(t *testing.T) {
	t.Parallel()
	table := dedup.New(time.Minute, 0)
	require.Equal(t, []string{"a"}, ids(table.Add(alert("a", "k", 0), start)))
	require.Empty(t, table.Add(alert("b", "k", 59), start))
	require.Empty(t, table.Add(alert("older", "k", -3600), start))
	require.Equal(t, []string{"x"}, ids(table.Add(alert("x", "other", 1), start)))

	out := table.Add(alert("c", "k", 60), start)
	require.Equal(t, []string{"update 3", "c"}, ids(out))
	require.Equal(t, "k", out[0].DedupKey)
	require.NotEqual(t, "a", out[0].ID)
	require.Equal(t, start.Add(59*time.Second), out[0].LastSeen)
	require.Equal(t, start, out[0].FirstSeen)
	require.Equal(t, uint64(2), table.Stats().Suppressed)
}

func TestWallClockClosesWindows(t *testing.T) {
	t.Parallel()
	table := dedup.New(time.Minute, 0)
	table.Add(alert("a", "k", 0), start)
	table.Add(alert("b", "k", 1), start)
	table.Add(alert("c", "single", 1), start)
	require.Equal(t, start.Add(time.Minute), table.Next())
	require.Empty(t, table.Expire(start.Add(time.Minute-1)))
	require.Equal(t, []string{"update 2"}, ids(table.Expire(start.Add(time.Minute))))
	require.Zero(t, table.Stats().Open)
	require.Equal(t, []string{"d"}, ids(table.Add(alert("d", "k", 2), start)))
}

func TestOpenWindowsAreBounded(t *testing.T) {
	t.Parallel()
	table := dedup.New(time.Minute, 3)
	for i := range 10 {
		table.Add(alert(fmt.Sprint(i), fmt.Sprint("k", i), 0), start.Add(time.Duration(i)))
		require.LessOrEqual(t, table.Stats().Open, 3)
	}
	require.Equal(t, uint64(7), table.Stats().Evicted)
	table.Add(alert("again", "k7", 1), start)
	require.Equal(t, []string{"update 2", "new"}, ids(table.Add(alert("new", "new", 1), start)))
}

func TestWindowsCanBeRestoredFromJSON(t *testing.T) {
	t.Parallel()
	table := dedup.New(time.Minute, 0)
	table.Add(alert("a", "k", 0), start)
	table.Add(alert("b", "k", 1), start)
	raw, err := json.Marshal(table.Windows())
	require.NoError(t, err)
	var windows []dedup.Window
	require.NoError(t, json.Unmarshal(raw, &windows))

	later := start.Add(time.Hour)
	again := dedup.New(time.Minute, 0)
	again.Restore(windows, later)
	require.Empty(t, again.Expire(later), "lines of the window may be read again")
	require.Empty(t, again.Add(alert("c", "k", 2), later))
	require.Equal(t, []string{"update 3"}, ids(again.Expire(later.Add(time.Minute))))
}

// After a crash the windows are those of the checkpoint, the stream already holds the alerts published since,
// and the lines are read again in another order.
func TestReplayOpensNoSecondWindow(t *testing.T) {
	t.Parallel()
	before := dedup.New(time.Minute, 0)
	before.Add(alert("a", "k", 0), start)
	saved := before.Windows()
	require.Empty(t, before.Add(alert("b", "k", 50), start))
	sent := before.Add(alert("c", "k", 70), start)
	require.Equal(t, []string{"update 2", "c"}, ids(sent))
	require.Empty(t, before.Add(alert("d", "k", 80), start))

	for _, order := range [][]string{{"b", "c", "d"}, {"d", "c", "b"}, {"c", "d", "b"}} {
		after := dedup.New(time.Minute, 0)
		after.Restore(saved, start)
		for _, a := range sent {
			after.Seen(a, start)
		}
		at := map[string]int{"b": 50, "c": 70, "d": 80}
		for _, id := range order {
			require.Empty(t, after.Add(alert(id, "k", at[id]), start), "%v", order)
		}
		var updates []string
		for _, u := range after.Expire(start.Add(time.Minute)) {
			require.Equal(t, 2, u.Count)
			updates = append(updates, u.ID)
		}
		require.Len(t, updates, 2)
		require.Contains(t, updates, sent[0].ID, "the update of the same window has the same id")
	}
}

func TestUpdateEvidenceIsCutBetweenCharacters(t *testing.T) {
	t.Parallel()
	table := dedup.New(time.Minute, 0)
	first := alert("a", "k", 0)
	first.Evidence[0] = strings.Repeat("한", 400)
	table.Add(first, start)
	table.Add(alert("b", "k", 1), start)
	out := table.Add(alert("c", "k", 60), start)
	require.Equal(t, strings.Repeat("한", 170), out[0].Evidence[0], "as much as fits into 512 bytes")
}

// A line that anyone can write neither hides one that is proven nor ends the window of one.
func TestStrongerTrustEndsAWindow(t *testing.T) {
	t.Parallel()
	trusted := func(id string, at int, trust event.Trust) *event.Alert {
		a := alert(id, "k", at)
		a.Trust = trust
		return a
	}
	table := dedup.New(time.Minute, 0)
	require.Equal(t, []string{"forged"}, ids(table.Add(trusted("forged", 0, event.TrustUnproven), start)))
	require.Empty(t, table.Add(trusted("forged2", 1, event.TrustUnproven), start))
	require.Equal(t, []string{"update 2", "real"}, ids(table.Add(trusted("real", 2, event.TrustHost), start)))
	require.Empty(t, table.Add(trusted("forged3", 3, event.TrustUnproven), start))
	require.Empty(t, table.Add(trusted("real2", 4, event.TrustHost), start))
	require.Equal(t, 1, table.Stats().Open)
}

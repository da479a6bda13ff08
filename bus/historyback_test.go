package bus_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/bus/bustest"
	"github.com/ironpost/ironpost/event"
)

// historyBack returns the ids that HistoryBack passes on.
func historyBack(t *testing.T, b *bustest.Bus, o bus.HistoryOptions) (got []string) {
	t.Helper()
	require.NoError(t, b.Conn(bus.Operator).HistoryBack(within(t, patience), bus.Alerts, o, func(d bus.Delivery) bool {
		got = append(got, d.ID)
		return true
	}))
	return got
}

// HistoryBack passes on what History does, in the opposite order.
func TestHistoryBack(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	require.Empty(t, historyBack(t, b, bus.HistoryOptions{}))
	p := publisher(t, b, bus.Alerts, bus.LogPipeline)
	const n = 1500
	all := alerts(b.Host(), 0, n)
	for i := 700; i < 1000; i++ { // more than a page in bytes
		all[i].(*event.Alert).Description = strings.Repeat("x", 20<<10)
	}
	require.NoError(t, p.Publish(within(t, patience), all[:n/2]...))
	middle := time.Now()
	require.NoError(t, p.Publish(within(t, patience), all[n/2:]...))
	stream, err := admin(t, b).Stream(within(t, patience), string(bus.Alerts))
	require.NoError(t, err)
	for _, seq := range []uint64{1, 400, n - 10} { // as a purge of a full stream does
		require.NoError(t, stream.DeleteMsg(within(t, patience), seq))
	}
	want := ids(t, b, bus.Alerts)
	require.Len(t, want, n-3)
	slices.Reverse(want)

	require.Equal(t, want, historyBack(t, b, bus.HistoryOptions{}))
	require.Equal(t, want, historyBack(t, b, bus.HistoryOptions{Filter: bus.AlertSubject("*", b.Host())}))
	require.Equal(t, want[:10], historyBack(t, b, bus.HistoryOptions{Limit: 10}))
	require.Equal(t, want[:n/2-1], historyBack(t, b, bus.HistoryOptions{Since: middle}))
	require.Equal(t, want[:10], historyBack(t, b, bus.HistoryOptions{After: n - 10}))
	require.Empty(t, historyBack(t, b, bus.HistoryOptions{Filter: bus.AlertSubject("*", "other")}))
	require.Empty(t, historyBack(t, b, bus.HistoryOptions{Since: time.Now().Add(time.Hour)}))
}

// A filter that selects one record in a thousand does not end the search.
func TestHistoryBackOfAFewAmongMany(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	common, rare := publisher(t, b, bus.Alerts, bus.LogPipeline), publisher(t, b, bus.Alerts, bus.SBOMScanner)
	var want []string
	for i := range 3 {
		a := newAlert(b.Host(), "rare-"+string(rune('a'+i)))
		a.Module = bus.SBOMScanner
		require.NoError(t, rare.Publish(within(t, patience), a))
		require.NoError(t, common.Publish(within(t, patience), alerts(b.Host(), 1000*i, 1000)...))
		want = append([]string{a.ID}, want...)
	}
	require.Equal(t, want, historyBack(t, b, bus.HistoryOptions{Filter: bus.AlertSubject(bus.SBOMScanner, "*")}))
}

package storage_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/storage"
	"github.com/ironpost/ironpost/internal/testenv"
)

const patience = 30 * time.Second

func read(t testing.TB, s *storage.Store, table storage.Table, q storage.Query) (records []string) {
	t.Helper()
	require.NoError(t, s.Read(t.Context(), table, q, patience, func(_ time.Time, record []byte) error {
		records = append(records, string(record))
		return nil
	}))
	return records
}

// storeSpread stores 3,000 alerts and as many actions and lines, spread over three days, one of each ten at the time of the one before it.
func storeSpread(t *testing.T, s *storage.Store) {
	t.Helper()
	var alertRows, actionRows, logRows []storage.Row
	for n := range 3000 {
		at := received.AddDate(0, 0, n/1000-2).Add(time.Duration(n-n%10/9) * time.Second)
		m := storage.Message{ReceivedAt: at, Sequence: uint64(n)}
		a, _ := alert(t, n, func(a *event.Alert) {
			a.Host, a.Severity = fmt.Sprintf("host-%d", n%3), event.Severity(n%3)
			a.Rule = event.Rule{ID: fmt.Sprintf("Rule-%d", n%150), Title: fmt.Sprintf("Title %d", n%150)}
			a.Source = &event.Endpoint{IP: netip.AddrFrom4([4]byte{203, 0, byte(n % 2), byte(n)}).String()}
			a.Target = &event.Endpoint{IP: netip.AddrFrom4([4]byte{203, 0, 0, byte(n / 2)}).String()}
			if n < 40 { // only the oldest
				a.Host, a.Severity, a.Rule.ID, a.Source.IP = "gone", event.Critical, "gone", "192.0.2.7"
			}
		})
		var err error
		m.Data, err = event.Encode(a)
		require.NoError(t, err)
		alertRows = append(alertRows, storage.AlertRow(a, m))
		action := &event.Action{
			ID: fmt.Sprint("action-", n), Schema: 1, TraceID: "t", Time: at, Module: "container-guard", Host: a.Host, AlertID: a.ID,
			Policy: fmt.Sprint("p", n%4), Kind: []string{"isolate", "block-source"}[n%2], Target: a.Source.IP, Phase: event.Done,
		}
		if n < 40 {
			action.Phase = event.Failed
		}
		m.Data, err = event.Encode(action)
		require.NoError(t, err)
		actionRows = append(actionRows, storage.ActionRow(action, m))
		line := &event.Log{ID: fmt.Sprintf("line-%04d", n), Schema: 1, TraceID: "t", Time: at, Received: at, Host: a.Host, Source: "syslog", Message: fmt.Sprint("line ", n)}
		if n < 40 {
			line.Source = "file:/gone"
		}
		m.Data, err = event.Encode(line)
		require.NoError(t, err)
		logRows = append(logRows, storage.LogRow(line, m.Data))
	}
	for table, rows := range map[storage.Table][]storage.Row{storage.Alerts: alertRows, storage.Actions: actionRows, storage.Logs: logRows} {
		result, err := s.Write(t.Context(), table, rows)
		require.NoError(t, err)
		require.Equal(t, len(rows), result.Inserted)
	}
}

// With a limit a query returns the last ones of what it returns without, whichever way it finds them.
func TestTheNewestAreTheLastOfAll(t *testing.T) {
	t.Parallel()
	s, _ := prepared(t, testenv.PostgreSQL(t), storage.Config{})
	storeSpread(t, s)
	network := netip.MustParsePrefix
	queries := map[storage.Table][]struct {
		q     storage.Query
		count int
	}{
		storage.Alerts: {
			{storage.Query{}, 3000}, {storage.Query{Host: "gone"}, 40}, {storage.Query{Host: "host-1"}, 987}, {storage.Query{Host: "nowhere"}, 0},
			{storage.Query{Severity: event.Low}, 2014}, {storage.Query{Severity: event.High}, 40}, {storage.Query{Severity: event.Critical}, 40},
			{storage.Query{Rule: "gone"}, 40}, {storage.Query{Rule: "rule-7"}, 19}, {storage.Query{Rule: "title 14"}, 220}, {storage.Query{Rule: "title"}, 3000}, {storage.Query{Rule: "nosuch"}, 0},
			{storage.Query{Source: network("192.0.2.7/32")}, 40}, {storage.Query{Source: network("192.0.2.0/24")}, 40}, {storage.Query{Source: network("203.0.0.0/16")}, 2960}, {storage.Query{Source: network("2001:db8::/32")}, 0},
			{storage.Query{Address: network("203.0.0.8/32")}, -1}, {storage.Query{Address: network("203.0.0.8/30")}, -1}, {storage.Query{Address: network("203.0.0.0/16")}, 3000}, {storage.Query{Address: network("198.51.100.1/32")}, 0},
			{storage.Query{Series: [][2]string{{"alert-10", "alert-10\xff"}, {"x", "y"}}}, 111}, {storage.Query{Series: [][2]string{}}, 0},
			{storage.Query{Host: "gone", Severity: event.Medium}, 40}, {storage.Query{Host: "host-1", Rule: "rule-7"}, -1}, {storage.Query{Host: "host-0", Severity: event.Critical}, 0},
		},
		storage.Actions: {{storage.Query{Phase: "failed"}, 40}, {storage.Query{Phase: "done"}, 2960}, {storage.Query{Kind: "isolate", Policy: "p2"}, 750}, {storage.Query{Policy: "p3"}, 750}, {storage.Query{Kind: "x"}, 0}, {storage.Query{Host: "gone"}, 40},
			{storage.Query{AlertIDs: []string{"alert-5", "alert-9", "none"}}, 2}},
		storage.Logs: {{storage.Query{LogSource: "syslog"}, 2960}, {storage.Query{LogSource: "file:/gone"}, 40}, {storage.Query{Text: "LINE 12"}, 111}, {storage.Query{Text: "line 1", Host: "gone"}, 11}, {storage.Query{Host: "host-2"}, -1}},
	}
	for _, among := range []int{10, 100_000} { // few and all of the rows are recent
		storage.SetRecentRows(s, among)
		for table, selected := range queries {
			for _, query := range selected {
				q, count := query.q, query.count
				all := read(t, s, table, q)
				if count >= 0 {
					require.Len(t, all, count, "%s %+v", table, q)
				} else {
					require.NotEmpty(t, all, "%s %+v", table, q)
				}
				for _, since := range []time.Time{{}, received.AddDate(0, 0, -1).Add(500 * time.Second)} {
					q.Since, q.Limit = since, 0
					all := read(t, s, table, q)
					for _, q.Limit = range []int{7, 5000} {
						require.True(t, slices.Equal(all[max(0, len(all)-q.Limit):], read(t, s, table, q)), "%s %+v", table, q)
					}
				}
			}
		}
	}
}

// What is read ends with the reader, or if PostgreSQL takes too long, also on the server.
func TestReadEnds(t *testing.T) {
	t.Parallel()
	p := testenv.PostgreSQL(t)
	s, database := prepared(t, p, storage.Config{})
	storeSpread(t, s)
	running := func() bool {
		return p.Exec(t, "postgres", "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'ironpost' AND state <> 'idle'") != "0"
	}
	enough := errors.New("enough")
	require.Equal(t, enough, s.Read(t.Context(), storage.Alerts, storage.Query{}, patience, func(time.Time, []byte) error { return enough }))
	require.Eventually(t, func() bool { return !running() }, patience, 10*time.Millisecond)

	lock, err := pgx.Connect(t.Context(), p.URL(database))
	require.NoError(t, err)
	_, err = lock.Exec(t.Context(), "BEGIN; LOCK ironpost.alerts")
	require.NoError(t, err)
	none := func(time.Time, []byte) error { return nil }
	err = s.Read(t.Context(), storage.Alerts, storage.Query{}, 300*time.Millisecond, none)
	require.Equal(t, storage.Slow, kindOf(err), err)
	require.ErrorContains(t, err, "PostgreSQL is slow: no answer within the time limit")
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	require.Equal(t, context.DeadlineExceeded, s.Read(ctx, storage.Alerts, storage.Query{}, patience, none))
	require.Eventually(t, func() bool { return !running() }, patience, 10*time.Millisecond) // the lock's session has another name
	require.NoError(t, lock.Close(t.Context()))
}

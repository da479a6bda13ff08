package storage_test

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/storage"
	"github.com/ironpost/ironpost/internal/testenv"
)

const benchBatch = 5000

// race writes the same batches, in turn, with Write, with a bare COPY into a table that is the same, and with
// a bare COPY into one without indexes.
type race struct {
	store *storage.Store
	bare  *pgx.Conn // to a database with the same tables
	plain *pgx.Conn // to a database whose table has no index

	rows                int
	ours, same, nothing time.Duration
}

func newRace(t testing.TB) *race {
	t.Helper()
	p := testenv.PostgreSQL(t)
	r := &race{}
	r.store, _ = prepared(t, p, storage.Config{BatchSize: benchBatch})
	connect := func(database string) *pgx.Conn {
		conn, err := pgx.Connect(t.Context(), p.URL(database))
		require.NoError(t, err)
		t.Cleanup(func() { _ = conn.Close(t.Context()) })
		return conn
	}
	_, database := prepared(t, p, storage.Config{})
	r.bare = connect(database)
	_, database = prepared(t, p, storage.Config{})
	p.Exec(t, database, `DROP TABLE ironpost.alerts; CREATE TABLE ironpost.alerts (received_at timestamptz, id text, seq bigint, host text,
		module text, severity smallint, rule text, rule_title text, source inet, target inet, trace_id text, series text, record jsonb)`)
	r.plain = connect(database)
	return r
}

// batch writes batch n with each.
func (r *race) batch(t testing.TB, n int) {
	t.Helper()
	rows := benchRows(t, n*benchBatch, benchBatch)
	began := time.Now()
	result, err := r.store.Write(t.Context(), storage.Alerts, rows)
	r.ours += time.Since(began)
	require.NoError(t, err)
	require.Equal(t, benchBatch, result.Inserted)
	copyRows := func(conn *pgx.Conn) time.Duration {
		began := time.Now()
		_, err := conn.CopyFrom(t.Context(), pgx.Identifier{"ironpost", "alerts"}, storage.Columns(storage.Alerts),
			pgx.CopyFromSlice(len(rows), func(i int) ([]any, error) { return storage.Values(rows[i]), nil }))
		require.NoError(t, err)
		return time.Since(began)
	}
	r.same += copyRows(r.bare)
	r.nothing += copyRows(r.plain)
	r.rows += benchBatch
}

func (r *race) rate(d time.Duration) float64 { return float64(r.rows) / d.Seconds() }

// benchRows returns n alerts from number first on, as they differ in practice.
func benchRows(t testing.TB, first, n int) []storage.Row {
	t.Helper()
	rows := make([]storage.Row, n)
	for i := range rows {
		at := first + i
		_, rows[i] = alert(t, at, func(a *event.Alert) {
			a.ID, a.Host, a.Severity = event.ID(fmt.Sprint(at)), fmt.Sprintf("host-%d", at%200), event.Severity(at%5)
			a.Rule.ID, a.Title = fmt.Sprintf("rule-%d", at*7919%300), fmt.Sprintf("SSH brute force against user-%d", at%1000)
			mixed := uint32(at) * 2654435761 // Knuth's multiplicative hash: addresses do not come in order
			a.Source = &event.Endpoint{IP: netip.AddrFrom4([4]byte{203, byte(mixed >> 24), byte(mixed >> 16), byte(mixed >> 8)}).String()}
			a.Target = &event.Endpoint{IP: netip.AddrFrom4([4]byte{10, 0, byte(mixed >> 9), byte(mixed >> 17)}).String(), Port: 22}
		})
	}
	return rows
}

// BenchmarkWrite compares Write with a bare COPY of the same batches into the same tables, and into one without
// indexes, in the same run.
func BenchmarkWrite(b *testing.B) {
	r := newRace(b)
	for n := 0; b.Loop(); n++ {
		r.batch(b, n)
	}
	b.ReportMetric(r.rate(r.ours), "rows/s")
	b.ReportMetric(r.same.Seconds()/r.ours.Seconds(), "of-bare-COPY")
	b.ReportMetric(r.nothing.Seconds()/r.ours.Seconds(), "of-unindexed")
}

//go:build accept

package storage_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/storage"
	"github.com/ironpost/ironpost/internal/testenv"
)

func TestAcceptWrite(t *testing.T) {
	const batches, bar = 80, 0.85
	r := newRace(t)
	for n := range batches {
		r.batch(t, n)
	}
	ratio := r.same.Seconds() / r.ours.Seconds()
	t.Logf("idempotent write %.0f rows/s: %.2f of a bare COPY into the same table (bar %.2f), %.2f of one without indexes (%d rows)",
		r.rate(r.ours), ratio, bar, r.nothing.Seconds()/r.ours.Seconds(), r.rows)
	require.GreaterOrEqual(t, ratio, bar)

	rows := benchRows(t, 0, benchBatch) // delivered again
	began := time.Now()
	result, err := r.store.Write(t.Context(), storage.Alerts, rows)
	require.NoError(t, err)
	require.Equal(t, benchBatch, result.Present)
	t.Logf("delivered again: %.0f rows/s, 0 inserted", benchBatch/time.Since(began).Seconds())
}

// TestAcceptFilters measures the filters of ironpost alerts over ten days of a million alerts each.
func TestAcceptFilters(t *testing.T) {
	const days, perDay, bar = 10, 1_000_000, 100 * time.Millisecond
	p := testenv.PostgreSQL(t, "fsync=off", "max_wal_size=8GB", "shared_buffers=512MB", "maintenance_work_mem=512MB") // loading is not measured
	s, database := prepared(t, p, storage.Config{})
	indexes := p.Exec(t, database, `SELECT string_agg(replace(pg_get_indexdef(indexrelid), ' ON ONLY ', ' ON '), ';') FROM pg_index
		WHERE indrelid = 'ironpost.alerts'::regclass AND NOT indisprimary`)
	p.Exec(t, database, "DROP INDEX ironpost.alerts_host, ironpost.alerts_severity, ironpost.alerts_rule, ironpost.alerts_source, ironpost.alerts_target")
	for ago := range days {
		first := received.AddDate(0, 0, -ago).Truncate(24 * time.Hour)
		p.Exec(t, database, fmt.Sprintf("SELECT ironpost.create_partition('alerts', '%s')", first.Format(time.DateOnly)))
		p.Exec(t, database, fmt.Sprintf(`INSERT INTO ironpost.alerts
			SELECT '%s'::timestamptz + i * interval '86 ms', i, md5('%d-' || i), CASE WHEN i = 4711 THEN 'rare' ELSE 'host-' || i %% 200 END, 'log-pipeline',
				CASE WHEN i %% 200000 = 7 THEN 4 ELSE i %% 3 END, 'rule-' || i %% 300, CASE WHEN i = 4711 THEN 'Rare title' ELSE 'Rule number ' || i %% 300 END,
				'203.0.0.0'::inet + (i::bigint * 2654435761 %% 16777216), '10.0.0.0'::inet + (i::bigint * 40503 %% 65536), md5('t' || i), NULL,
				jsonb_build_object('id', md5('%d-' || i), 'schema', 1, 'title', 'SSH brute force against user-' || i %% 1000, 'host', 'host-' || i %% 200,
					'evidence', jsonb_build_array(repeat('Failed password for invalid user ', 6) || i), 'rule', jsonb_build_object('id', 'rule-' || i %% 300))
			FROM generate_series(1, %d) AS i`, first.Format(time.DateOnly), ago, ago, perDay))
	}
	p.Exec(t, database, indexes+"; VACUUM ANALYZE ironpost.alerts")
	t.Logf("%s rows, %s", p.Exec(t, database, "SELECT count(*) FROM ironpost.alerts"),
		p.Exec(t, database, "SELECT pg_size_pretty(pg_database_size(current_database()))"))

	week := received.AddDate(0, 0, -days)
	network := netip.MustParsePrefix
	slowest := time.Duration(0)
	for name, q := range map[string]storage.Query{
		"time, newest 100":              {},
		"time, one hour of day 6":       {Since: received.AddDate(0, 0, -5)},
		"host":                          {Host: "host-7"},
		"host, rare":                    {Host: "rare"},
		"host, absent":                  {Host: "nowhere"},
		"rule, id":                      {Rule: "rule-42"},
		"rule, part of the title":       {Rule: "number 17"},
		"rule, rare title":              {Rule: "rare tit"},
		"rule, absent":                  {Rule: "nosuch"},
		"severity medium":               {Severity: event.Medium},
		"severity high, rare":           {Severity: event.High},
		"severity critical, rare":       {Severity: event.Critical},
		"source, one address":           {Source: network("203.17.4.9/32")},
		"source, network":               {Source: network("203.17.0.0/16")},
		"source, absent":                {Source: network("198.51.100.0/24")},
		"address, source or target":     {Address: network("10.0.4.7/32")},
		"address, absent":               {Address: network("2001:db8::/32")},
		"host, rule, severity, address": {Host: "host-7", Rule: "rule-7", Severity: event.Medium, Source: network("203.0.0.0/9")},
	} {
		if q.Since.IsZero() {
			q.Since = week
		}
		q.Limit = 100
		took, rows := median(t, func() (n int) {
			require.NoError(t, s.Read(t.Context(), storage.Alerts, q, func([]byte) error { n++; return nil }))
			return n
		})
		slowest = max(slowest, took)
		t.Logf("%-32s %6.1f ms, %d rows", name, float64(took.Microseconds())/1000, rows)
	}
	t.Logf("slowest filter %.1f ms (bar %d ms)", float64(slowest.Microseconds())/1000, bar.Milliseconds())
	conn, err := pgx.Connect(t.Context(), p.URL(database))
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close(t.Context())) }()
	began := time.Now()
	_, err = conn.Exec(t.Context(), "SELECT id FROM ironpost.alerts WHERE record->>'title' LIKE '%user-4711%' LIMIT 100")
	require.NoError(t, err)
	t.Logf("text in all alerts, no index: %.0f ms", time.Since(began).Seconds()*1000)
	require.Less(t, slowest, bar)
}

// TestAcceptText measures text search in the log lines of a closed day with the text index.
func TestAcceptText(t *testing.T) {
	const lines, bar = 1_000_000, 100 * time.Millisecond
	p := testenv.PostgreSQL(t, "fsync=off", "max_wal_size=8GB", "shared_buffers=512MB", "maintenance_work_mem=512MB")
	s, database := prepared(t, p, storage.Config{TextIndex: true})
	day := received.AddDate(0, 0, -2)
	p.Exec(t, database, fmt.Sprintf("SELECT ironpost.create_partition('logs', '%s')", day.Format(time.DateOnly)))
	p.Exec(t, database, fmt.Sprintf(`INSERT INTO ironpost.logs SELECT '%s'::timestamptz + i * interval '1 ms', md5('' || i), 'host', 'syslog', 'sshd', 't',
		jsonb_build_object('message', 'sshd[' || i %% 32768 || ']: Failed password for invalid user ' || md5('u' || i) || ' from 203.0.113.' || i %% 256 || ' port ' || i %% 65536)
		FROM generate_series(1, %d) AS i`, day.Format(time.RFC3339), lines))
	began := time.Now()
	done, err := s.Maintain(t.Context())
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(done.Indexed, "logs_"))
	t.Logf("index of %d lines built in %.0f s: %s", lines, time.Since(began).Seconds(),
		p.Exec(t, database, fmt.Sprintf("SELECT pg_size_pretty(pg_relation_size('ironpost.%s_text'))", done.Indexed)))
	p.Exec(t, database, "ANALYZE ironpost.logs")
	conn, err := pgx.Connect(t.Context(), p.URL(database))
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close(t.Context())) }()
	for _, text := range []string{"%" + "8f14e45fce" + "%", "%nosuchtext%", "%203.0.113.77 port 4711%"} {
		took, rows := median(t, func() (n int) {
			require.NoError(t, conn.QueryRow(t.Context(), "SELECT count(*) FROM ironpost."+done.Indexed+" WHERE record->>'message' ILIKE $1", text).Scan(&n))
			return n
		})
		t.Logf("text %q: %.1f ms, %d lines (bar %d ms)", text, float64(took.Microseconds())/1000, rows, bar.Milliseconds())
		require.Less(t, took, bar)
	}
}

// median runs read once to warm up and five times more, and returns the median time and what read returns.
func median(t *testing.T, read func() int) (time.Duration, int) {
	t.Helper()
	rows := read()
	var times []time.Duration
	for range 5 {
		began := time.Now()
		read()
		times = append(times, time.Since(began))
	}
	slices.Sort(times)
	return times[2], rows
}

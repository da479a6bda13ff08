//go:build accept

package storage_test

import (
	"fmt"
	"maps"
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

// TestAcceptFilters measures the filters of the commands over ten days of a million alerts, actions and lines each: with values
// that are common, rare, absent, and only in the oldest rows.
func TestAcceptFilters(t *testing.T) {
	const bar = 100 * time.Millisecond
	p := testenv.PostgreSQL(t, "fsync=off", "max_wal_size=8GB", "shared_buffers=512MB", "maintenance_work_mem=512MB") // loading is not measured
	s, database := prepared(t, p, storage.Config{})
	loadDays(t, p, database)
	slowest := measureFilters(t, s)
	t.Logf("slowest filter %.1f ms (bar %d ms)", float64(slowest.Microseconds())/1000, bar.Milliseconds())
	require.Less(t, slowest, bar)
}

// measureFilters returns the median time of the slowest filter, after it logged each.
func measureFilters(t *testing.T, s *storage.Store) (slowest time.Duration) {
	t.Helper()
	all := received.AddDate(0, 0, -10)
	network := netip.MustParsePrefix
	type queries map[string]storage.Query
	for table, measured := range map[storage.Table]queries{
		storage.Alerts: {
			"time": {}, "host, common": {Host: "host-7"}, "host, rare": {Host: "rare"}, "host, absent": {Host: "nowhere"}, "host, only old": {Host: "gone"},
			"rule, id": {Rule: "rule-42"}, "rule, title": {Rule: "number 17"}, "rule, all titles": {Rule: "number"}, "rule, rare title": {Rule: "rare tit"},
			"rule, absent": {Rule: "nosuch"}, "rule, only old": {Rule: "gone"},
			"severity, common": {Severity: event.Medium}, "severity, only old": {Severity: event.High}, "severity, rare": {Severity: event.Critical},
			"source, address": {Source: network("203.17.4.9/32")}, "source, wide network": {Source: network("203.0.0.0/9")},
			"source, network": {Source: network("203.17.0.0/16")}, "source, small network": {Source: network("203.17.4.0/24")},
			"source, absent": {Source: network("198.51.100.0/24")}, "source, only old": {Source: network("192.0.2.0/24")},
			"address, common": {Address: network("10.0.4.7/32")}, "address, network": {Address: network("10.0.4.0/24")}, "address, absent": {Address: network("2001:db8::/32")},
			"host and severity": {Host: "host-7", Severity: event.Critical}, "four filters": {Host: "host-7", Rule: "rule-7", Severity: event.Low, Source: network("203.0.0.0/9")},
		},
		storage.Actions: {
			"time": {}, "host, common": {Host: "host-7"}, "host, absent": {Host: "nowhere"}, "phase, common": {Phase: "done"}, "phase, rare": {Phase: "released"},
			"phase, only old": {Phase: "failed"}, "kind": {Kind: "isolate"}, "kind, absent": {Kind: "kill"}, "policy": {Policy: "policy-7"},
			"policy and phase": {Policy: "policy-7", Phase: "failed"},
		},
		storage.Logs: {
			"time": {}, "host, common": {Host: "host-7"}, "host, absent": {Host: "nowhere"}, "source, common": {LogSource: "syslog"},
			"source, only old": {LogSource: "container:gone"}, "source, absent": {LogSource: "file:/none"},
		},
	} {
		for _, name := range slices.Sorted(maps.Keys(measured)) {
			for since, from := range map[string]time.Time{"10 days": all, "1 day": received.AddDate(0, 0, -1)} {
				q := measured[name]
				q.Since, q.Limit = from, 100
				took, rows := median(t, func() int { return len(read(t, s, table, q)) })
				slowest = max(slowest, took)
				t.Logf("%-8s %-7s %-22s %6.1f ms, %d rows", table, since, name, float64(took.Microseconds())/1000, rows)
			}
		}
	}
	for name, text := range map[string]string{"common": "password", "rare": "user u4711 ", "absent": "nosuchtext"} {
		began := time.Now()
		rows := read(t, s, storage.Logs, storage.Query{Since: all, Limit: 100, Text: text})
		t.Logf("text in all lines, no index, %s: %.0f ms, %d rows", name, time.Since(began).Seconds()*1000, len(rows))
	}
	return slowest
}

// loadDays stores a million alerts, actions and lines of each of ten days. A tenth of the oldest day is of a host, a rule, a severity, a network,
// a phase and a source that do not come later.
func loadDays(t *testing.T, p *testenv.Postgres, database string) {
	t.Helper()
	indexes := p.Exec(t, database, `SELECT string_agg(replace(pg_get_indexdef(indexrelid), ' ON ONLY ', ' ON '), ';') FROM pg_index
		WHERE indrelid IN ('ironpost.alerts'::regclass, 'ironpost.actions'::regclass, 'ironpost.logs'::regclass) AND NOT indisprimary`)
	p.Exec(t, database, `SELECT format('DROP INDEX %s', indexrelid::regclass) FROM pg_index
		WHERE indrelid IN ('ironpost.alerts'::regclass, 'ironpost.actions'::regclass, 'ironpost.logs'::regclass) AND NOT indisprimary \gexec`)
	for ago := range 10 {
		day := received.AddDate(0, 0, -ago).Format(time.DateOnly)
		p.Exec(t, database, fmt.Sprintf(`
SELECT ironpost.create_partition(name, '%[1]s') FROM unnest(ARRAY['alerts', 'actions', 'logs']) AS t (name);
CREATE TEMPORARY TABLE day AS SELECT i, '%[1]s'::timestamptz + i * interval '86 ms' AS at, md5('%[2]d-' || i) AS id, %[2]d = 9 AND i <= 100000 AS old, i = 4711 AS rare
	FROM generate_series(1, 1000000) AS i;
INSERT INTO ironpost.alerts
SELECT at, i, id, CASE WHEN old THEN 'gone' WHEN rare THEN 'rare' ELSE 'host-' || i %% 200 END, 'log-pipeline',
	CASE WHEN old THEN 3 WHEN i %% 200000 = 7 THEN 4 ELSE i %% 3 END,
	CASE WHEN old THEN 'gone' ELSE 'rule-' || i %% 300 END, CASE WHEN rare THEN 'Rare title' WHEN old THEN 'Gone' ELSE 'Rule number ' || i %% 300 END,
	CASE WHEN old THEN '192.0.2.0'::inet + i %% 256 ELSE '203.0.0.0'::inet + (i::bigint * 2654435761 %% 16777216) END,
	'10.0.0.0'::inet + (i::bigint * 40503 %% 65536), md5('t' || i), NULL,
	jsonb_build_object('id', id, 'schema', 1, 'title', 'SSH brute force against user-' || i %% 1000, 'host', 'host-' || i %% 200,
		'evidence', jsonb_build_array(repeat('Failed password for invalid user ', 6) || i), 'rule', jsonb_build_object('id', 'rule-' || i %% 300))
FROM day;
INSERT INTO ironpost.actions
SELECT at, i, id, CASE WHEN rare THEN 'rare' ELSE 'host-' || i %% 200 END, 'container-guard',
	CASE WHEN old THEN 'failed' WHEN i %% 200000 = 7 THEN 'released' ELSE (ARRAY['intended', 'done', 'skipped'])[1 + i %% 3] END,
	(ARRAY['isolate', 'block-source'])[1 + i %% 2], 'policy-' || i %% 20, 'alert-' || i, '203.0.0.0'::inet + (i::bigint * 2654435761 %% 16777216), 't',
	jsonb_build_object('id', id, 'schema', 1, 'reason', 'the reason of an action that was taken for a policy')
FROM day;
INSERT INTO ironpost.logs
SELECT at, id, CASE WHEN rare THEN 'rare' ELSE 'host-' || i %% 200 END,
	CASE WHEN old THEN 'container:gone' ELSE (ARRAY['file:/var/log/auth.log', 'syslog', 'file:/var/log/nginx/access.log'])[1 + i %% 3] END, 'sshd', 't',
	jsonb_build_object('id', id, 'schema', 1, 'message', 'sshd[4711]: Failed password for invalid user u' || i || ' from 203.0.113.7 port 22 ssh2')
FROM day;`, day, ago))
	}
	p.Exec(t, database, indexes+"; VACUUM ANALYZE")
	t.Logf("%s alerts, %s", p.Exec(t, database, "SELECT count(*) FROM ironpost.alerts"), p.Exec(t, database, "SELECT pg_size_pretty(pg_database_size(current_database()))"))
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

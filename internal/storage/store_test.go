package storage_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/storage"
	"github.com/ironpost/ironpost/internal/task"
	"github.com/ironpost/ironpost/internal/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t testing.TB, cfg storage.Config) *storage.Store {
	t.Helper()
	s, err := storage.Open(cfg)
	require.NoError(t, err)
	t.Cleanup(s.Close)
	return s
}

// prepared returns a store with tables and partitions in a new database of p.
func prepared(t testing.TB, p *testenv.Postgres, cfg storage.Config) (s *storage.Store, database string) {
	t.Helper()
	database = fmt.Sprintf("db%d", time.Now().UnixNano())
	p.Exec(t, "postgres", "CREATE DATABASE "+database)
	cfg.URL = p.URL(database)
	s = open(t, cfg)
	require.NoError(t, s.Prepare(t.Context()))
	_, err := s.Maintain(t.Context())
	require.NoError(t, err)
	return s, database
}

var received = time.Now().UTC().Truncate(24 * time.Hour).Add(time.Hour)

// alert returns alert number n and the row of it, received n milliseconds after received.
func alert(t testing.TB, n int, change func(*event.Alert)) (*event.Alert, storage.Row) {
	t.Helper()
	a := &event.Alert{
		ID: fmt.Sprintf("alert-%d", n), Schema: event.Schema, TraceID: "trace", Time: received, FirstSeen: received, LastSeen: received,
		Count: 1, Module: "log-pipeline", Host: "web-1", Severity: event.High, Title: "SSH brute force", DedupKey: "k",
		Rule: event.Rule{ID: "rule-1", Title: "SSH brute force", Level: event.High}, Source: &event.Endpoint{IP: "203.0.113.7", Port: 4711},
	}
	if change != nil {
		change(a)
	}
	data, err := event.Encode(a)
	require.NoError(t, err)
	return a, storage.AlertRow(a, message(n, data))
}

func message(n int, data []byte) storage.Message {
	return storage.Message{ReceivedAt: received.Add(time.Duration(n) * time.Millisecond), Sequence: uint64(n), Data: data}
}

func alerts(t testing.TB, from, to int) []storage.Row {
	t.Helper()
	var rows []storage.Row
	for n := from; n <= to; n++ {
		_, row := alert(t, n, nil)
		rows = append(rows, row)
	}
	return rows
}

func kindOf(err error) storage.Kind {
	if e, ok := errors.AsType[*storage.Error](err); ok {
		return e.Kind
	}
	return ""
}

func TestRowsAreStoredOnce(t *testing.T) {
	t.Parallel()
	p := testenv.PostgreSQL(t)
	s, database := prepared(t, p, storage.Config{BatchSize: 100})
	rows := alerts(t, 1, 1000)
	result, err := s.Write(t.Context(), storage.Alerts, rows[:600])
	require.NoError(t, err)
	require.Equal(t, storage.Result{Inserted: 600}, result)

	result, err = s.Write(t.Context(), storage.Alerts, rows) // the first 600 again, the 550th twice
	require.NoError(t, err)
	require.Equal(t, storage.Result{Inserted: 400, Present: 600}, result)
	result, err = s.Write(t.Context(), storage.Alerts, append(rows[900:], rows[900:]...))
	require.NoError(t, err)
	require.Equal(t, storage.Result{Present: 200}, result)
	require.Equal(t, "1000|1000", p.Exec(t, database, "SELECT count(*), count(DISTINCT id) FROM ironpost.alerts"))

	a := &event.Action{
		ID: "x", Schema: 1, TraceID: "t", Time: received, Module: "container-guard", Host: "web-1", AlertID: "alert-1",
		Policy: "p", Kind: "block-source", Target: "203.0.113.7", Phase: event.Done,
	}
	data, err := event.Encode(a)
	require.NoError(t, err)
	_, err = s.Write(t.Context(), storage.Actions, []storage.Row{storage.ActionRow(a, message(1, data))})
	require.NoError(t, err)
	l := &event.Log{ID: "l", Schema: 1, TraceID: "t", Time: received, Received: received, Host: "web-1", Source: "syslog", Message: "m"}
	data, err = event.Encode(l)
	require.NoError(t, err)
	_, err = s.Write(t.Context(), storage.Logs, []storage.Row{storage.LogRow(l, data)})
	require.NoError(t, err)
	require.Equal(t, "203.0.113.7|done|m", p.Exec(t, database,
		"SELECT a.target, a.phase, l.record->>'message' FROM ironpost.actions a JOIN ironpost.alerts b ON b.id = a.alert_id, ironpost.logs l"))
}

// A refused row is found and handed back; all others are stored, whatever text they hold.
func TestRefusedRowsAreHandedBack(t *testing.T) {
	t.Parallel()
	p := testenv.PostgreSQL(t)
	s, database := prepared(t, p, storage.Config{})
	rows := alerts(t, 1, 300)
	for _, n := range []int{1, 150, 151, 300} { // numeric has at most 131,072 digits before the point
		a, _ := alert(t, n, nil)
		rows[n-1] = storage.AlertRow(a, message(n, []byte(`{"later": 1e999999}`)))
	}
	nul, row := alert(t, 7, func(a *event.Alert) {
		a.Title, a.Rule.ID, a.Evidence = "a\x00b", strings.Repeat("r", 10_000)+"\x00", []string{"\x00\xff\\u0000", "\U0001F600"}
	})
	rows[6] = row
	rows[7] = storage.AlertRow(nul, message(8, []byte(`{"half": "\ud800x\udc00\ud83d\ude00", "bytes": "`+"\xff"+`"}`)))

	result, err := s.Write(t.Context(), storage.Alerts, rows)
	require.NoError(t, err)
	require.Equal(t, 296, result.Inserted)
	var refused []int
	for _, r := range result.Rejected {
		refused = append(refused, r.Index+1)
		require.Equal(t, storage.Data, r.Err.Kind)
		require.ErrorContains(t, r.Err, "PostgreSQL is refusing the row")
	}
	require.Equal(t, []int{1, 150, 151, 300}, refused)

	var stored event.Alert
	require.NoError(t, json.Unmarshal([]byte(p.Exec(t, database, "SELECT record FROM ironpost.alerts WHERE seq = 7")), &stored))
	require.Equal(t, "a␀b", stored.Title)
	require.Equal(t, []string{"␀�\\u0000", "\U0001F600"}, stored.Evidence)
	require.Equal(t, "256", p.Exec(t, database, "SELECT length(rule) FROM ironpost.alerts WHERE seq = 7"))
	require.Equal(t, "�x�\U0001F600|�", p.Exec(t, database, "SELECT record->>'half', record->>'bytes' FROM ironpost.alerts WHERE seq = 8"))
}

func TestErrorsSayWhatIsWrong(t *testing.T) {
	t.Parallel()
	p := testenv.PostgreSQL(t)
	s, database := prepared(t, p, storage.Config{})
	rows := alerts(t, 1, 10)
	write := func() error {
		_, err := s.Write(t.Context(), storage.Alerts, rows)
		return err
	}

	p.Exec(t, "postgres", "ALTER DATABASE "+database+" SET default_transaction_read_only = on")
	p.Stop(t)
	err := write()
	require.Equal(t, storage.Down, kindOf(err), err)
	require.NotContains(t, err.Error(), "\n")
	require.NotContains(t, err.Error(), "secret")
	p.Start(t)
	require.Equal(t, storage.ReadOnly, kindOf(write()))
	p.Exec(t, "postgres", "ALTER DATABASE "+database+" RESET default_transaction_read_only")
	p.Kill(t)
	require.Equal(t, storage.Down, kindOf(write()))
	p.Start(t)
	require.Eventually(t, func() bool { return write() == nil }, 10*time.Second, 10*time.Millisecond)

	storage.SetCallTimeout(s, 300*time.Millisecond)
	lock, err := pgx.Connect(t.Context(), p.URL(database))
	require.NoError(t, err)
	_, err = lock.Exec(t.Context(), "BEGIN; LOCK ironpost.alerts")
	require.NoError(t, err)
	err = write()
	require.Equal(t, storage.Slow, kindOf(err), err)
	require.NoError(t, lock.Close(t.Context()))
	storage.SetCallTimeout(s, 30*time.Second)
	require.NoError(t, write())

	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = s.Write(ended, storage.Alerts, rows)
	require.Equal(t, context.Canceled, err, "the caller's own end is no error of PostgreSQL")

	wrong := open(t, storage.Config{URL: p.UserURL("postgres", "wrong-password", database)})
	err = wrong.Ping(t.Context())
	require.Equal(t, storage.Denied, kindOf(err), err)
	require.NotContains(t, err.Error(), "wrong-password")
	missing := open(t, storage.Config{URL: p.URL("nowhere")})
	require.Equal(t, storage.Schema, kindOf(missing.Ping(t.Context())))
	p.Exec(t, database, "INSERT INTO ironpost.schema_version (version_id, is_applied) VALUES (999, true)")
	err = s.Prepare(t.Context())
	require.Equal(t, storage.Schema, kindOf(err))
	require.ErrorContains(t, err, "its tables have version 999")
}

// A row whose time is far from the server's, or whose JSON is too deep, is refused by itself; a large one is stored.
func TestRowsAtTheLimits(t *testing.T) {
	t.Parallel()
	p := testenv.PostgreSQL(t, "max_stack_depth=100kB")
	s, database := prepared(t, p, storage.Config{})
	var rows []storage.Row
	add := func(at time.Time, data []byte) {
		n := len(rows) + 1
		a, _ := alert(t, n, nil)
		rows = append(rows, storage.AlertRow(a, storage.Message{ReceivedAt: at, Sequence: uint64(n), Data: data}))
	}
	small := []byte(`{"a": 1}`)
	add(received, small)
	add(time.Unix(0, 0), small)
	add(received.AddDate(100, 0, 0), small)
	add(received, []byte(`{"deep": `+strings.Repeat("[", 9000)+strings.Repeat("]", 9000)+`}`))
	add(received, []byte(`{"large": "`+strings.Repeat("x", event.MaxSize)+`"}`))
	add(received.AddDate(0, 0, -1), small)
	add(received, []byte(`{"not JSON`))
	result, err := s.Write(t.Context(), storage.Alerts, rows)
	require.NoError(t, err)
	var refused []string
	for _, r := range result.Rejected {
		refused = append(refused, fmt.Sprint(r.Index+1, " ", r.Err))
	}
	require.Len(t, refused, 4, refused)
	for i, says := range []string{"2 PostgreSQL is refusing the row: ERROR: no partition for 1970-01-01", "3 ", "4 ", "7 "} {
		require.True(t, strings.HasPrefix(refused[i], says), refused[i])
	}
	require.Contains(t, refused[2], "stack depth limit exceeded")
	require.Contains(t, refused[3], "invalid input syntax for type json")
	require.Equal(t, "1,5,6", p.Exec(t, database, "SELECT string_agg(seq::text, ',' ORDER BY seq) FROM ironpost.alerts"))
}

// Tables of an earlier version are brought up to date, with their rows, by whom may change them.
func TestOlderTablesAreBroughtUpToDate(t *testing.T) {
	t.Parallel()
	p := testenv.PostgreSQL(t)
	s, database := prepared(t, p, storage.Config{})
	_, err := s.Write(t.Context(), storage.Alerts, alerts(t, 1, 10))
	require.NoError(t, err)
	p.Exec(t, database, `DROP INDEX ironpost.actions_phase, ironpost.actions_kind, ironpost.actions_policy, ironpost.actions_policy_phase, ironpost.alerts_series;
		DROP TABLE ironpost.settings;
		DELETE FROM ironpost.schema_version WHERE version_id > 1;
		CREATE ROLE unprivileged LOGIN PASSWORD 'x'; GRANT USAGE ON SCHEMA ironpost TO unprivileged; GRANT SELECT ON ironpost.schema_version TO unprivileged`)
	err = open(t, storage.Config{URL: p.UserURL("unprivileged", "x", database)}).Prepare(t.Context())
	require.Equal(t, storage.Schema, kindOf(err), err)
	require.ErrorContains(t, err, fmt.Sprintf(`its tables have version 1, this program needs %d, and this role may not change them: execute "ironpost storage migrate"`, storage.SchemaVersion()))
	require.NoError(t, s.Prepare(t.Context()))
	require.Equal(t, "10|ironpost.actions_phase", p.Exec(t, database, "SELECT count(*), to_regclass('ironpost.actions_phase') FROM ironpost.alerts"))
}

// Several hosts may start with an empty database at the same moment.
func TestMigrationsRunOnce(t *testing.T) {
	t.Parallel()
	p := testenv.PostgreSQL(t)
	p.Exec(t, "postgres", "CREATE DATABASE fresh")
	group := task.New(t.Context())
	for range 4 {
		group.Go("migrate", func(ctx context.Context) error { return open(t, storage.Config{URL: p.URL("fresh")}).Prepare(ctx) })
	}
	require.NoError(t, group.Wait())
	require.Equal(t, fmt.Sprint(storage.SchemaVersion()), p.Exec(t, "fresh", "SELECT count(*) FROM ironpost.schema_version WHERE version_id > 0"))
}

// The roles of roles.sql can do what they are for and nothing else.
func TestRolesHaveTheLeastPrivileges(t *testing.T) {
	t.Parallel()
	p := testenv.PostgreSQL(t)
	p.Exec(t, "postgres", "CREATE DATABASE roles")
	script, err := os.ReadFile("../../deploy/postgresql/roles.sql")
	require.NoError(t, err)
	p.Exec(t, "roles", string(script))
	as := func(role string) *storage.Store {
		p.Exec(t, "postgres", fmt.Sprintf("ALTER ROLE %s PASSWORD 'x'", role))
		return open(t, storage.Config{URL: p.UserURL(role, "x", "roles"), RetentionDays: 5, TextIndex: true})
	}
	writer, reader, owner := as("ironpost_daemon"), as("ironpost_viewer"), as("ironpost_migrate")
	err = writer.Prepare(t.Context())
	require.Equal(t, storage.Schema, kindOf(err), err)
	require.ErrorContains(t, err, "ironpost storage migrate")
	require.NoError(t, owner.Migrate(t.Context()))
	require.NoError(t, writer.Prepare(t.Context()))

	rows := alerts(t, 1, 10)
	for range 2 { // plain, and through the temporary table
		_, err = writer.Write(t.Context(), storage.Alerts, rows)
		require.NoError(t, err)
	}
	_, err = writer.Maintain(t.Context())
	require.NoError(t, err)
	_, err = reader.Write(t.Context(), storage.Alerts, rows)
	require.Equal(t, storage.Denied, kindOf(err), err)
	_, err = reader.Maintain(t.Context())
	require.Equal(t, storage.Denied, kindOf(err), err)
	for role, statements := range map[string][]string{
		"ironpost_daemon": {
			"UPDATE ironpost.alerts SET host = 'x'", "DELETE FROM ironpost.alerts", "TRUNCATE ironpost.alerts", "DROP TABLE ironpost.alerts",
			"DELETE FROM ironpost.schema_version", "CREATE TABLE ironpost.x ()", "CREATE TABLE public.x ()", "CREATE SCHEMA x",
			"SELECT ironpost.drop_partition('schema_version', '2000-01-01')",
			"SELECT ironpost.create_partition('alerts', current_date + 31)",
		},
		"ironpost_viewer": {"INSERT INTO ironpost.logs SELECT * FROM ironpost.logs", "SELECT ironpost.index_text()", "CREATE TEMPORARY TABLE x ()"},
	} {
		conn, err := pgx.Connect(t.Context(), p.UserURL(role, "x", "roles"))
		require.NoError(t, err)
		var n int
		require.NoError(t, conn.QueryRow(t.Context(), "SELECT count(*) FROM ironpost.alerts").Scan(&n))
		require.Equal(t, 10, n)
		for _, statement := range statements {
			_, err := conn.Exec(t.Context(), statement)
			require.Error(t, err, "%s: %s", role, statement)
		}
		require.NoError(t, conn.Close(t.Context()))
	}
	require.Equal(t, "10", p.Exec(t, "roles", "SELECT count(*) FROM ironpost.alerts"), "today is never dropped")
}

// Whoever has the URL of the daemon's role can drop what is older than the days that the owner set, and nothing else.
func TestADaemonCannotDropWhatTheOwnerKeeps(t *testing.T) {
	t.Parallel()
	p := testenv.PostgreSQL(t)
	p.Exec(t, "postgres", "CREATE DATABASE roles")
	script, err := os.ReadFile("../../deploy/postgresql/roles.sql")
	require.NoError(t, err)
	p.Exec(t, "roles", string(script)+"ALTER ROLE ironpost_daemon PASSWORD 'x'; ALTER ROLE ironpost_migrate PASSWORD 'x'")
	as := func(role string, days int) *storage.Store {
		return open(t, storage.Config{URL: p.UserURL(role, "x", "roles"), RetentionDays: days})
	}
	require.NoError(t, as("ironpost_migrate", 5).Migrate(t.Context()))
	daemon := as("ironpost_daemon", 5)
	var rows []storage.Row
	for ago := range 10 {
		a, _ := alert(t, ago, nil)
		rows = append(rows, storage.AlertRow(a, storage.Message{ReceivedAt: received.AddDate(0, 0, -ago), Sequence: uint64(ago), Data: []byte("{}")}))
	}
	_, err = daemon.Write(t.Context(), storage.Alerts, rows)
	require.NoError(t, err)
	left := func() string { return p.Exec(t, "roles", "SELECT count(*) FROM ironpost.alerts") }

	conn, err := pgx.Connect(t.Context(), p.UserURL("ironpost_daemon", "x", "roles"))
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close(context.Background())) }()
	for _, statement := range []string{
		"UPDATE ironpost.settings SET retention_days = 1", "DELETE FROM ironpost.settings", "INSERT INTO ironpost.settings VALUES (false, 1)",
		"SET ROLE ironpost_owner", "SET SESSION AUTHORIZATION ironpost_owner", "ALTER FUNCTION ironpost.drop_partition SECURITY INVOKER",
	} {
		_, err := conn.Exec(t.Context(), statement)
		require.Error(t, err, statement)
	}
	var dropped *string
	for n := range 5 {
		err := conn.QueryRow(t.Context(), "SELECT ironpost.drop_partition('alerts', current_date)").Scan(&dropped)
		require.NoError(t, err)
		require.Equal(t, n < 4, dropped != nil, "ten days, of which today and the five before it are kept: %d", n)
	}
	require.Equal(t, "6", left())

	done, err := as("ironpost_daemon", 1).Maintain(t.Context())
	require.NoError(t, err)
	require.Empty(t, done.Dropped)
	require.Equal(t, 5, done.OwnersDays)
	require.NoError(t, as("ironpost_migrate", 2).Migrate(t.Context()))
	done, err = as("ironpost_daemon", 2).Maintain(t.Context())
	require.NoError(t, err)
	require.Len(t, done.Dropped, 3)
	require.Equal(t, "3", left())
	done, err = as("ironpost_migrate", 1).Maintain(t.Context())
	require.NoError(t, err)
	require.Equal(t, storage.Maintained{Dropped: done.Dropped}, done)
	require.Len(t, done.Dropped, 1, "the owner may")
}

func TestPartitionsComeAndGo(t *testing.T) {
	t.Parallel()
	p := testenv.PostgreSQL(t)
	s, database := prepared(t, p, storage.Config{RetentionDays: 2, TextIndex: true})
	count := func(table string) string {
		return p.Exec(t, database, fmt.Sprintf("SELECT count(*) FROM pg_inherits WHERE inhparent = 'ironpost.%s'::regclass", table))
	}
	require.Equal(t, "4", count("alerts"), "today and three days ahead")
	again, err := s.Maintain(t.Context())
	require.NoError(t, err)
	require.Zero(t, again)

	// Lines of the last four days: their partitions are made when they are needed.
	var rows []storage.Row
	for ago := range 5 {
		l := &event.Log{
			ID: fmt.Sprint(ago), Schema: 1, TraceID: "t", Time: received, Received: received.AddDate(0, 0, -ago), Host: "h", Source: "syslog",
			Message: "Failed password for root",
		}
		data, err := event.Encode(l)
		require.NoError(t, err)
		rows = append(rows, storage.LogRow(l, data))
	}
	_, err = s.Write(t.Context(), storage.Logs, rows)
	require.NoError(t, err)
	require.Equal(t, "8", count("logs"))
	kept, err := s.Maintain(t.Context())
	require.NoError(t, err)
	name := func(ago int) string { return "logs_" + received.AddDate(0, 0, -ago).Format("20060102") }
	require.Equal(t, []string{name(4), name(3)}, kept.Dropped)
	require.Equal(t, "3", p.Exec(t, database, "SELECT count(*) FROM ironpost.logs"))

	// One closed day is indexed at a time, the newest first; yesterday is not closed in the first hour.
	closed := []string{name(1), name(2)}
	if time.Now().UTC().Hour() == 0 {
		closed = closed[1:]
	}
	for _, day := range closed {
		require.Equal(t, day, kept.Indexed)
		kept, err = s.Maintain(t.Context())
		require.NoError(t, err)
	}
	require.Empty(t, kept.Indexed)
	plan := p.Exec(t, database, "SET enable_seqscan = off; EXPLAIN SELECT * FROM ironpost."+closed[0]+" WHERE record->>'message' ILIKE '%password%'")
	require.Contains(t, plan, closed[0]+"_text")
}

// A clock of this host that is wrong neither drops what is to be kept nor stops the making of partitions.
func TestAWrongClockDropsNothing(t *testing.T) {
	t.Parallel()
	p := testenv.PostgreSQL(t)
	s, database := prepared(t, p, storage.Config{RetentionDays: 30})
	var rows []storage.Row
	for ago := range 10 {
		a, _ := alert(t, ago, nil)
		rows = append(rows, storage.AlertRow(a, storage.Message{ReceivedAt: received.AddDate(0, 0, -ago), Sequence: uint64(ago), Data: []byte("{}")}))
	}
	_, err := s.Write(t.Context(), storage.Alerts, rows)
	require.NoError(t, err)
	for _, days := range []int{27, 365, 36500, -27, -36500} {
		storage.SetNow(s, func() time.Time { return time.Now().AddDate(0, 0, days) })
		done, err := s.Maintain(t.Context())
		require.NoError(t, err, days)
		require.Zero(t, done, days)
	}
	require.Equal(t, "10", p.Exec(t, database, "SELECT count(*) FROM ironpost.alerts"))

	// Tomorrow's rows, of a clock that is ahead, have their partition; those older than the retention stay until the next Maintain.
	storage.SetNow(s, time.Now)
	late := func(days int) storage.Row {
		a, _ := alert(t, 1000+days, nil)
		return storage.AlertRow(a, storage.Message{ReceivedAt: received.AddDate(0, 0, days), Sequence: 1, Data: []byte("{}")})
	}
	result, err := s.Write(t.Context(), storage.Alerts, []storage.Row{late(1), late(-1), late(-31), late(-400)})
	require.NoError(t, err)
	require.Equal(t, 4, result.Inserted)
	done, err := s.Maintain(t.Context())
	require.NoError(t, err)
	require.Len(t, done.Dropped, 2)
	require.Equal(t, "12", p.Exec(t, database, "SELECT count(*) FROM ironpost.alerts"))
}

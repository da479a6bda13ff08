package storage_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/storage"
	"github.com/ironpost/ironpost/internal/testenv"
)

// The documented back-up restores every row on a new server: the daemon goes on there, and text is found by its index.
func TestDocumentedBackupIsRestored(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	roles, err := os.ReadFile("../../deploy/postgresql/roles.sql")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "roles.sql"), roles, 0o600))
	do := func(p *testenv.Postgres, title string) {
		cmd := exec.CommandContext(t.Context(), "bash", "-euc", "umask 022; "+testenv.Documented(t, title))
		cmd.Dir, cmd.Env = dir, append(os.Environ(), p.Environment()...)
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, string(out))
	}
	as := func(p *testenv.Postgres, role string) *storage.Store {
		p.Exec(t, "postgres", "ALTER ROLE "+role+" PASSWORD 'x'")
		return open(t, storage.Config{URL: p.UserURL(role, "x", "ironpost"), RetentionDays: 30, TextIndex: true})
	}
	line := func(id string, ago int) storage.Row {
		l := &event.Log{
			ID: id, Schema: 1, TraceID: "t", Time: received, Received: received.AddDate(0, 0, -ago), Host: "h", Source: "syslog", Message: "Failed password " + id,
		}
		data, err := event.Encode(l)
		require.NoError(t, err)
		return storage.LogRow(l, data)
	}

	before := testenv.PostgreSQL(t)
	before.Exec(t, "postgres", "CREATE DATABASE ironpost")
	before.Exec(t, "ironpost", string(roles))
	require.NoError(t, as(before, "ironpost_migrate").Migrate(t.Context()))
	daemon := as(before, "ironpost_daemon")
	lines := []storage.Row{line("today", 0), line("indexed", 3)}
	_, err = daemon.Write(t.Context(), storage.Logs, lines)
	require.NoError(t, err)
	_, err = daemon.Write(t.Context(), storage.Alerts, alerts(t, 1, 1000))
	require.NoError(t, err)
	done, err := daemon.Maintain(t.Context())
	require.NoError(t, err)
	require.NotEmpty(t, done.Indexed)
	do(before, "back-up of PostgreSQL")
	info, err := os.Stat(filepath.Join(dir, "ironpost.dump"))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode())

	after := testenv.PostgreSQL(t)
	do(after, "restore of PostgreSQL")
	require.NoError(t, as(after, "ironpost_migrate").Migrate(t.Context()))
	daemon = as(after, "ironpost_daemon")
	require.NoError(t, daemon.Prepare(t.Context()))
	result, err := daemon.Write(t.Context(), storage.Alerts, alerts(t, 501, 1500)) // of which 500 are there already
	require.NoError(t, err)
	require.Equal(t, 500, result.Inserted)
	_, err = daemon.Write(t.Context(), storage.Logs, append(lines, line("new", 4)))
	require.NoError(t, err)
	require.Equal(t, "1500|1500", after.Exec(t, "ironpost", "SELECT count(*), count(DISTINCT id) FROM ironpost.alerts"))
	require.Len(t, read(t, daemon, storage.Logs, storage.Query{Text: "failed PASSWORD"}), 3)
	done, err = daemon.Maintain(t.Context())
	require.NoError(t, err)
	require.Equal(t, "logs_"+received.AddDate(0, 0, -4).Format("20060102"), done.Indexed, "the other day has its index still")
	indexed := "logs_" + received.AddDate(0, 0, -3).Format("20060102")
	plan := after.Exec(t, "ironpost", "SET enable_seqscan = off; EXPLAIN SELECT * FROM ironpost."+indexed+" WHERE record->>'message' ILIKE '%password%'")
	require.Contains(t, plan, indexed+"_text")
}

package main

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/bus/bustest"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/storage"
	"github.com/ironpost/ironpost/internal/testenv"
)

// copyToDatabase stores what the streams hold, as the action collector does.
func copyToDatabase(t *testing.T, b *bustest.Bus, store *storage.Store) {
	t.Helper()
	require.NoError(t, store.Prepare(t.Context()))
	for stream, table := range map[bus.StreamName]storage.Table{bus.Alerts: storage.Alerts, bus.Actions: storage.Actions} {
		var rows []storage.Row
		err := b.Admin().History(t.Context(), stream, bus.HistoryOptions{}, func(d bus.Delivery) bool {
			m := storage.Message{ReceivedAt: d.StoredAt, Sequence: d.Sequence, Data: d.Data}
			var a event.Alert
			var done event.Action
			if table == storage.Alerts && event.Decode(d.Data, &a) == nil {
				rows = append(rows, storage.AlertRow(&a, m))
			}
			if table == storage.Actions && event.Decode(d.Data, &done) == nil {
				rows = append(rows, storage.ActionRow(&done, m))
			}
			return true
		})
		require.NoError(t, err)
		_, err = store.Write(t.Context(), table, rows)
		require.NoError(t, err)
	}
}

// The records of PostgreSQL and of the streams are listed alike, whatever the filter.
func TestDatabaseAndStreamsAreListedAlike(t *testing.T) {
	b, server := bustest.New(t), testenv.PostgreSQL(t)
	severities := []event.Severity{event.Info, event.Low, event.Medium, event.High, event.Critical}
	var alerts, actions []event.Record
	for n := range 60 {
		alerts = append(alerts, alert(fmt.Sprint("alert-", n), func(a *event.Alert) {
			a.Severity, a.Title = severities[n%5], fmt.Sprintf("title %d <\"é\u202e\\\">", n)
			a.Rule = event.Rule{ID: fmt.Sprint("Rule-", n%7), Title: []string{"SSH brute force", "Log Tampering", "Éclair"}[n%3], Tags: []string{"attack.t1110"}}
			a.Source = []*event.Endpoint{nil, {IP: netip.AddrFrom4([4]byte{203, 0, 113, byte(n)}).String(), Port: 22}, {IP: "::ffff:198.51.100.9"}, {IP: "2001:db8::1"}}[n%4]
			a.Target = []*event.Endpoint{{IP: "203.0.113.200"}, nil, {IP: "not an address"}}[n%3]
			a.Evidence = []string{"line\twith\x1b[31m"}
		}))
		actions = append(actions, action(fmt.Sprint("action-", n), func(a *event.Action) {
			a.Phase = []event.Phase{event.Intended, event.Done, event.Failed}[n%3]
			a.Kind, a.Policy, a.DryRun, a.DurationMS = []string{"isolate", "block-source"}[n%2], fmt.Sprint("p", n%4), n%5 == 0, int64(n)
		}))
	}
	publish(t, b, bus.LogPipeline, bus.Alerts, alerts...)
	publish(t, b, bus.ContainerGuard, bus.Actions, actions...)
	store, err := storage.Open(storage.Config{URL: server.URL("postgres")})
	require.NoError(t, err)
	defer store.Close()
	copyToDatabase(t, b, store)

	config := filepath.Join(t.TempDir(), "ironpost.toml")
	require.NoError(t, os.WriteFile(config, fmt.Appendf(nil, "[bus]\nsocket = %q\n[log_pipeline.storage]\npostgres_url = %q\n", b.Socket(), server.URL("postgres")), 0o600))
	listed := func(args ...string) result {
		return call(t, append([]string{"--config", config, "--utc"}, args...)...)
	}
	for _, args := range []string{
		"alerts", "alerts --limit 0", "alerts --limit 7", "alerts --since all", "alerts --since 2100-01-01", "alerts --since 1h",
		"alerts --severity high", "alerts --severity critical --limit 3", "alerts --host testhost", "alerts --host other --since 2000-01-01",
		"alerts --rule rule-3", "alerts --rule tamper", "alerts --rule éclair", "alerts --rule nosuch --since 2000-01-01",
		"alerts --source 203.0.113.0/25", "alerts --source 198.51.100.9", "alerts --source 2001:db8::/32", "alerts --address 203.0.113.192/26",
		"alerts --address 203.0.113.1 --severity low --rule log",
		"actions", "actions --phase failed", "actions --kind isolate --policy p2", "actions --limit 5 --host testhost",
	} {
		for _, more := range [][]string{nil, {"--json"}} {
			words := append(strings.Fields(args), more...)
			want := on(t, b, words...)
			require.Equal(t, want, listed(words...), words)
			if !strings.Contains(args, "other") && !strings.Contains(args, "nosuch") && !strings.Contains(args, "2100") {
				require.NotEmpty(t, want.out, words)
			}
		}
	}

	// So are alerts that policies are simulated on, at the time at which the stream stored them.
	policies := filepath.Join(t.TempDir(), "p.toml")
	require.NoError(t, os.WriteFile(policies, []byte("[[policy]]\nid = \"p\"\nactions = [\"block-source\"]\nmatch.severity = \"low\"\n"), 0o600))
	want := on(t, b, "policies", "simulate", "--path", policies)
	require.Contains(t, want.out, "60 alerts, 1 policies of ")
	require.Equal(t, want, listed("policies", "simulate", "--path", policies))

	// While PostgreSQL is down the streams answer, with a warning.
	server.Stop(t)
	got := listed("alerts", "--limit", "3")
	require.Equal(t, 0, got.code)
	require.Contains(t, got.err, "warning: PostgreSQL is down: ")
	require.Contains(t, got.err, "these are the alerts in the streams")
	require.Equal(t, on(t, b, "alerts", "--limit", "3").out, got.out)
	got = listed("policies", "simulate", "--path", policies)
	require.Contains(t, got.err, "these are the alerts in the streams")
	require.Equal(t, want.out, got.out)
}

func TestMigrateMakesTheTables(t *testing.T) {
	server := testenv.PostgreSQL(t)
	url := filepath.Join(t.TempDir(), "url")
	require.NoError(t, os.WriteFile(url, []byte(server.URL("postgres")+"\n"), 0o600))
	for _, days := range []int{30, 7} {
		args := []string{"storage", "migrate", "--url-file", url}
		if days != 30 { // the default
			args = append(args, "--retention-days", fmt.Sprint(days))
		}
		said := fmt.Sprintf("the tables have version %d; only their owner can drop what is younger than %d days\n", storage.SchemaVersion(), days)
		require.Equal(t, result{out: said}, call(t, args...))
		require.Equal(t, fmt.Sprint(days), server.Exec(t, "postgres", "SELECT retention_days FROM ironpost.settings"))
	}
	r := call(t, "storage", "migrate", "--json", "--url-file", url)
	require.JSONEq(t, fmt.Sprintf(`{"version":%d,"retention_days":30}`, storage.SchemaVersion()), r.out, r.err)
	require.Equal(t, "0", server.Exec(t, "postgres", "SELECT count(*) FROM ironpost.alerts"))
	got := call(t, "storage", "migrate", "--url-file", url, "--retention-days", "-1")
	require.Equal(t, exitUsage, got.code)
	require.Contains(t, got.err, "--retention-days: -1 is out of range, must be 1 to 3650")
	got = call(t, "storage", "migrate")
	require.Equal(t, exitUsage, got.code)
	require.Contains(t, got.err, "name a file with the URL with --url-file")
}

func TestLogsAreSearched(t *testing.T) {
	server := testenv.PostgreSQL(t)
	store, err := storage.Open(storage.Config{URL: server.URL("postgres")})
	require.NoError(t, err)
	defer store.Close()
	require.NoError(t, store.Prepare(t.Context()))
	now := time.Now().UTC().Truncate(time.Second)
	var rows []storage.Row
	for n, message := range []string{"100% of Failed PASSWORD\x1b[31m", "1000 failed", `back\slash_under`, "old failed"} {
		l := &event.Log{
			ID: fmt.Sprint(n), Schema: event.Schema, TraceID: "t", Time: now, Received: now.Add(time.Duration(n) * time.Millisecond),
			Host: []string{"web-1", "web-2"}[n%2], Source: "file:/var/log/app.log", Message: message,
		}
		if n == 3 {
			l.Received = now.AddDate(0, 0, -2)
		}
		data, err := event.Encode(l)
		require.NoError(t, err)
		rows = append(rows, storage.LogRow(l, data))
	}
	_, err = store.Write(t.Context(), storage.Logs, rows)
	require.NoError(t, err)
	config := filepath.Join(t.TempDir(), "ironpost.toml")
	require.NoError(t, os.WriteFile(config, fmt.Appendf(nil, "[log_pipeline.storage]\npostgres_url = %q\n", server.URL("postgres")), 0o600))
	for args, want := range map[string]int{
		"failed": 2, "0%": 1, "0_": 0, `k\s`: 1, "failed --since all": 3, "failed --limit 1": 1, "failed --host web-1": 1,
		"failed --source file:/var/log/app.log": 2, "failed --source syslog": 0,
	} {
		got := call(t, append([]string{"--config", config, "logs", "search", "--json"}, strings.Fields(args)...)...)
		require.Zero(t, got.code, got.err)
		require.Equal(t, want, strings.Count(got.out, "\n"), args)
	}
	got := call(t, "--config", config, "--utc", "logs", "search", "password")
	require.Equal(t, "RECEIVED              HOST   SOURCE                 LINE\n"+
		now.Format(time.RFC3339)+"  web-1  file:/var/log/app.log  100% of Failed PASSWORD\\x1b[31m\n", got.out)
	require.Contains(t, call(t, "--config", config, "logs", "search", "nosuch", "--since", "1h").err, "no such lines since ")
	// No stream holds lines: what is wrong with PostgreSQL ends the command.
	for url, want := range map[string]struct {
		code int
		says string
	}{
		server.UserURL("postgres", "wrong-password", "postgres"): {exitError, "PostgreSQL is refusing the daemon: "},
		server.URL("nowhere"): {exitError, "PostgreSQL is not set up for this version: "},
		"postgres://postgres@" + testenv.FreeAddr(t) + "/postgres": {exitUnreachable, "PostgreSQL is down: "},
	} {
		require.NoError(t, os.WriteFile(config, fmt.Appendf(nil, "[log_pipeline.storage]\npostgres_url = %q\n", url), 0o600))
		got := call(t, "--config", config, "logs", "search", "failed")
		require.Equal(t, want.code, got.code, got.err)
		require.Contains(t, got.err, want.says)
		require.NotContains(t, got.err, "wrong-password")
		require.Empty(t, got.out)
	}
}

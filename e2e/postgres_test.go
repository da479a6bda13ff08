package e2e_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/internal/testenv"
)

// Every alert of the stream, and every line, is a row of PostgreSQL, once, although the daemon and PostgreSQL are killed while
// alerts come, and the daemon gets another password by a reload.
func TestAlertsAndLinesReachPostgresOnceOverKills(t *testing.T) {
	t.Parallel()
	server := testenv.PostgreSQL(t)
	server.Exec(t, "postgres", "CREATE DATABASE ironpost; CREATE ROLE first LOGIN PASSWORD 'one'; CREATE ROLE second LOGIN PASSWORD 'two' IN ROLE first;"+
		"ALTER ROLE second SET role = first; GRANT CREATE ON DATABASE ironpost TO first")
	s := newInstance(t)
	url := func(user, password string) string {
		return fmt.Sprintf("[log_pipeline.storage]\npostgres_url = %q\n", server.UserURL(user, password, "ironpost"))
	}
	s.replace("[metrics]", url("first", "one")+"[metrics]")
	s.start()
	lines := 0
	write := func(n int) {
		var b strings.Builder
		for range n {
			lines++
			b.WriteString(rootShell(fmt.Sprintf("user%d", lines)))
		}
		s.append([]byte(b.String()))
	}
	rows := func() string { return server.Exec(t, "ironpost", "SELECT count(*) FROM ironpost.alerts") }

	write(50)
	s.eventually(func() bool { return s.counter(bus.ActionCollector, "postgres_alerts_stored") == 50 })
	for range 3 {
		write(100)
		s.kill()
		s.start()
	}
	server.Kill(t)
	write(100)
	s.eventually(func() bool { return strings.Contains(s.reasonsOf(bus.ActionCollector), "PostgreSQL is down") })
	server.Start(t)

	s.replace(url("first", "one"), url("second", "two"))
	require.NoError(t, s.daemon.Process.Signal(syscall.SIGHUP))
	s.eventually(func() bool { return strings.Contains(s.log.String(), "postgres_url") })
	server.Exec(t, "postgres", "ALTER ROLE first NOLOGIN; SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'first'")
	write(100)

	s.eventually(func() bool { return rows() == fmt.Sprint(lines) })
	inStreams := s.ironpost("--socket", s.path("bus.sock"), "alerts", "--json", "--limit", "0")
	require.Equal(t, inStreams, s.ironpost("alerts", "--json", "--limit", "0"))
	require.Equal(t, lines, strings.Count(inStreams, "\n"))
	ids := strings.Fields(server.Exec(t, "ironpost", "SELECT id FROM ironpost.alerts"))
	slices.Sort(ids)
	require.Len(t, slices.Compact(ids), lines)
	s.eventually(func() bool { return s.reasonsOf(bus.ActionCollector) == "" })
	perLine := "SELECT count(*), count(DISTINCT id), count(DISTINCT record->>'message') FROM ironpost.logs WHERE source LIKE 'file:%'"
	s.eventually(func() bool { return server.Exec(t, "ironpost", perLine) == fmt.Sprintf("%[1]d|%[1]d|%[1]d", lines) })
	require.FileExists(t, filepath.Join(s.dir, "data", "audit", "audit.log"))
}

// reasonsOf returns why a module is not healthy.
func (s *instance) reasonsOf(module string) string {
	return strings.Join(s.module(module).Reasons, "; ")
}

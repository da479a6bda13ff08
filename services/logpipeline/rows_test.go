package logpipeline_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/testenv"
)

// Every line is a row, once, over restarts and while PostgreSQL is down or killed; rules do not wait for it.
func TestLinesAreStoredOnce(t *testing.T) {
	t.Parallel()
	server := testenv.PostgreSQL(t)
	r := newRig(t)
	r.cfg.Storage.PostgresURL = server.URL("postgres")
	r.cfg.CheckpointIntervalSecs, r.cfg.FlushIntervalSecs = 3600, 1 // lines are stored when the second says
	s := r.start()
	r.write(failed("bob", "192.0.2.1") + "nul\x00and\xff\x1b[31m\n" + strings.Repeat("noise\n", 98) + "\n")
	require.Eventually(t, func() bool { return s.count("rows_stored") == 100 }, patience, tick, "%v", s.Health())
	require.Equal(t, event.Healthy, s.Health().Status, s.Health().Reasons)
	row := server.Exec(t, "postgres", `SELECT host, source, process, record->'fields'->>'src_ip', record->>'message' FROM ironpost.logs WHERE process <> ''`)
	require.Regexp(t, `^testhost\|file:`+r.watched+`\|sshd\|192\.0\.2\.1\|.*Failed password for bob from 192\.0\.2\.1 port 4242 ssh2$`, row)
	require.Equal(t, "1", server.Exec(t, "postgres", "SELECT count(*) FROM ironpost.logs WHERE record->>'message' LIKE 'nuland%'"))

	server.Stop(t)
	r.write(failed("eve", "192.0.2.2"))
	r.write(strings.Repeat("while down\n", 400))
	r.wait(2) // the rule does not wait
	require.Eventually(t, func() bool {
		reasons := strings.Join(s.Health().Reasons, "\n")
		return strings.Contains(reasons, "PostgreSQL is down") && strings.Contains(reasons, "bytes of log lines wait")
	}, patience, tick, "%v", s.Health())
	s.stop()
	s = r.start() // the queue outlives the service
	r.write(strings.Repeat("after the restart\n", 100))
	s.waitLines(100)
	server.Start(t)
	stored := func() string {
		return server.Exec(t, "postgres", "SELECT count(*), count(DISTINCT id) FROM ironpost.logs")
	}
	require.Eventually(t, func() bool { return s.count("rows_stored") == 501 }, patience, tick, "%v", s.Health())
	for range 3 {
		r.write(strings.Repeat("more\n", 200))
		server.Kill(t)
		server.Start(t)
	}
	require.Eventually(t, func() bool { return stored() == "1201|1201" }, longPatience, 10*tick, "%v", s.Health())
	require.Zero(t, s.count("rows_dropped"))
	require.Eventually(t, func() bool { return s.Health().Status == event.Healthy }, patience, tick)
}

// A full queue costs rows, which are counted, and no detection.
func TestFullQueueStopsNoRule(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.cfg.Storage.PostgresURL = "postgres://u:secret@127.0.0.1:1/x"
	r.cfg.Storage.QueueMaxBytes = 1 << 20
	s := r.start()
	r.write(strings.Repeat(strings.Repeat("x", 1000)+"\n", 1500) + failed("bob", "192.0.2.1"))
	r.wait(1)
	require.Positive(t, s.count("rows_dropped"))
	require.Eventually(t, func() bool {
		return strings.Contains(strings.Join(s.Health().Reasons, "\n"), "the queue of log rows is full: lines are matched, but not stored in PostgreSQL")
	}, patience, tick)
	require.NotContains(t, fmt.Sprint(s.Health().Reasons), "secret")
	stopping := time.Now()
	s.stop()
	require.Less(t, time.Since(stopping), 10*time.Second)
}

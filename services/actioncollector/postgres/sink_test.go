package postgres_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/bus/bustest"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/storage"
	"github.com/ironpost/ironpost/internal/testenv"
	"github.com/ironpost/ironpost/services/actioncollector"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 60 * time.Second

var began = time.Now().UTC()

// rig is a bus with the durables of the sink, a PostgreSQL, and a collector that stores in it.
type rig struct {
	*testing.T
	bus     *bustest.Bus
	admin   *bus.Conn
	server  *testenv.Postgres
	alerts  *bus.Publisher
	metrics *prometheus.Registry
	url     string

	collector *actioncollector.Service
	stop      func()
}

func newRig(t *testing.T, options ...bustest.Option) *rig {
	t.Helper()
	sink := bustest.WithModules(append(bus.ModuleNames(), bus.SinkName(bus.ActionCollector, bus.SinkPostgreSQL))...)
	r := &rig{T: t, server: testenv.PostgreSQL(t), bus: bustest.New(t, append(options, sink)...)}
	r.admin, r.url = r.bus.Admin(), r.server.URL("postgres")
	var err error
	r.alerts, err = r.bus.Conn(bus.LogPipeline).Publisher(bus.PublisherConfig{Stream: bus.Alerts, Module: bus.LogPipeline, Host: r.bus.Host()})
	require.NoError(t, err)
	return r
}

// start starts a collector; stop ends it as the daemon does. kill closes its connection first, so that what was
// delivered stays unacknowledged.
func (r *rig) start() (kill func()) {
	r.Helper()
	log := logrus.New()
	log.SetOutput(io.Discard)
	conn := r.bus.Conn(bus.ActionCollector)
	r.metrics = prometheus.NewRegistry()
	s, err := actioncollector.New(actioncollector.Config{Enabled: true, AuditPath: r.TempDir()}, actioncollector.Deps{
		Bus: conn, Host: r.bus.Host(), Log: log, Metrics: r.metrics, Storage: storage.Config{URL: r.url, RetentionDays: 30},
	})
	require.NoError(r, err)
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.Context()))
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	r.collector = s
	ended := false
	end := func(check bool) {
		if ended {
			return
		}
		ended = true
		cancel()
		select {
		case err := <-done:
			if check {
				require.NoError(r, err)
			}
		case <-time.After(patience):
			r.Fatal("the collector does not stop")
		}
	}
	r.stop = func() { end(true) }
	r.Cleanup(r.stop)
	return func() {
		closed, cancel := context.WithCancel(context.Background())
		cancel()
		_ = conn.Close(closed)
		end(false)
	}
}

func alert(n int) *event.Alert {
	return &event.Alert{
		ID: fmt.Sprintf("alert-%d", n), Schema: event.Schema, TraceID: "trace", Time: began, FirstSeen: began, LastSeen: began, Count: 1,
		Module: bus.LogPipeline, Host: "testhost", Severity: event.High, Title: "SSH brute force", DedupKey: "k",
		Rule: event.Rule{ID: "rule-1", Title: "SSH brute force", Level: event.High}, Source: &event.Endpoint{IP: "203.0.113.7"},
	}
}

func (r *rig) publish(from, to int) {
	r.Helper()
	var recs []event.Record
	for n := from; n <= to; n++ {
		recs = append(recs, alert(n))
	}
	require.NoError(r, r.alerts.Publish(r.Context(), recs...))
}

// rows returns the ids in a table, one for each row, and their number.
func (r *rig) rows(table string) (ids []string, n int) {
	r.Helper()
	out := r.server.Exec(r, "postgres", "SELECT id FROM ironpost."+table)
	if out == "" {
		return nil, 0
	}
	ids = strings.Split(out, "\n")
	return ids, len(ids)
}

func (r *rig) count(counter string) uint64 { return r.collector.Health().Counters[counter] }

func (r *rig) await(counter string, n uint64) {
	r.Helper()
	require.Eventually(r, func() bool { return r.count(counter) >= n }, patience, 5*time.Millisecond, "%s never reached %d: %v", counter, n, r.collector.Health())
}

// once fails if not each of alerts 1 to n is stored exactly once.
func (r *rig) once(n int) {
	r.Helper()
	ids, rows := r.rows("alerts")
	slices.Sort(ids)
	require.Equal(r, n, rows, "rows")
	require.Len(r, slices.Compact(ids), n, "alerts")
}

func (r *rig) settled() bool {
	for _, stream := range []bus.StreamName{bus.Alerts, bus.Actions} {
		d, ok := bus.SinkDurable(bus.ActionCollector, bus.SinkPostgreSQL, stream, r.bus.Host(), bus.InFlight{})
		require.True(r, ok)
		n, err := r.admin.Waiting(r.Context(), d)
		if err != nil || n > 0 {
			return false
		}
	}
	return true
}

func TestAlertsAndActionsAreStored(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.publish(1, 300)
	p, err := r.bus.Conn(bus.ContainerGuard).Publisher(bus.PublisherConfig{Stream: bus.Actions, Module: bus.ContainerGuard, Host: r.bus.Host()})
	require.NoError(t, err)
	require.NoError(t, p.Publish(t.Context(), &event.Action{
		ID: "action", Schema: event.Schema, TraceID: "trace", Time: began, Module: bus.ContainerGuard, Host: "testhost", AlertID: "alert-1",
		Policy: "p", Kind: "isolate", Target: "web", Phase: event.Done,
	}))
	r.start()
	r.await("postgres_alerts_stored", 300)
	r.await("postgres_actions_stored", 1)
	r.await("actions_audited", 1)
	r.once(300)
	require.Equal(t, "300", r.server.Exec(t, "postgres", "SELECT max(seq) FROM ironpost.alerts WHERE record->>'id' = id AND received_at > now() - interval '1 hour'"))
	require.Equal(t, event.Healthy, r.collector.Health().Status, r.collector.Health().Reasons)
	problems, err := testutil.GatherAndLint(r.metrics)
	require.NoError(t, err)
	require.Empty(t, problems)

	// Delivered again, as if no acknowledgement had arrived: no second row.
	r.stop()
	d, _ := bus.SinkDurable(bus.ActionCollector, bus.SinkPostgreSQL, bus.Alerts, r.bus.Host(), bus.InFlight{})
	_, err = r.bus.Raw(bus.Daemon).Request("$JS.API.CONSUMER.DELETE."+string(d.Stream)+"."+d.Name, nil, patience)
	require.NoError(t, err)
	r.bus.Provision()
	r.start()
	r.await("postgres_alerts_duplicate", 300)
	require.Zero(t, r.count("postgres_alerts_stored"))
	r.once(300)
}

// What PostgreSQL or the collector refuses becomes a dead letter and holds nothing up.
func TestRefusedRecordsAreDeadLettered(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	raw := r.bus.Raw(bus.LogPipeline)
	subject := bus.AlertSubject(bus.LogPipeline, r.bus.Host())
	data, err := event.Encode(alert(0))
	require.NoError(t, err)
	require.NoError(t, raw.Publish(subject, []byte(`{"id":"x"`)))
	require.NoError(t, raw.Publish(subject, []byte(`{"later": 1e999999, `+string(data[1:]))))
	require.NoError(t, raw.Flush())
	r.publish(1, 50)
	r.start()
	r.await("postgres_alerts_stored", 50)
	r.await("postgres_alerts_rejected", 2)
	r.once(50)
	var reasons []string
	require.Eventually(t, func() bool {
		reasons = nil
		err := r.bus.Admin().History(t.Context(), bus.DLQ, bus.HistoryOptions{}, func(d bus.Delivery) bool {
			reasons = append(reasons, d.Header[bus.HeaderDLQReason]...)
			return true
		})
		return err == nil && len(reasons) == 2
	}, patience, 10*time.Millisecond)
	require.Contains(t, strings.Join(reasons, "\n"), "PostgreSQL is refusing the row: ERROR: value overflows numeric format (SQLSTATE 22003)")
}

// PostgreSQL is down at the start, goes, and is killed while alerts come; the collector is killed too. Every
// alert is stored once, and meanwhile the health says what waits.
func TestNothingIsLostOrDoubledOverKills(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.server.Stop(t)
	r.publish(1, 100)
	kill := r.start()
	require.Eventually(t, func() bool {
		h := r.collector.Health()
		return h.Status == event.Degraded && strings.Contains(strings.Join(h.Reasons, "\n"), "100 alerts and 0 actions in their streams wait")
	}, patience, 10*time.Millisecond, "%v", r.collector.Health())
	require.Contains(t, r.collector.Health().Reasons[0], "PostgreSQL is down: ")
	r.server.Start(t)
	r.await("postgres_alerts_stored", 100)
	require.Eventually(t, func() bool { return r.collector.Health().Status == event.Healthy }, patience, time.Millisecond)

	published := 100
	for round := range 3 {
		r.publish(published+1, published+500)
		published += 500
		if round == 1 {
			kill() // what it has in hand is neither acknowledged nor forgotten
			kill = r.start()
		}
		r.server.Kill(t)
		r.publish(published+1, published+100)
		published += 100
		r.server.Start(t)
	}
	require.Eventually(t, r.settled, 2*patience, 50*time.Millisecond)
	r.once(published)
	require.Equal(t, event.Healthy, r.collector.Health().Status, r.collector.Health().Reasons)
}

// Whatever is wrong with PostgreSQL, the health says what, and how much waits; when it is over all is stored once.
func TestEveryFaultIsToldAndNothingIsLost(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	roles, err := os.ReadFile("../../../deploy/postgresql/roles.sql")
	require.NoError(t, err)
	r.server.Exec(t, "postgres", string(roles)+"; ALTER ROLE ironpost_daemon PASSWORD 'x'; ALTER ROLE ironpost_migrate PASSWORD 'x'")
	owner, err := storage.Open(storage.Config{URL: r.server.UserURL("ironpost_migrate", "x", "postgres")})
	require.NoError(t, err)
	defer owner.Close()
	require.NoError(t, owner.Migrate(t.Context()))
	r.url = r.server.UserURL("ironpost_daemon", "x", "postgres") + "&lock_timeout=300"
	r.start()
	published := 0
	for _, fault := range []struct{ begin, end, reason string }{
		{"ALTER ROLE ironpost_daemon SET default_transaction_read_only = on", "ALTER ROLE ironpost_daemon RESET default_transaction_read_only", "PostgreSQL is read-only: "},
		{"ALTER ROLE ironpost_daemon PASSWORD 'y'", "ALTER ROLE ironpost_daemon PASSWORD 'x'", "PostgreSQL is refusing the daemon: "},
		{"ALTER ROLE ironpost_daemon NOLOGIN", "ALTER ROLE ironpost_daemon LOGIN", "PostgreSQL is refusing the daemon: "},
		{
			"REVOKE INSERT ON ironpost.alerts FROM ironpost_writer", "GRANT INSERT ON ironpost.alerts TO ironpost_writer",
			"PostgreSQL is refusing the daemon: ERROR: permission denied for table alerts",
		},
		{"ALTER ROLE ironpost_daemon CONNECTION LIMIT 0", "ALTER ROLE ironpost_daemon CONNECTION LIMIT -1", "PostgreSQL is full: "},
		{
			"ALTER TABLE ironpost.alerts RENAME TO away; DELETE FROM ironpost.schema_version WHERE version_id > 1",
			"ALTER TABLE ironpost.away RENAME TO alerts; INSERT INTO ironpost.schema_version (version_id, is_applied) SELECT v, true FROM generate_series(2, " +
				fmt.Sprint(storage.SchemaVersion()) + ") v",
			fmt.Sprintf("PostgreSQL is not set up for this version: its tables have version 1, this program needs %d, and this role may not change them", storage.SchemaVersion()),
		},
	} {
		r.server.Exec(t, "postgres", fault.begin+"; SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'ironpost_daemon'")
		r.publish(published+1, published+20)
		published += 20
		r.awaitReason(fault.reason, "20 alerts and 0 actions in their streams wait")
		r.server.Exec(t, "postgres", fault.end)
		r.await("postgres_alerts_stored", uint64(published))
	}

	lock, err := pgx.Connect(t.Context(), r.server.URL("postgres"))
	require.NoError(t, err)
	_, err = lock.Exec(t.Context(), "BEGIN; LOCK ironpost.alerts")
	require.NoError(t, err)
	r.publish(published+1, published+20)
	published += 20
	r.awaitReason("PostgreSQL is slow: ERROR: canceling statement due to lock timeout", "20 alerts and 0 actions in their streams wait")
	require.NoError(t, lock.Close(t.Context()))
	r.await("postgres_alerts_stored", uint64(published))
	r.once(published)
	require.Eventually(t, func() bool { return r.collector.Health().Status == event.Healthy }, patience, 10*time.Millisecond)
	require.Zero(t, r.count("postgres_alerts_rejected"))
}

// awaitReason waits until one reason of the module has all parts.
func (r *rig) awaitReason(parts ...string) {
	r.Helper()
	require.Eventually(r, func() bool {
		return r.collector.Health().Status == event.Degraded && slices.ContainsFunc(r.collector.Health().Reasons, func(reason string) bool {
			return !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(reason, part) })
		})
	}, patience, 10*time.Millisecond, "%v is not in %v", parts, r.collector.Health())
}

// Where the bus does not know that PostgreSQL is configured, the health says what to do.
func TestMissingDurablesAreTold(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.bus = bustest.New(t)
	r.start()
	require.Eventually(t, func() bool {
		return strings.Contains(strings.Join(r.collector.Health().Reasons, "\n"),
			"the bus has no durable action-collector-postgres-alerts_testhost and no action-collector-postgres-actions_testhost: set log_pipeline.storage.postgres_url")
	}, patience, 10*time.Millisecond, "%v", r.collector.Health())
}

// The stop does not wait for a PostgreSQL that is down.
func TestStopWhileDownIsPrompt(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.server.Stop(t)
	r.publish(1, 10)
	r.start()
	r.await("postgres_failures", 2)
	stopping := time.Now()
	r.stop()
	require.Less(t, time.Since(stopping), 5*time.Second)
}

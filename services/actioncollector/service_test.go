package actioncollector_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/sirupsen/logrus"
	logtest "github.com/sirupsen/logrus/hooks/test"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/bus/bustest"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/services/actioncollector"
	"github.com/ironpost/ironpost/services/actioncollector/audit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 30 * time.Second

func action(n int) *event.Action {
	return &event.Action{
		ID: fmt.Sprintf("action-%d", n), Schema: event.Schema, TraceID: "trace", Time: time.Now().UTC(),
		Module: bus.ContainerGuard, Host: "testhost", AlertID: "alert", Policy: "p", Kind: "isolate",
		Target: "web \x1b[31m", Phase: event.Done, Reason: "because",
	}
}

func publish(t *testing.T, b *bustest.Bus, from, to int) {
	t.Helper()
	p, err := b.Conn(bus.ContainerGuard).Publisher(bus.PublisherConfig{Stream: bus.Actions, Module: bus.ContainerGuard, Host: b.Host()})
	require.NoError(t, err)
	recs := make([]event.Record, 0, to-from+1)
	for n := from; n <= to; n++ {
		recs = append(recs, action(n))
	}
	require.NoError(t, p.Publish(t.Context(), recs...))
}

// running is a collector whose Run was called.
type running struct {
	*actioncollector.Service
	t    *testing.T
	stop context.CancelFunc
	done chan error
	conn *bus.Conn
}

func start(t *testing.T, b *bustest.Bus, dir string, change ...func(*actioncollector.Deps)) *running {
	t.Helper()
	deps := actioncollector.Deps{Bus: b.Conn(bus.ActionCollector), Host: b.Host(), Log: silent(), Metrics: prometheus.NewRegistry()}
	for _, c := range change {
		c(&deps)
	}
	s, err := actioncollector.New(actioncollector.Config{Enabled: true, AuditPath: dir}, deps)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	r := &running{Service: s, t: t, stop: cancel, done: make(chan error, 1), conn: deps.Bus}
	go func() { r.done <- s.Run(ctx) }()
	t.Cleanup(r.end)
	return r
}

// end stops the collector as the daemon does.
func (r *running) end() {
	r.t.Helper()
	if r.stop == nil {
		return
	}
	r.stop()
	r.stop = nil
	select {
	case err := <-r.done:
		require.NoError(r.t, err)
	case <-time.After(patience):
		r.t.Fatal("the collector does not stop")
	}
}

// kill closes the connection first, so that delivered actions stay unacknowledged.
func (r *running) kill() {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = r.conn.Close(ctx)
	r.stop()
	r.t.Logf("killed: %v", <-r.done)
	r.stop = nil
}

func (r *running) waitFor(counter string, n uint64) {
	r.t.Helper()
	require.Eventually(r.t, func() bool { return r.Health().Counters[counter] >= n }, patience, time.Millisecond,
		"%s never reached %d: %v", counter, n, r.Health())
}

// audited returns a collector that has audited n actions, its bus and its folder.
func audited(t *testing.T, n int) (*bustest.Bus, string, *running) {
	t.Helper()
	b, dir := bustest.New(t), t.TempDir()
	publish(t, b, 1, n)
	c := start(t, b, dir)
	c.waitFor("actions_audited", uint64(n))
	return b, dir, c
}

func silent() *logrus.Logger {
	log := logrus.New()
	log.SetOutput(io.Discard)
	return log
}

// storedHead reads the head from the bucket, as the operator's command does.
func storedHead(t *testing.T, b *bustest.Bus) audit.Head {
	t.Helper()
	head, err := actioncollector.StoredHead(t.Context(), operator(t, b), b.Host())
	require.NoError(t, err)
	return head
}

func operator(t *testing.T, b *bustest.Bus) *bus.Conn {
	t.Helper()
	conn, err := bus.DialSocket(t.Context(), b.Socket())
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func intact(t *testing.T, dir string, head audit.Head) audit.Report {
	t.Helper()
	r, err := audit.Verify(t.Context(), dir, &head)
	require.NoError(t, err)
	require.True(t, r.Intact, r.Problems)
	return r
}

func TestActionsAreAudited(t *testing.T) {
	b := bustest.New(t)
	dir := filepath.Join(t.TempDir(), "chosen")
	publish(t, b, 1, 3)
	registry := prometheus.NewRegistry()
	c := start(t, b, dir, func(d *actioncollector.Deps) { d.Metrics = registry })
	c.waitFor("actions_audited", 3)
	require.Equal(t, event.Healthy, c.Health().Status)
	c.end()
	report := intact(t, dir, storedHead(t, b))
	require.EqualValues(t, 3, report.Records)
	require.EqualValues(t, 3, report.Last.Seq)
	require.Equal(t, report.Last, storedHead(t, b), "the head is stored before the collector has stopped")
	problems, err := testutil.GatherAndLint(registry)
	require.NoError(t, err)
	require.Empty(t, problems)
}

func TestAuditPathDefaultsToTheDataFolder(t *testing.T) {
	b := bustest.New(t)
	data := t.TempDir()
	publish(t, b, 1, 1)
	c := start(t, b, "", func(d *actioncollector.Deps) { d.DataDir = data })
	c.waitFor("actions_audited", 1)
	require.FileExists(t, filepath.Join(data, "audit", "audit.log"))
}

func TestActionsAreAuditedOnceDespiteKills(t *testing.T) {
	b := bustest.New(t)
	dir := t.TempDir()
	const actions, kills = 1000, 10
	publish(t, b, 1, actions)
	for i := range kills {
		c := start(t, b, dir)
		c.waitFor("trail_head", uint64((i+1)*actions/(kills+1)))
		c.kill()
		redeliverAll(t, b) // as if no acknowledgement had arrived
	}
	c := start(t, b, dir)
	require.Eventually(t, func() bool {
		n := c.Health().Counters
		return n["actions_audited"]+n["actions_duplicate"] == actions
	}, patience, time.Millisecond)
	c.end()
	report := intact(t, dir, storedHead(t, b))
	require.EqualValues(t, actions, report.Records)
	ids := auditedIDs(t, dir)
	require.Len(t, ids, actions)
	for n := 1; n <= actions; n++ {
		require.Equal(t, 1, ids[fmt.Sprintf("action-%d", n)])
	}
}

func TestRedeliveredActionIsAuditedOnce(t *testing.T) {
	b, dir, c := audited(t, 5)
	c.end()
	redeliverAll(t, b)
	c = start(t, b, dir)
	c.waitFor("actions_duplicate", 5)
	publish(t, b, 6, 6)
	c.waitFor("actions_audited", 1)
	c.end()
	require.EqualValues(t, 6, intact(t, dir, storedHead(t, b)).Records)
}

func TestInvalidMessageIsDeadLettered(t *testing.T) {
	b := bustest.New(t)
	c := start(t, b, t.TempDir())
	raw := b.Raw(bus.ContainerGuard)
	require.NoError(t, raw.Publish(bus.ActionSubject(bus.ContainerGuard, b.Host()), []byte(`{"id":"x"`)))
	require.NoError(t, raw.Flush())
	c.waitFor("actions_rejected", 1)
	reader := operator(t, b)
	require.Eventually(t, func() bool {
		n := 0
		err := reader.History(t.Context(), bus.DLQ, bus.HistoryOptions{}, func(bus.Delivery) bool { n++; return true })
		return err == nil && n == 1
	}, patience, 10*time.Millisecond)
	publish(t, b, 1, 1)
	c.waitFor("actions_audited", 1)
}

// A record must name the host and the module that the server saw it come from.
func TestActionOfAnotherOriginIsDeadLettered(t *testing.T) {
	b := bustest.New(t)
	dir := t.TempDir()
	c := start(t, b, dir)
	p, err := b.Conn(bus.ContainerGuard).Publisher(bus.PublisherConfig{Stream: bus.Actions, Module: bus.ContainerGuard, Host: b.Host()})
	require.NoError(t, err)
	elsewhere, other, own := action(1), action(2), action(3)
	elsewhere.Host, other.Module = "victim", bus.EBPFEngine
	require.NoError(t, p.Publish(t.Context(), elsewhere, other, own))
	c.waitFor("actions_rejected", 2)
	c.waitFor("actions_audited", 1)
	c.end()
	require.Equal(t, map[string]int{"action-3": 1}, auditedIDs(t, dir))
}

func TestCutTrailIsDeclaredAtStart(t *testing.T) {
	b, dir, c := audited(t, 3)
	c.end()
	require.NoError(t, os.Truncate(filepath.Join(dir, "audit.log"), 0))

	log, hook := logtest.NewNullLogger()
	publish(t, b, 4, 4)
	c = start(t, b, dir, func(d *actioncollector.Deps) { d.Log = log })
	c.waitFor("actions_audited", 1)
	health := c.Health()
	require.Equal(t, event.Degraded, health.Status)
	require.Contains(t, health.Reasons[0], "records 1 to 3 missing at the end")
	require.Contains(t, messages(hook), "audit trail broken")
	c.end()
	report, err := audit.Verify(t.Context(), dir, nil)
	require.NoError(t, err)
	require.False(t, report.Intact)
	require.EqualValues(t, 5, report.Last.Seq, "three lost, the break record, one action")

	c = start(t, b, dir)
	require.Eventually(t, func() bool { return strings.Contains(strings.Join(c.Health().Reasons, "\n"), "found broken") },
		patience, time.Millisecond, "it is reported after a restart, too")
}

// An acceptance holds until a byte of what was accepted changes.
func TestAcceptedBreakStaysAccepted(t *testing.T) {
	b, dir, c := audited(t, 3)
	ctx, accept := t.Context(), actioncollector.Accept{Reason: "disk replaced"}
	_, err := actioncollector.AcceptBreak(ctx, operator(t, b), b.Host(), accept)
	require.ErrorContains(t, err, "the audit trail is intact")

	tamper(t, filepath.Join(dir, "audit.log"), 1)
	_, err = actioncollector.AcceptBreak(ctx, operator(t, b), b.Host(), actioncollector.Accept{Reason: " "})
	require.ErrorContains(t, err, "say why it is accepted")
	done, err := actioncollector.AcceptBreak(ctx, operator(t, b), b.Host(), accept)
	require.NoError(t, err)
	require.Equal(t, "disk replaced", done.Reason)
	require.EqualValues(t, 5, done.Seq, "three actions, the break, the acceptance")
	require.Equal(t, event.Healthy, c.Health().Status, c.Health().Reasons)
	publish(t, b, 4, 4)
	c.waitFor("actions_audited", 4)
	c.end()
	report := intact(t, dir, storedHead(t, b))
	require.Len(t, report.Accepted, 1)
	require.Equal(t, 2, report.Accepted[0].Problems, "the change and the break record")
	require.Equal(t, bus.OperatorName(bus.OperatorToken(os.Getuid(), b.Host()), b.Host()), report.Accepted[0].By, "the bus says who, not the request")

	c = start(t, b, dir)
	publish(t, b, 5, 5)
	c.waitFor("actions_audited", 1)
	require.Equal(t, event.Healthy, c.Health().Status, "it stays accepted after a restart")
	c.end()

	closed, err := filepath.Glob(filepath.Join(dir, "audit-*.log"))
	require.NoError(t, err)
	require.Len(t, closed, 1)
	tamper(t, closed[0], 2) // again, elsewhere in what was accepted
	report, err = audit.Verify(t.Context(), dir, nil)
	require.NoError(t, err)
	require.False(t, report.Intact)
	require.Empty(t, report.Accepted)
	require.Equal(t, audit.Disputed, report.Problems[len(report.Problems)-1].Fault)
}

// tamper changes a byte in the middle of a line, counted from 0.
func tamper(t *testing.T, path string, line int) {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	lines := bytes.SplitAfter(text, []byte("\n"))
	lines[line][len(lines[line])/2] ^= 1
	require.NoError(t, os.WriteFile(path, bytes.Join(lines, nil), 0o600))
}

func TestDamageWhileRunningIsDeclared(t *testing.T) {
	b, dir, c := audited(t, 2)
	require.NoError(t, os.Remove(filepath.Join(dir, "audit.log")))
	publish(t, b, 3, 3)
	c.waitFor("actions_audited", 3)
	require.Equal(t, event.Degraded, c.Health().Status)
	require.EqualValues(t, 1, c.Health().Counters["trail_breaks"])
}

func TestOpeningTheTrailIsRetried(t *testing.T) {
	b := bustest.New(t)
	dir := filepath.Join(t.TempDir(), "audit")
	require.NoError(t, os.WriteFile(dir, nil, 0o600)) // a file where the folder should be
	publish(t, b, 1, 2)
	c := start(t, b, dir)
	require.Eventually(t, func() bool { return c.Health().Status == event.Degraded }, patience, time.Millisecond)
	require.NoError(t, os.Remove(dir))
	c.waitFor("actions_audited", 2)
	require.Equal(t, event.Healthy, c.Health().Status, c.Health().Reasons)
}

// Opening does not read closed segments; the check after the start does, and declares what it finds.
func TestChangedClosedSegmentIsDeclaredAfterTheStart(t *testing.T) {
	b, dir := bustest.New(t), t.TempDir()
	trail, err := audit.Open(t.Context(), audit.Config{Dir: dir, SegmentSize: 2000})
	require.NoError(t, err)
	for n := range 30 {
		_, err := trail.Append(audit.Entry{ID: fmt.Sprint("old-", n), StreamSeq: uint64(n + 1), Action: []byte(`{"id":"x"}`)})
		require.NoError(t, err)
	}
	require.NoError(t, trail.Close())
	closed, err := filepath.Glob(filepath.Join(dir, "audit-*.log"))
	require.NoError(t, err)
	require.NotEmpty(t, closed)
	tamper(t, closed[0], 1)

	c := start(t, b, dir)
	c.waitFor("trail_breaks", 1)
	require.Eventually(t, func() bool { return c.Health().Status == event.Degraded }, patience, time.Millisecond)
	require.Contains(t, c.Health().Reasons[0], "the audit trail was broken at "+filepath.Base(closed[0])+":2")
	publish(t, b, 1, 1)
	c.waitFor("actions_audited", 1)
}

func TestActionTextIsLoggedInFieldsOnly(t *testing.T) {
	b := bustest.New(t)
	log, hook := logtest.NewNullLogger()
	c := start(t, b, t.TempDir(), func(d *actioncollector.Deps) { d.Log = log })
	publish(t, b, 1, 1)
	c.waitFor("actions_audited", 1)
	c.end()
	for _, e := range hook.AllEntries() {
		require.NotContains(t, e.Message, "web")
		if e.Message == "action audited" {
			require.Equal(t, "web \x1b[31m", e.Data["target"])
			require.EqualValues(t, 1, e.Data["audit_seq"])
			return
		}
	}
	t.Fatal("the action was not logged")
}

func TestAuditingContinuesAfterABusRestart(t *testing.T) {
	b := bustest.New(t)
	dir := t.TempDir()
	c := start(t, b, dir)
	publish(t, b, 1, 10)
	c.waitFor("actions_audited", 10)
	b.Restart()
	publish(t, b, 11, 20)
	require.Eventually(t, func() bool { return c.Health().Counters["trail_head"] == 20 }, patience, time.Millisecond)
	c.end()
	require.EqualValues(t, 20, intact(t, dir, storedHead(t, b)).Records)
}

func messages(hook *logtest.Hook) []string {
	var out []string
	for _, e := range hook.AllEntries() {
		out = append(out, e.Message)
	}
	return out
}

// redeliverAll creates the durable again, so that everything is delivered again.
func redeliverAll(t *testing.T, b *bustest.Bus) {
	t.Helper()
	durable, _ := bus.DurableOf(bus.ActionCollector, bus.Actions, b.Host(), bus.InFlight{})
	_, err := b.Raw(bus.Daemon).Request("$JS.API.CONSUMER.DELETE."+string(durable.Stream)+"."+durable.Name, nil, patience)
	require.NoError(t, err)
	b.Provision()
}

// auditedIDs counts the records of each action.
func auditedIDs(t *testing.T, dir string) map[string]int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "audit.log"))
	require.NoError(t, err)
	ids := make(map[string]int)
	for line := range bytes.Lines(text) {
		var record struct{ Action event.Action }
		require.NoError(t, json.Unmarshal(line, &record))
		ids[record.Action.ID]++
	}
	return ids
}

package suite

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	logtest "github.com/sirupsen/logrus/hooks/test"
	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/bus/bustest"
	"github.com/ironpost/ironpost/event"
)

// A durable that was deleted is made again, and its module's health names it.
func TestDeletedDurableIsRestoredAndReported(t *testing.T) {
	t.Parallel()
	const patience = 30 * time.Second
	b := bustest.New(t)
	log, _ := logtest.NewNullLogger()
	c := newStreamMaintenance(&connections{admin: b.Admin(), own: b.Durables(), durables: b.Durables()}, log)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.run(ctx) }()

	durable, ok := bus.DurableOf(bus.ActionCollector, bus.Actions, b.Host(), bus.InFlight{})
	require.True(t, ok)
	subject := string(durable.Stream) + "." + durable.Name
	admin := b.Raw(bus.Daemon)
	_, err := admin.Request("$JS.API.CONSUMER.DELETE."+subject, nil, patience)
	require.NoError(t, err)
	require.Eventually(t, func() bool { // that it is missing comes first
		return strings.Contains(strings.Join(c.reasons()[bus.ActionCollector], "; "), "was deleted at ")
	}, patience, 10*time.Millisecond)
	require.Empty(t, c.reasons()[bus.ContainerGuard])
	states, err := b.Admin().StreamStates(t.Context(), b.Durables())
	require.NoError(t, err)
	for _, s := range states {
		for _, d := range s.Durables {
			require.True(t, d.Present, d.Name)
		}
	}
	cancel()
	require.NoError(t, <-done)
}

// The guard's durable starts with new alerts: if it was deleted while the daemon was stopped, the
// health says that alerts were skipped. The first start of the guard skips them without a reason.
func TestAlertsSkippedAfterADeletionAreReported(t *testing.T) {
	t.Parallel()
	const patience = 30 * time.Second
	b := bustest.New(t)
	p, err := b.Conn(bus.LogPipeline).Publisher(bus.PublisherConfig{Stream: bus.Alerts, Module: bus.LogPipeline, Host: b.Host()})
	require.NoError(t, err)
	now := time.Now().UTC()
	require.NoError(t, p.Publish(t.Context(), &event.Alert{
		ID: "one", Schema: event.Schema, TraceID: "0123456789abcdef0123456789abcdef", Time: now, FirstSeen: now, LastSeen: now, Count: 1,
		Module: bus.LogPipeline, Host: b.Host(), Severity: event.High, Rule: event.Rule{ID: "rule-1", Title: "brute force", Level: event.High},
		Title: "brute force", DedupKey: "rule-1/192.0.2.7",
	}))
	_, err = b.Raw(bus.Daemon).Request("$JS.API.CONSUMER.DELETE.IRONPOST_ALERTS.container-guard_"+b.Host(), nil, patience)
	require.NoError(t, err)
	c, dir := &connections{admin: b.Admin(), own: b.Durables()}, t.TempDir()
	require.NoError(t, c.admin.Provision(t.Context(), b.Limits(), c.own))
	require.Empty(t, c.deletedDurables(dir))
	require.NoError(t, os.Mkdir(filepath.Join(dir, bus.ContainerGuard), 0o700))
	c.skipping = c.deletedDurables(dir)
	reasons := newStreamMaintenance(c, nil).reasons()
	require.Len(t, reasons, 1)
	require.Contains(t, strings.Join(reasons[bus.ContainerGuard], "; "), "what was stored in between is not handled")
}

// What another host's durable does to the streams is reported for the bus, not for a
// module of this host.
func TestBusFaultIsReportedAsBus(t *testing.T) {
	t.Parallel()
	c := newStreamMaintenance(&connections{}, nil)
	c.record(bus.MaintenanceReport{Reasons: map[string][]string{bus.Daemon: {"full"}, bus.ContainerGuard: {"behind"}}})
	require.Equal(t, map[string][]string{busName: {"full"}, bus.ContainerGuard: {"behind"}}, c.reasons())
}

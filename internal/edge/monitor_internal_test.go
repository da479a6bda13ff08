package edge

import (
	"context"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/bus/bustest"
	"github.com/ironpost/ironpost/event"
)

// An edge is reported when it has been silent for ten seconds, with the time of its last answer; one that never answered with
// the start of the daemon.
func TestSilentEdges(t *testing.T) {
	t.Parallel()
	hosts := []string{"branch-1", "branch-2"}
	m := NewMonitor(nil, func() []string { return hosts })
	m.since = time.Now().Add(-time.Hour)
	began := time.Now()
	require.False(t, m.Enforcing(), "a key enforces nothing")
	m.answered("branch-1", event.DaemonHealth{Modules: []event.ModuleHealth{{Name: bus.EBPFEngine}, {Name: bus.LogPipeline, Enabled: true}}}, began)
	require.False(t, m.Enforcing(), "it has no packet engine")
	m.answered("branch-1", event.DaemonHealth{Modules: []event.ModuleHealth{{Name: bus.EBPFEngine, Enabled: true, Status: event.Degraded}}}, began)
	require.True(t, m.Enforcing())
	require.Empty(t, m.silence("branch-1", began.Add(silentAfter)))
	require.Equal(t, began.UTC().Format(time.RFC3339), m.silence("branch-1", began.Add(silentAfter+pollWait)))
	require.Equal(t, map[string]bool{"branch-1": true, "branch-2": false}, m.Connected())
	m.answered("branch-1", event.DaemonHealth{Modules: []event.ModuleHealth{{Name: bus.EBPFEngine, Enabled: true}}}, time.Now().Add(-time.Minute))
	require.False(t, m.Enforcing(), "it is silent")
	m.answered("branch-1", event.DaemonHealth{}, began)
	reasons := m.Reasons()
	require.Len(t, reasons, 1)
	require.Contains(t, reasons[0], "the edge branch-2 has not answered since this daemon started at "+m.since.UTC().Format(time.RFC3339))
}

// Another key cannot answer for an edge, whatever it says it is.
func TestNobodyAnswersForAnEdge(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	serve := func(module, host string) {
		stop, err := b.Conn(module).Serve(context.WithoutCancel(t.Context()), bus.ServiceConfig{
			Module: bus.Daemon, Host: host, Version: "v1",
			Verbs: map[string]bus.Verb{"status": func(context.Context, []byte) (any, error) { return nil, nil }},
		})
		require.NoError(t, err)
		t.Cleanup(stop)
	}
	serve(bus.SBOMScanner, "branch-1")
	serve(bus.Daemon, b.Host())
	hosts := []string{"branch-1", b.Host()}
	m := NewMonitor(b.Conn(bus.Daemon), func() []string { return hosts })
	found, err := b.Conn(bus.Daemon).Discover(t.Context(), time.Second)
	require.NoError(t, err)
	require.Len(t, found, 2, "a ping is answered by whoever likes to")
	require.NoError(t, m.poll(t.Context(), hosts))
	require.Equal(t, []string{b.Host()}, slices.Collect(maps.Keys(m.seen)))
}

package edge

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
)

// An edge is reported when it has been silent for ten seconds, with the time of its last answer; one that never answered with
// the start of the daemon. What else is on the bus is no edge.
func TestSilentEdges(t *testing.T) {
	t.Parallel()
	hosts := []string{"branch-1", "branch-2"}
	m := NewMonitor(nil, func() []string { return hosts })
	m.since = time.Now().Add(-time.Hour)
	began := time.Now()
	m.record(hosts, []bus.ServiceStatus{
		{Module: bus.Daemon, Host: "branch-1"}, {Module: bus.LogPipeline, Host: "branch-2"}, {Module: bus.Daemon, Host: "hub-1"},
	}, began)
	require.Empty(t, m.silence("branch-1", began.Add(silentAfter)))
	require.Equal(t, began.UTC().Format(time.RFC3339), m.silence("branch-1", began.Add(silentAfter+pollWait)))
	require.Equal(t, map[string]bool{"branch-1": true, "branch-2": false}, m.Connected())
	reasons := m.Reasons()
	require.Len(t, reasons, 1)
	require.Contains(t, reasons[0], "the edge branch-2 has not answered since this daemon started at "+m.since.UTC().Format(time.RFC3339))
	require.Len(t, m.seen, 1)
}

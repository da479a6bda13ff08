package logpipeline

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/services/logpipeline/series"
	"github.com/ironpost/ironpost/sigma"
)

// Groups that correlations drop are a reason that names the correlation, also of rules that were loaded again.
func TestDroppedGroupsAreAReason(t *testing.T) {
	t.Parallel()
	var c counters
	stats := func(groups, first, second uint64) {
		c.setStats(series.Stats{}, sigma.CorrelatorStats{EvictedGroups: groups, Evicted: map[string]uint64{"first": first, "second": second}})
	}
	reason := func() string { return c.evictions.Reason("dropped", time.Now()) }
	stats(0, 0, 7)
	require.Empty(t, reason(), "events of a group beyond its limit alone")
	stats(5, 5, 8)
	require.Contains(t, reason(), "groups and events 6; the most, 5, of first")
	stats(1, 0, 1)
	require.Contains(t, reason(), "groups and events 7; the most, 5, of first")
}

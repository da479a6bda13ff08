package health_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/internal/health"
)

func TestLossesOfCountersAreAReasonForTenMinutes(t *testing.T) {
	t.Parallel()
	var c health.CounterLosses
	now := time.Date(2026, 11, 30, 22, 0, 0, 0, time.UTC)
	require.Empty(t, c.Observe(map[string]uint64{"lines": 7, "ring_lost": 0, "tcp_closed_idle": 4}, now))
	require.Equal(t, "5 losses were counted since 2026-11-30T22:00:00Z: dead_lettered 2, ring_lost 3",
		c.Observe(map[string]uint64{"ring_lost": 3, "ring_lost:eth0": 3, "dead_lettered": 2, "syslog_dropped_peer": 9}, now))
	require.NotEmpty(t, c.Observe(nil, now.Add(9*time.Minute)), "while the module does not answer")
	require.Empty(t, c.Observe(map[string]uint64{"ring_lost": 3, "dead_lettered": 2}, now.Add(10*time.Minute)))
	require.Contains(t, c.Observe(map[string]uint64{"ring_lost": 1}, now.Add(time.Hour)), "1 losses", "counters began again")
}

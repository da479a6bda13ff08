//go:build accept

package e2e_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// An idle daemon with the packet engine on takes at most 1 % of a core and 60 MB.
func TestEngineIdle(t *testing.T) {
	const (
		share   = 0.01
		settled = 20 * time.Second // what the start takes is spent by then
		watched = 90 * time.Second
	)
	l := newLab(t)
	s := urgentInstance(t, l)
	s.waitUntilPublishing()
	s.most(settled)
	cpu, began := s.cpu(), time.Now()
	most := s.most(watched)
	used := float64(s.cpu()-cpu) / float64(time.Since(began))
	t.Logf("idle with the engine on: %.2f %% of a core (bar %.0f %%), resident at most %v (bar %.0f MB), over %v",
		100*used, 100*share, most, float64(memory)/1e6, watched)
	require.LessOrEqual(t, used, share)
	require.LessOrEqual(t, most.total(), int64(memory))
}

// most returns the most resident memory of the daemon in a period.
func (s *instance) most(period time.Duration) (most resident) {
	s.t.Helper()
	for began := time.Now(); time.Since(began) < period; time.Sleep(500 * time.Millisecond) {
		most = larger(most, s.resident())
	}
	return most
}

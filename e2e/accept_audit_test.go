//go:build accept

package e2e_test

import (
	"encoding/json"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
)

// A module on another machine publishes 1,000 actions while the daemon is killed at least
// 10 times: each action is audited once, and the chain verifies.
func TestAcceptActionsAreAuditedOnceOverKills(t *testing.T) {
	const actions = 1000
	s := newInstance(t)
	remote := s.listen(remoteGuard)
	s.start()
	g := remote.newActionPublisher()
	done := make(chan error, 1)
	go func() { done <- g.publish(t.Context(), actions, 5*time.Millisecond) }()
	times := 0
	for published := false; !published; {
		select {
		case err := <-done:
			require.NoError(t, err)
			published = true
		case <-time.After(time.Duration(50+rand.IntN(400)) * time.Millisecond):
			s.kill()
			s.start()
			times++
		}
	}
	s.eventually(func() bool { return s.counter(bus.ActionCollector, "trail_head") >= actions })
	stats := g.actions.Stats()
	t.Logf("%d kills (bar 10); the publisher sent %d again, %d of them were stored already", times, stats.Retries, stats.Duplicates)
	require.GreaterOrEqual(t, times, 10)
	s.requireAuditedOnce(actions)
	s.requireIntactTrail()
}

// SIGTERM comes while lines are appended and actions published. Actions stored before it
// are audited when the daemon has exited, the log shows the stop order, and no later line
// or action is lost.
func TestAcceptStopUnderLoadLosesNothing(t *testing.T) {
	const rounds, plenty = 5, 1_000_000
	s := newInstance(t)
	remote := s.listen(remoteGuard)
	s.start()
	g := remote.newActionPublisher()
	done := make(chan error, 1)
	go func() { done <- g.publish(t.Context(), plenty, 5*time.Millisecond) }()
	w := s.startLoad(2 * time.Millisecond)
	var slowest time.Duration
	for range rounds {
		time.Sleep(time.Duration(500+rand.IntN(1000)) * time.Millisecond)
		before, logged := g.storedCount(), len(s.log.String())
		began := time.Now()
		require.Zero(t, s.stop(syscall.SIGTERM))
		slowest = max(slowest, time.Since(began))
		require.Equal(t, []string{bus.LogPipeline, bus.ActionCollector}, stopOrder(s.log.String()[logged:]), "producers first")
		s.requireAuditedOnce(before)
		s.start()
	}
	t.Logf("%d stops under load: slowest %v (bar 20s)", rounds, slowest)
	require.Less(t, slowest, 20*time.Second)
	w.stop()
	g.stopped.Store(true)
	require.NoError(t, <-done)
	actions := g.storedCount()
	s.waitForLastAlert(w)
	s.requireEveryLineOnce(w, nil)
	s.eventually(func() bool { return s.counter(bus.ActionCollector, "trail_head") >= uint64(actions) })
	s.requireAuditedOnce(actions)
	s.requireIntactTrail()
}

// stopOrder returns the modules in the order in which they stopped according to log.
func stopOrder(log string) []string {
	var order []string
	for line := range strings.Lines(log) {
		var e struct{ Msg, Module string }
		if json.Unmarshal([]byte(line), &e) == nil && e.Msg == "module stopped" {
			order = append(order, e.Module)
		}
	}
	return order
}

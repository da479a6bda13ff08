//go:build accept && linux

package e2e_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
)

// lines appends lines about users of their own to the log of s, at most rate a second, until stop is called; it returns how many.
func (s *instance) lines(name string, rate int) (stop func() int) {
	s.t.Helper()
	done, n := make(chan struct{}), 0
	var wg sync.WaitGroup
	wg.Go(func() {
		ticker := time.NewTicker(100 * time.Millisecond)
		defer ticker.Stop()
		for {
			select {
			case <-done:
				return
			case <-ticker.C:
			}
			var text strings.Builder
			for range rate / 10 {
				text.WriteString(rootShell(fmt.Sprintf("%s-%d", name, n)))
				n++
			}
			s.append([]byte(text.String()))
		}
	})
	stopped := false
	stop = func() int {
		if !stopped {
			stopped = true
			close(done)
			wg.Wait()
		}
		return n
	}
	s.t.Cleanup(func() { stop() })
	return stop
}

// The link of an edge is cut for 1, 15 and 120 s under alerts. Each alert is on the hub once, in order, and catching up begins
// within 5 s.
func TestAcceptSpreadEdgeLinkCut(t *testing.T) {
	const (
		rate = 200 // lines per second, each an alert
		bar  = 5 * time.Second
	)
	l := newEdgeLab(t, 1)
	l.startAll()
	edge, total := l.edges[0], 0
	for _, cut := range []time.Duration{time.Second, 15 * time.Second, 120 * time.Second} {
		stop := edge.lines(cut.String(), rate)
		l.cut(edgeName(0))
		time.Sleep(cut) // this is what is measured
		first := l.hub.watchAlerts()
		healed := l.heal(edgeName(0))
		l.hub.eventually(func() bool { return first.Load() != 0 })
		late := time.Unix(0, first.Load()).Sub(healed)
		total += stop()
		waiting := edge.counter(bus.Forwarder, "unsent_alerts")
		l.requireSame(0, total, settleTime)
		t.Logf("link cut for %s under %d alerts/s: catching up began after %s (bar %s); all of %d on the hub %s after the link was back, %d of them still waiting when the load ended",
			cut, rate, late.Round(time.Millisecond), bar, total, time.Since(healed).Round(100*time.Millisecond), waiting)
		require.LessOrEqual(t, late, bar)
	}
}

// Both daemons are killed again and again under alerts.
func TestAcceptSpreadEdgeKilled(t *testing.T) {
	rate, kills := spreadRate(t), spreadKills(t)
	l := newEdgeLab(t, 1)
	l.startAll()
	edge := l.edges[0]
	stop := edge.lines("kill", rate)
	for n := range kills {
		s := l.hub
		if n%2 == 0 {
			s = edge
		}
		time.Sleep(time.Duration(300+137*n%700) * time.Millisecond) // of load
		s.kill()
		s.start()
	}
	total := stop()
	l.requireSame(0, total, settleTime)
	t.Logf("hub and edge killed %d times in turn under %d alerts/s: %d alerts", kills, rate, total)
}

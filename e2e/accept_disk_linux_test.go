//go:build accept

package e2e_test

import (
	"encoding/json"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/testenv"
)

// The disk of data_dir is full for a while. The daemon reports it, recovers by itself once
// there is space, and loses no accepted line or action.
func TestAcceptDiskFullAndFreed(t *testing.T) {
	const plenty = 1_000_000
	s := newInstance(t)
	disk := testenv.SmallDisk(t, "96m")
	require.NoError(t, os.Symlink(disk, s.path("data")))
	s.replace("[bus]", "[bus]\nmax_store_bytes = 67108864")
	remote := s.listen(remoteGuard)
	s.start()
	pid := s.daemon.Process.Pid
	g := remote.newActionPublisher()
	done := make(chan error, 1)
	go func() { done <- g.publish(t.Context(), plenty, 5*time.Millisecond) }()
	tcp, w := map[string]bool{}, s.startLoad(5*time.Millisecond) // fewer than 10,000 attacks at once, which would be a reason of their own
	s.eventually(func() bool { return g.storedCount() > 100 })

	ballast := testenv.FillDisk(t, disk, 128<<10)
	began := time.Now()
	s.eventually(func() bool { return s.unhealthyBecause("space") })
	t.Logf("disk full after %v, health says: %s", time.Since(began).Round(time.Millisecond), s.reasons())
	time.Sleep(10 * time.Second) // under load, without space to write
	s.addSpooledUsers(tcp)
	full := g.storedCount()

	require.NoError(t, os.Remove(ballast))
	freed := time.Now()
	s.eventually(func() bool { return g.storedCount() > full })
	t.Logf("freed: the next action was stored after %v (bar 30s)", time.Since(freed).Round(time.Millisecond))
	require.Less(t, time.Since(freed), 30*time.Second)
	g.stopped.Store(true)
	require.NoError(t, <-done)
	w.stop()
	s.waitForLastAlert(w)
	s.addSpooledUsers(tcp)
	s.requireEveryLineOnce(w, tcp)
	actions := g.storedCount()
	s.eventually(func() bool { return s.counter(bus.ActionCollector, "trail_head") >= uint64(actions) })
	s.requireAuditedOnce(actions)
	s.requireIntactTrail()
	s.eventually(func() bool { // the bus tells that nothing consumes the guard's durable
		return s.module(bus.LogPipeline).Status == event.Healthy && s.module(bus.ActionCollector).Status == event.Healthy && !s.unhealthyBecause("space")
	})
	require.Equal(t, pid, s.daemon.Process.Pid)
	t.Logf("the same process throughout, restarts of the server in place: %d", strings.Count(s.log.String(), "restarting the bus server in place"))
}

// health returns the reply of /healthz, empty if there is none.
func (s *instance) health() event.DaemonHealth {
	var h event.DaemonHealth
	resp, err := http.Get("http://" + s.metrics + "/healthz")
	if err != nil {
		return h
	}
	defer func() { _ = resp.Body.Close() }()
	_ = json.NewDecoder(resp.Body).Decode(&h) // an undecodable reply counts as none
	return h
}

func (s *instance) reasons() string {
	var all []string
	for _, m := range s.health().Modules {
		for _, r := range m.Reasons {
			if m.Enabled {
				all = append(all, m.Name+": "+r)
			}
		}
	}
	return strings.Join(all, "; ")
}

func (s *instance) unhealthyBecause(word string) bool {
	return s.health().Status != event.Healthy && strings.Contains(s.reasons(), word)
}

package actioncollector

import (
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/services/actioncollector/audit"
)

// A request in flight while the collector stops finds its head store closed; the trail, which the next
// collector needs, must stay closed as well.
func TestNothingIsAcceptedAfterTheStop(t *testing.T) {
	t.Parallel()
	s := &Service{heads: &headStore{next: make(chan audit.Head, 1)}}
	s.stop()
	_, err := s.accept(t.Context(), "mallory", "late")
	require.ErrorContains(t, err, "stopping")
	require.Nil(t, s.trail)
}

// Opening a trail may read gigabytes under the lock: health is answered meanwhile, and does not claim that
// the module is healthy.
func TestHealthIsAnsweredWhileTheTrailIsBeingOpened(t *testing.T) {
	t.Parallel()
	s, err := New(DefaultConfig(), Deps{Host: "h", DataDir: t.TempDir(), Log: logrus.New(), InFlight: bus.InFlight{}})
	require.NoError(t, err)
	s.mu.Lock()
	defer s.mu.Unlock()
	answer := make(chan event.ModuleHealth, 1)
	go func() { answer <- s.Health() }()
	select {
	case h := <-answer:
		require.Equal(t, event.Degraded, h.Status)
		require.Equal(t, []string{"starting"}, h.Reasons)
	case <-time.After(10 * time.Second):
		t.Fatal("health waits for the trail")
	}
}

package health_test

import (
	"strconv"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/health"
)

func TestModuleIsDegradedUntilItHasStarted(t *testing.T) {
	t.Parallel()
	r := health.New("guard", "h1")
	h := r.Report(nil)
	require.Equal(t, event.Degraded, h.Status)
	require.Equal(t, []string{"starting"}, h.Reasons)
	require.Equal(t, "guard", h.Name)
	require.Equal(t, "h1", h.Host)
	require.True(t, h.Enabled)

	r.Set("docker", "Docker is away")
	require.Equal(t, []string{"starting", "Docker is away"}, r.Report(nil).Reasons)
	select {
	case <-r.WhenStarted():
		require.Fail(t, "started before Started")
	default:
	}
	require.True(t, r.Started())
	require.False(t, r.Started())
	<-r.WhenStarted()
	require.Equal(t, []string{"Docker is away"}, r.Report(nil).Reasons)
	require.True(t, r.Clear("docker"))
	h = r.Report(map[string]uint64{"alerts": 3})
	require.Equal(t, event.Healthy, h.Status)
	require.Empty(t, h.Reasons)
	require.Equal(t, map[string]uint64{"alerts": 3}, h.Counters)
}

func TestOnlyChangesAreReported(t *testing.T) {
	t.Parallel()
	r := health.New("m", "h")
	r.Started()
	require.False(t, r.Clear("disk"))
	require.False(t, r.Set("disk", ""))
	require.True(t, r.Set("disk", "disk is full"))
	require.False(t, r.Set("disk", "disk is full"))
	require.True(t, r.Set("disk", "disk is read-only"))
	require.True(t, r.SetUnhealthy("disk", "disk is read-only"), "it got worse")
	require.Equal(t, event.Unhealthy, r.Report(nil).Status)
	require.True(t, r.Set("disk", ""))
	require.Equal(t, event.Healthy, r.Report(nil).Status)
}

func TestReasonsAreSortedByStatusThenTopic(t *testing.T) {
	t.Parallel()
	r := health.New("m", "h")
	r.Started()
	r.Remark("mode", "eth0 is watched in generic mode")
	require.Equal(t, event.Healthy, r.Report(nil).Status, "a remark degrades nothing")
	r.Set("b", "second")
	r.Set("a", "first")
	r.SetUnhealthy("z", "worst")
	more := append(health.Degraded("third"), health.Reason{Status: event.Healthy, Text: "another remark"})
	h := r.Report(nil, more...)
	require.Equal(t, event.Unhealthy, h.Status)
	require.Equal(t, []string{"worst", "first", "second", "third", "eth0 is watched in generic mode", "another remark"}, h.Reasons)
}

func TestSinceIsWhenTheStatusChanged(t *testing.T) {
	t.Parallel()
	r := health.New("m", "h")
	r.Started()
	r.Set("a", "one")
	degraded := r.Report(nil).Since
	r.Set("b", "two")
	r.Clear("a")
	require.Equal(t, degraded, r.Report(nil).Since, "it was degraded all the time")
	r.Clear("b")
	require.True(t, r.Report(nil).Since.After(degraded))
}

func TestReasonsMayBeUsedConcurrently(t *testing.T) {
	t.Parallel()
	r := health.New("m", "h")
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 100 {
				r.Set(strconv.Itoa(i), "reason")
				_ = r.Report(nil)
				r.Clear(strconv.Itoa(i))
			}
		})
	}
	r.Started()
	wg.Wait()
	require.Equal(t, event.Healthy, r.Report(nil).Status)
}

package quarantine_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/docker"
	"github.com/ironpost/ironpost/internal/testenv"
	"github.com/ironpost/ironpost/services/containerguard/quarantine"
)

func TestAnOrderThatWaitedIsCheckedAgain(t *testing.T) {
	t.Parallel()
	d := testenv.Dockerd(t)
	var known atomic.Bool
	var asked atomic.Int32
	var spared string
	g := newGuard(t, d, func(o *quarantine.Options) {
		o.Recheck = func(_ quarantine.Order, c docker.Container) (string, bool) {
			asked.Add(1)
			if !known.Load() {
				return "", false
			}
			if c.ID == spared {
				return "protected: for this test", true
			}
			return "", true
		}
	})
	g.run(t)
	at := d.Run(t, testenv.ContainerOptions{Restart: "always"})
	require.NoError(t, g.manager.Apply(t.Context(), g.order(at, quarantine.Pause)))
	require.Zero(t, asked.Load(), "who orders has just checked")
	held := d.Run(t, testenv.ContainerOptions{Restart: "always"})
	spared = d.Run(t, testenv.ContainerOptions{Restart: "always"})
	d.Stop(t)
	for _, id := range []string{spared, held} {
		require.NoError(t, g.manager.Apply(t.Context(), g.order(id, quarantine.Isolate)))
	}
	d.Start(t)
	require.Eventually(t, func() bool { return asked.Load() > 4 }, 20*time.Second, time.Millisecond)
	require.False(t, g.inspect(t, spared).Paused || g.inspect(t, held).Paused, "as long as it is not known")
	known.Store(true)
	require.Eventually(t, func() bool { return g.isolated(t, held) }, 10*time.Second, time.Millisecond)
	require.Eventually(t, func() bool { _, is := g.manager.Get(spared); return !is }, 10*time.Second, time.Millisecond)
	c := g.inspect(t, spared)
	require.True(t, c.Running && !c.Paused && len(c.Networks) == 1)
	require.Contains(t, g.skipped(spared), "not begun until the container engine was back: protected: for this test")
	require.Eventually(t, func() bool { c := g.inspect(t, at); return c.Paused || !c.Running }, 10*time.Second, time.Millisecond, "what was held is held again unasked")
}

// skipped returns why orders about a container were given up.
func (g *guard) skipped(id string) (why []string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, a := range g.actions {
		if a.Container.ID == id && a.Phase == event.Skipped {
			why = append(why, a.Error)
		}
	}
	return why
}

func TestAFurtherOrderThatIsGivenUpLeavesTheFirst(t *testing.T) {
	t.Parallel()
	d := testenv.Dockerd(t)
	g := newGuard(t, d, nil)
	g.run(t)
	id := d.Run(t, testenv.ContainerOptions{Restart: "always"})
	before := g.inspect(t, id)
	require.NoError(t, g.manager.Apply(t.Context(), g.order(id, quarantine.Pause)))
	d.Stop(t)
	further := g.order(id, quarantine.Isolate)
	further.Deadline = time.Now().Add(200 * time.Millisecond)
	require.NoError(t, g.manager.Apply(t.Context(), further))
	require.Eventually(t, func() bool { return len(g.skipped(id)) == 1 }, 10*time.Second, time.Millisecond)
	e, is := g.manager.Get(id)
	require.True(t, is, "the way back is kept")
	require.Equal(t, quarantine.Held, e.State)
	require.Equal(t, quarantine.Restrictions{Freeze: true}, e.Want)
	d.Start(t)
	require.NoError(t, g.manager.Apply(t.Context(), further), "it is not taken again")
	require.Eventually(t, func() bool {
		c := g.inspect(t, id)
		return (c.Paused || !c.Running) && len(c.Networks) == 1
	}, 10*time.Second, time.Millisecond)
	require.NoError(t, g.manager.Release(t.Context(), id, "all clear"))
	require.Equal(t, before.RestartPolicy, g.inspect(t, id).RestartPolicy)
	require.True(t, g.inspect(t, id).Running)
}

package quarantine_test

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/docker"
	"github.com/ironpost/ironpost/internal/testenv"
	"github.com/ironpost/ironpost/services/containerguard/quarantine"
)

func TestPendingOrderIsRechecked(t *testing.T) {
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
	require.Zero(t, asked.Load(), "a new order was checked by the caller")
	held := d.Run(t, testenv.ContainerOptions{Restart: "always"})
	spared = d.Run(t, testenv.ContainerOptions{Restart: "always"})
	d.Stop(t)
	for _, id := range []string{spared, held} {
		require.NoError(t, g.manager.Apply(t.Context(), g.order(id, quarantine.Isolate)))
	}
	d.Start(t)
	require.Eventually(t, func() bool { return asked.Load() > 4 }, 20*time.Second, time.Millisecond)
	require.False(t, g.inspect(t, spared).Paused || g.inspect(t, held).Paused, "until Recheck can tell")
	known.Store(true)
	require.Eventually(t, func() bool { return g.isolated(t, held) }, 10*time.Second, time.Millisecond)
	require.Eventually(t, func() bool { _, is := g.manager.Get(spared); return !is }, 10*time.Second, time.Millisecond)
	c := g.inspect(t, spared)
	require.True(t, c.Running && !c.Paused && len(c.Networks) == 1)
	require.Contains(t, g.skipped(spared), "not begun until Docker was reachable again: protected: for this test")
	require.Eventually(t, func() bool { c := g.inspect(t, at); return c.Paused || !c.Running }, 10*time.Second, time.Millisecond, "an order that was carried out is not rechecked")
}

// skipped returns why orders about a container were skipped.
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

func TestDroppedFurtherOrderKeepsFirst(t *testing.T) {
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
	require.True(t, is, "the snapshot is kept")
	require.Equal(t, quarantine.Held, e.State)
	require.Equal(t, quarantine.Restrictions{Freeze: true}, e.Want)
	d.Start(t)
	require.NoError(t, g.manager.Apply(t.Context(), further), "an order that was dropped is not taken again")
	require.Eventually(t, func() bool {
		c := g.inspect(t, id)
		return (c.Paused || !c.Running) && len(c.Networks) == 1
	}, 10*time.Second, time.Millisecond)
	g.release(t, id)
	require.Equal(t, before.RestartPolicy, g.inspect(t, id).RestartPolicy)
	require.True(t, g.inspect(t, id).Running)
}

func TestPendingOrderDoesNotReachReplacement(t *testing.T) {
	t.Parallel()
	d := testenv.Dockerd(t)
	g := newGuard(t, d, func(o *quarantine.Options) {
		o.Recheck = func(quarantine.Order, docker.Container) (string, bool) { return "", false }
	})
	v := g.run(t)
	first := d.Run(t, service("web", "1"))
	o := g.order(first, quarantine.Isolate)
	o.Container = g.inspect(t, first)
	d.Stop(t)
	require.NoError(t, g.manager.Apply(t.Context(), o))
	d.Start(t)
	again := d.Run(t, service("web-again", "1"))
	require.Eventually(t, func() bool { _, err := v.ByID(again); return err == nil }, 20*time.Second, 5*time.Millisecond)
	d.Remove(t, first)
	require.Eventually(t, func() bool { return len(g.manager.List()) == 0 }, 20*time.Second, 5*time.Millisecond)
	require.False(t, g.inspect(t, again).Paused, "the order was about another container")
	require.Eventually(t, func() bool { return len(g.skipped(first)) == 1 }, 10*time.Second, 5*time.Millisecond)
}

func TestPendingOrderOutlivesDroppedFurtherOrder(t *testing.T) {
	t.Parallel()
	m, id := openAt(t, t.TempDir()), strings.Repeat("0", 64)
	var order [3]quarantine.Order
	for i, kind := range []quarantine.Kind{quarantine.Pause, quarantine.Isolate, quarantine.Stop} {
		order[i] = (&guard{}).order(id, kind)
	}
	order[0].Forced = true
	order[1].Deadline, order[2].Deadline = time.Now().Add(time.Hour), time.Now().Add(-time.Second)
	for i, want := range []int{0, 1, 1} {
		require.NoError(t, m.Apply(t.Context(), order[i]))
		e, held := m.Get(id)
		require.True(t, held)
		require.Equal(t, order[want].ActionID, e.Order.ActionID)
		require.Equal(t, id, e.Before.ID)
	}
	e, _ := m.Get(id)
	require.Equal(t, quarantine.Restrictions{Freeze: true, Disconnect: true}, e.Want)
	require.True(t, e.Previous != nil && e.Previous.Order.Forced, "and the first, which is pending, too")
}

func TestFurtherOrderIsCarriedOutAtOnce(t *testing.T) {
	t.Parallel()
	d := testenv.Dockerd(t)
	g := newGuard(t, d, func(o *quarantine.Options) {
		o.Recheck = func(quarantine.Order, docker.Container) (string, bool) { return "", false }
	})
	id := d.Run(t, testenv.ContainerOptions{Restart: "always"})
	require.NoError(t, g.manager.Apply(t.Context(), g.order(id, quarantine.Pause)))
	require.NoError(t, g.manager.Apply(t.Context(), g.order(id, quarantine.Isolate)), "a new order was checked by the caller")
	require.True(t, g.isolated(t, id))
}

func TestQuarantineIsKeptWhileFurtherOrderIsPending(t *testing.T) {
	t.Parallel()
	d := testenv.Dockerd(t)
	var known atomic.Bool
	g := newGuard(t, d, func(o *quarantine.Options) {
		o.Recheck = func(quarantine.Order, docker.Container) (string, bool) { return "not wanted any more", known.Load() }
	})
	g.run(t)
	id := d.Run(t, testenv.ContainerOptions{Restart: "always"})
	require.NoError(t, g.manager.Apply(t.Context(), g.order(id, quarantine.Pause)))
	d.Stop(t)
	require.NoError(t, g.manager.Apply(t.Context(), g.order(id, quarantine.Isolate)))
	d.Start(t)
	d.Do(t, "POST", "/containers/"+id+"/start", nil, nil)
	require.Eventually(t, func() bool { return g.inspect(t, id).Paused }, 10*time.Second, 5*time.Millisecond)
	require.Len(t, g.inspect(t, id).Networks, 1)
	e, _ := g.manager.Get(id)
	require.Equal(t, quarantine.Isolate, e.Order.Kind, "it is still pending")
	known.Store(true)
	require.Eventually(t, func() bool { e, _ := g.manager.Get(id); return e.State == quarantine.Held }, 10*time.Second, 5*time.Millisecond)
	require.Eventually(t, func() bool { return len(g.skipped(id)) == 1 }, 10*time.Second, 5*time.Millisecond)
	c := g.inspect(t, id)
	require.True(t, c.Paused && len(c.Networks) == 1)
}

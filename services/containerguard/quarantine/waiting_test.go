package quarantine_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/internal/docker"
	"github.com/ironpost/ironpost/internal/testenv"
	"github.com/ironpost/ironpost/services/containerguard/quarantine"
)

func TestAReplacementOfOneWhoseOrderWaitsIsNotHeld(t *testing.T) {
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
	require.False(t, g.inspect(t, again).Paused, "it is not the one that was ordered")
	require.Eventually(t, func() bool { return len(g.skipped(first)) == 1 }, 10*time.Second, 5*time.Millisecond)
}

func TestAnOrderThatWaitsOutlivesAFurtherOneThatIsGivenUp(t *testing.T) {
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
	require.True(t, e.Previous != nil && e.Previous.Order.Forced, "and what waits before it")
}

func TestAnEntryOfBeforeKeepsItsWayBack(t *testing.T) {
	t.Parallel()
	dir, id := t.TempDir(), strings.Repeat("0", 64)
	raw, err := json.Marshal(quarantine.Entry{
		Version: 1, Order: (&guard{}).order(id, quarantine.Pause), Want: quarantine.Restrictions{Freeze: true}, State: quarantine.Held,
		Step: quarantine.StepHeld, Before: docker.Container{ID: id, Running: true}, Captured: true, ActionIDs: []string{"one"}, FrozenAt: time.Now(),
	})
	require.NoError(t, err)
	require.NotContains(t, string(raw), "begun", "as it was written before there was such a field")
	require.NoError(t, os.Mkdir(filepath.Join(dir, "quarantine"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "quarantine", id+".json"), raw, 0o600))
	m := openAt(t, dir)
	further := (&guard{}).order(id, quarantine.Isolate)
	further.Deadline = time.Now().Add(-time.Second)
	require.NoError(t, m.Apply(t.Context(), further))
	e, held := m.Get(id)
	require.True(t, held)
	require.Equal(t, quarantine.Restrictions{Freeze: true}, e.Want)
}

func TestAFurtherOrderIsCarriedOutAtOnce(t *testing.T) {
	t.Parallel()
	d := testenv.Dockerd(t)
	g := newGuard(t, d, func(o *quarantine.Options) {
		o.Recheck = func(quarantine.Order, docker.Container) (string, bool) { return "", false }
	})
	id := d.Run(t, testenv.ContainerOptions{Restart: "always"})
	require.NoError(t, g.manager.Apply(t.Context(), g.order(id, quarantine.Pause)))
	require.NoError(t, g.manager.Apply(t.Context(), g.order(id, quarantine.Isolate)), "who orders has just checked")
	require.True(t, g.isolated(t, id))
}

func TestWhatIsHeldStaysSoWhileAFurtherOrderWaits(t *testing.T) {
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
	require.Equal(t, quarantine.Isolate, e.Order.Kind, "it waits still")
	known.Store(true)
	require.Eventually(t, func() bool { e, _ := g.manager.Get(id); return e.State == quarantine.Held }, 10*time.Second, 5*time.Millisecond)
	require.Eventually(t, func() bool { return len(g.skipped(id)) == 1 }, 10*time.Second, 5*time.Millisecond)
	c := g.inspect(t, id)
	require.True(t, c.Paused && len(c.Networks) == 1)
}

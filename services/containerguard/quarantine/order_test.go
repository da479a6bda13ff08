package quarantine_test

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/testenv"
	"github.com/ironpost/ironpost/services/containerguard/quarantine"
)

func (g *guard) lastAction() event.Action {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.actions[len(g.actions)-1]
}

func TestOrderEnds(t *testing.T) {
	t.Parallel()
	d := testenv.Dockerd(t)
	g := newGuard(t, d, nil)
	v := g.run(t)
	t.Run("when it expires", func(t *testing.T) {
		id := d.Run(t, testenv.ContainerOptions{})
		o := g.order(id, quarantine.Isolate)
		o.Expires = time.Now().Add(5 * time.Second)
		require.NoError(t, g.manager.Apply(t.Context(), o))
		require.True(t, g.isolated(t, id))
		require.Eventually(t, func() bool { return len(g.manager.List()) == 0 }, time.Minute, 10*time.Millisecond)
		require.False(t, time.Now().Before(o.Expires))
		c := g.inspect(t, id)
		require.True(t, c.Running && !c.Paused && len(c.Networks) == 1)
		require.Equal(t, "expired", g.lastAction().Reason)
	})
	t.Run("when its container is removed", func(t *testing.T) {
		id := d.Run(t, testenv.ContainerOptions{})
		require.NoError(t, g.manager.Apply(t.Context(), g.order(id, quarantine.Isolate)))
		d.Remove(t, id)
		require.Eventually(t, func() bool { e, _ := g.manager.Get(id); return !e.Gone.IsZero() }, time.Minute, 10*time.Millisecond, "it may be made again")
		g.release(t, id)
		require.Empty(t, g.manager.List())
		require.Equal(t, "all clear (container was removed)", g.lastAction().Reason)
	})
	t.Run("when there is no such container", func(t *testing.T) {
		require.NoError(t, g.manager.Apply(t.Context(), g.order(strings.Repeat("0", 64), quarantine.Isolate)))
		require.Empty(t, g.manager.List())
		require.Equal(t, event.Failed, g.lastAction().Phase)
		_, err := g.manager.Release(t.Context(), strings.Repeat("0", 64), "", "")
		require.ErrorIs(t, err, quarantine.ErrNotQuarantined)
	})
	t.Run("when Docker is away past the deadline", func(t *testing.T) {
		id := d.Run(t, testenv.ContainerOptions{Restart: "always"})
		d.Stop(t)
		o := g.order(id, quarantine.Isolate)
		o.Deadline = time.Now().Add(200 * time.Millisecond)
		require.NoError(t, g.manager.Apply(t.Context(), o))
		require.Len(t, g.manager.List(), 1)
		require.Eventually(t, func() bool { return len(g.manager.List()) == 0 }, time.Minute, 10*time.Millisecond)
		require.Equal(t, event.Skipped, g.lastAction().Phase)
		d.Start(t)
		require.Eventually(t, func() bool { return g.inspect(t, id).Running }, 10*time.Second, 10*time.Millisecond)
		require.Eventually(t, func() bool { return v.StaleReason() == "" }, 20*time.Second, 10*time.Millisecond)
		require.False(t, g.inspect(t, id).Paused)
	})
}

func TestContainerOnSharedNetworkIsOnlyFrozen(t *testing.T) {
	t.Parallel()
	d := testenv.Dockerd(t)
	g := newGuard(t, d, nil)
	owner := d.Run(t, testenv.ContainerOptions{})
	for name, network := range map[string]string{"host": "host", "shared": "container:" + owner} {
		t.Run(name, func(t *testing.T) {
			id := d.Run(t, testenv.ContainerOptions{Network: network})
			require.NoError(t, g.manager.Apply(t.Context(), g.order(id, quarantine.Isolate)))
			require.True(t, g.inspect(t, id).Paused)
			e, _ := g.manager.Get(id)
			require.Equal(t, quarantine.Partial, e.State)
			require.Contains(t, e.Error, "network")
			require.Equal(t, event.Failed, g.lastAction().Phase)
			g.release(t, id)
			require.False(t, g.inspect(t, id).Paused)
		})
	}
	t.Run("none", func(t *testing.T) {
		id := d.Run(t, testenv.ContainerOptions{Network: "none"})
		before := g.inspect(t, id)
		require.NoError(t, g.manager.Apply(t.Context(), g.order(id, quarantine.Isolate)))
		e, _ := g.manager.Get(id)
		require.Equal(t, quarantine.Held, e.State, e.Error)
		g.release(t, id)
		require.Equal(t, restorable(before), restorable(g.inspect(t, id)))
	})
}

func TestFurtherOrderAddsRestrictions(t *testing.T) {
	t.Parallel()
	d := testenv.Dockerd(t)
	g := newGuard(t, d, nil)
	id := d.Run(t, testenv.ContainerOptions{Restart: "always"})
	before := g.inspect(t, id)
	require.NoError(t, g.manager.Apply(t.Context(), g.order(id, quarantine.Pause)))
	require.Len(t, g.inspect(t, id).Networks, 1)
	require.NoError(t, g.manager.Apply(t.Context(), g.order(id, quarantine.Isolate)))
	require.True(t, g.isolated(t, id))
	require.NoError(t, g.manager.Apply(t.Context(), g.order(id, quarantine.Disconnect)))
	require.Equal(t, event.Skipped, g.lastAction().Phase, "nothing to add")
	for _, kind := range []quarantine.Kind{quarantine.Pause, quarantine.Isolate} {
		require.FileExists(t, filepath.Join(g.dir, "evidence", g.order(id, kind).ActionID, "manifest.json"))
	}
	g.release(t, id)
	require.Equal(t, restorable(before), restorable(g.inspect(t, id)), "as before the first order")
}

func TestInvalidOrdersAreRefused(t *testing.T) {
	t.Parallel()
	m := openAt(t, t.TempDir())
	ok := (&guard{}).order(strings.Repeat("0", 64), quarantine.Pause)
	for name, change := range map[string]func(*quarantine.Order){
		"no action id":     func(o *quarantine.Order) { o.ActionID = "" },
		"a path":           func(o *quarantine.Order) { o.ActionID = "../../etc/cron.d/x" },
		"a name for an id": func(o *quarantine.Order) { o.Container.ID = "web" },
		"unknown kind":     func(o *quarantine.Order) { o.Kind = "explode" },
	} {
		o := ok
		change(&o)
		require.Error(t, m.Apply(t.Context(), o), name)
	}
	require.Empty(t, m.List())
}

package quarantine_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/docker"
	"github.com/ironpost/ironpost/internal/testenv"
	"github.com/ironpost/ironpost/services/containerguard/quarantine"
)

// newProxiedGuard makes a guard that reaches dockerd through a proxy that allows every
// documented call except those whose path has one of the refused endings.
func newProxiedGuard(t *testing.T, d *testenv.Docker, refused ...string) (*guard, *testenv.DockerProxy) {
	t.Helper()
	rules := docker.Allow()
	for i := range rules {
		for _, end := range refused {
			rules[i].Pattern = strings.ReplaceAll(rules[i].Pattern, end, end+"-refused")
		}
	}
	p := d.Proxy(t, rules)
	c, err := docker.Connect(p.Socket)
	require.NoError(t, err)
	t.Cleanup(c.Close)
	g := newGuard(t, d, func(o *quarantine.Options) {
		o.Docker = c
		quarantine.RestartOnRelease(o)
	})
	return g, p
}

func TestQuarantineBehindSocketProxy(t *testing.T) {
	t.Parallel()
	d := testenv.Dockerd(t)
	d.Network(t, "shop", "")
	run := func(t *testing.T) string {
		t.Helper()
		return d.Run(t, testenv.ContainerOptions{Network: "shop", Restart: "always"})
	}
	t.Run("the documented calls suffice", func(t *testing.T) {
		g, p := newProxiedGuard(t, d)
		id := run(t)
		require.NoError(t, g.manager.Apply(t.Context(), g.order(id, quarantine.Isolate)))
		require.True(t, g.isolated(t, id))
		g.release(t, id)
		c := g.inspect(t, id)
		require.True(t, c.Running && !c.Paused && len(c.Networks) == 1)
		_, denied := p.Calls()
		require.Empty(t, denied)
	})
	t.Run("a refused call is made once and the other steps are done", func(t *testing.T) {
		g, p := newProxiedGuard(t, d, "/pause")
		id := run(t)
		require.NoError(t, g.manager.Apply(t.Context(), g.order(id, quarantine.Isolate)))
		c := g.inspect(t, id)
		require.False(t, c.Paused)
		require.Empty(t, c.Networks, "it is disconnected all the same")
		e, _ := g.manager.Get(id)
		require.Equal(t, quarantine.Partial, e.State)
		_, denied := p.Calls()
		require.Equal(t, []string{"POST /containers/{id}/pause"}, denied)
		require.Equal(t, event.Failed, g.lastAction().Phase)
	})
	t.Run("without a way to end old connections it stays isolated", func(t *testing.T) {
		g, _ := newProxiedGuard(t, d, "/kill")
		id := run(t)
		require.NoError(t, g.manager.Apply(t.Context(), g.order(id, quarantine.Isolate)))
		g.release(t, id)
		require.True(t, g.isolated(t, id))
		e, held := g.manager.Get(id)
		require.True(t, held)
		require.Equal(t, quarantine.Partial, e.State)
		require.Equal(t, event.Failed, g.lastAction().Phase)
	})
}

package quarantine_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/testenv"
	"github.com/ironpost/ironpost/services/containerguard/quarantine"
)

// A release that could not restore everything says so, and goes on until it has.
func TestReleaseWithATakenPortIsTriedAgain(t *testing.T) {
	t.Parallel()
	d := testenv.Dockerd(t)
	g := newGuard(t, d, nil)
	g.run(t)
	id := d.Run(t, testenv.ContainerOptions{Publish: map[string]string{"80/tcp": "127.0.0.1:8081"}})
	before := g.inspect(t, id)
	require.NoError(t, g.manager.Apply(t.Context(), g.order(id, quarantine.Isolate)))
	other := d.Run(t, testenv.ContainerOptions{Publish: map[string]string{"80/tcp": "127.0.0.1:8081"}})
	differences := strings.Join(g.release(t, id), "; ")
	require.Contains(t, differences, "8081")
	e, held := g.manager.Get(id)
	require.True(t, held)
	require.Equal(t, quarantine.Releasing, e.State)
	require.Contains(t, e.Error, "8081")
	require.Equal(t, event.Failed, g.lastAction().Phase)
	require.False(t, g.inspect(t, id).Paused, "it runs, as far as that is possible")

	d.Remove(t, other)
	require.Eventually(t, func() bool { _, held := g.manager.Get(id); return !held }, 20*time.Second, 20*time.Millisecond)
	require.Equal(t, restorable(before), restorable(g.inspect(t, id)))
	require.Equal(t, event.Released, g.lastAction().Phase)
	require.Empty(t, g.lastAction().Error)
}

func TestReleaseWithoutItsNetworkIsTriedAgain(t *testing.T) {
	t.Parallel()
	d := testenv.Dockerd(t)
	g := newGuard(t, d, nil)
	g.run(t)
	network := d.Network(t, "shop", "10.83.0.0/24")
	id := d.Run(t, testenv.ContainerOptions{Network: "shop"})
	require.NoError(t, g.manager.Apply(t.Context(), g.order(id, quarantine.Isolate)))
	d.Do(t, "DELETE", "/networks/"+network, nil, nil)
	differences := strings.Join(g.release(t, id), "; ")
	require.Contains(t, differences, "shop")
	_, held := g.manager.Get(id)
	require.True(t, held)
	require.False(t, g.inspect(t, id).Paused)

	d.Network(t, "shop", "10.83.0.0/24") // with another id
	require.Eventually(t, func() bool { _, held := g.manager.Get(id); return !held }, 20*time.Second, 20*time.Millisecond)
	require.Len(t, g.inspect(t, id).Networks, 1)
}

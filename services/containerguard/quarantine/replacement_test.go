package quarantine_test

import (
	"context"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/docker"
	"github.com/ironpost/ironpost/internal/task"
	"github.com/ironpost/ironpost/internal/testenv"
	"github.com/ironpost/ironpost/services/containerguard/inventory"
	"github.com/ironpost/ironpost/services/containerguard/quarantine"
)

// service is a container as Docker Compose makes it; without a number, as other tools do.
func service(name, number string) testenv.ContainerOptions {
	labels := map[string]string{"com.docker.compose.project": "p", "com.docker.compose.service": "web"}
	if number != "" {
		labels["com.docker.compose.container-number"] = number
	}
	return testenv.ContainerOptions{Name: name, Labels: labels}
}

func TestReplacementLoopLeavesOneEntry(t *testing.T) {
	t.Parallel()
	d := testenv.Dockerd(t)
	g := newGuard(t, d, nil)
	g.run(t)
	first := d.Run(t, service("web", "1"))
	sibling := d.Run(t, service("web-2", "2"))
	require.NoError(t, g.manager.Apply(t.Context(), g.order(first, quarantine.Isolate)))
	newest := first
	for range 5 {
		d.Remove(t, newest)
		newest = d.Run(t, service("web", "1"))
		require.Eventually(t, func() bool { return g.isolated(t, newest) }, 10*time.Second, 5*time.Millisecond)
		require.Eventually(t, func() bool { return len(g.manager.List()) == 1 }, 10*time.Second, 5*time.Millisecond, "the newest replaces those before it")
	}
	require.False(t, g.inspect(t, sibling).Paused)
	require.Eventually(t, func() bool { e, _ := g.manager.Get(newest); return e.State == quarantine.Held }, 10*time.Second, 5*time.Millisecond)
	g.manager.SetEvidenceLimits(quarantine.EvidenceLimits{MaxBytes: 1})
	g.manager.Sweep(t.Context())
	require.True(t, g.hasEvidence(t, first), "evidence of the first is kept while its service is in quarantine")
	require.Equal(t, 2, g.manager.Evidence().Actions, "and that of the newest")
	for _, text := range []string{"web", newest[:12], first, first[:12]} {
		id, err := g.manager.Find(text)
		require.NoError(t, err, text)
		require.Equal(t, newest, id)
	}
	g.release(t, first)
	require.Empty(t, g.manager.List())
	require.False(t, g.inspect(t, newest).Paused)
}

func TestReplacementIsFoundAfterItsChangeWasLost(t *testing.T) {
	t.Parallel()
	d := testenv.Dockerd(t)
	var existing []docker.Container
	g := newGuard(t, d, func(o *quarantine.Options) { o.Containers = func() []docker.Container { return existing } })
	first := d.Run(t, service("web", "1"))
	require.NoError(t, g.manager.Apply(t.Context(), g.order(first, quarantine.Isolate)))
	d.Remove(t, first)
	again := d.Run(t, service("web", "1"))
	existing = []docker.Container{g.inspect(t, again)}
	for range 10_000 { // nothing takes changes yet, so the queue overflows
		g.manager.Observe(inventory.Change{Container: docker.Container{ID: strings.Repeat("f", 64)}})
	}
	ctx, cancel := context.WithCancel(t.Context())
	group := task.New(ctx)
	group.Go("manager", g.manager.Run)
	t.Cleanup(func() { cancel(); require.NoError(t, group.Wait()) })
	require.Eventually(t, func() bool { return g.isolated(t, again) }, 10*time.Second, 5*time.Millisecond)
}

func TestUnnumberedContainerHasOneReplacement(t *testing.T) {
	t.Parallel()
	d := testenv.Dockerd(t)
	shop := d.Network(t, "shop", "")
	g := newGuard(t, d, nil)
	g.run(t)
	web := d.Run(t, service("web-a", ""))
	sibling := d.Run(t, service("web-b", "")) // newer, but older than the isolation
	require.NoError(t, g.manager.Apply(t.Context(), g.order(web, quarantine.Isolate)))
	d.Remove(t, web)
	made := map[string]bool{d.Run(t, service("web-c", "")): true}
	for id := range maps.Clone(made) {
		require.Eventually(t, func() bool { return g.isolated(t, id) }, 10*time.Second, 5*time.Millisecond)
	}
	further := d.Run(t, service("web-d", ""))
	for id := range made { // changes are handled in order: when this one was, further was
		d.Do(t, "POST", "/networks/"+shop+"/connect", map[string]string{"Container": id}, nil)
		require.Eventually(t, func() bool { return g.isolated(t, id) }, 10*time.Second, 5*time.Millisecond)
	}
	for name, id := range map[string]string{"a sibling": sibling, "one more": further} {
		require.False(t, g.inspect(t, id).Paused, name)
		_, held := g.manager.Get(id)
		require.False(t, held, name)
	}
}

func TestReplacementCapturedWhileCreatedIsFullyRestored(t *testing.T) {
	t.Parallel()
	d := testenv.Dockerd(t)
	d.Network(t, "shop", "")
	back := d.Network(t, "back", "")
	g := newGuard(t, d, nil)
	g.run(t)
	options := service("web", "1")
	options.Network, options.Restart = "shop", "always"
	first := d.Run(t, options)
	require.NoError(t, g.manager.Apply(t.Context(), g.order(first, quarantine.Isolate)))
	d.Remove(t, first)
	again := d.Create(t, options) // as Compose does: create, connect, start
	cut := func() bool { return len(g.inspect(t, again).Networks) == 0 }
	require.Eventually(t, cut, 10*time.Second, 5*time.Millisecond)
	d.Do(t, "POST", "/networks/"+back+"/connect", map[string]any{"Container": again, "EndpointConfig": map[string]any{"Aliases": []string{"www"}}}, nil)
	require.Eventually(t, cut, 10*time.Second, 5*time.Millisecond)
	d.Do(t, "POST", "/containers/"+again+"/start", nil, nil)
	require.Eventually(t, func() bool { return g.inspect(t, again).Paused }, within, 5*time.Millisecond)

	g.release(t, again)
	after := g.inspect(t, again)
	require.True(t, after.Running && !after.Paused)
	require.Equal(t, "always", after.RestartPolicy.Name)
	require.Len(t, after.Networks, 2)
	require.Contains(t, after.Networks[0].Aliases, "www")
}

// As docker run --name, a unit of systemd, Ansible and Watchtower do.
func TestContainerMadeAgainUnderItsNameIsQuarantined(t *testing.T) {
	t.Parallel()
	d := testenv.Dockerd(t)
	g := newGuard(t, d, nil)
	g.run(t)
	made := func(name string, labels map[string]string) string {
		return d.Run(t, testenv.ContainerOptions{Name: name, Labels: labels})
	}
	bystander := made("shop", nil)
	web := made("web", nil)
	require.NoError(t, g.manager.Apply(t.Context(), g.order(web, quarantine.Isolate)))
	d.Remove(t, web)
	again := made("web", nil)
	require.Eventually(t, func() bool { return g.isolated(t, again) }, within, 5*time.Millisecond)
	require.Eventually(t, func() bool { return len(g.manager.List()) == 1 }, within, 5*time.Millisecond)

	d.Do(t, "POST", "/containers/"+again+"/rename?name=web-old", nil, nil)
	renamed := made("web", nil)
	require.Eventually(t, func() bool { return g.isolated(t, renamed) }, within, 5*time.Millisecond)
	require.True(t, g.isolated(t, again), "what was renamed stays in quarantine")
	require.Len(t, g.manager.List(), 2)
	g.release(t, renamed)
	require.Empty(t, g.manager.List(), "they are one chain")

	unit := map[string]string{"PODMAN_SYSTEMD_UNIT": "web.service"}
	first := made("", unit)
	require.NoError(t, g.manager.Apply(t.Context(), g.order(first, quarantine.Isolate)))
	beside := made("", unit)
	d.Remove(t, first)
	require.Eventually(t, func() bool { e, _ := g.manager.Get(first); return !e.Gone.IsZero() || g.isolated(t, beside) }, within, 5*time.Millisecond)
	second := made("", unit)
	require.Eventually(t, func() bool { return g.isolated(t, beside) != g.isolated(t, second) }, within, 5*time.Millisecond, "one replaces it")
	require.False(t, g.inspect(t, bystander).Paused)
}

// The redeploy that mends the hole must not be stopped, whoever makes it.
func TestAnotherImageEndsTheQuarantine(t *testing.T) {
	t.Parallel()
	d := testenv.Dockerd(t)
	g := newGuard(t, d, nil)
	g.run(t)
	for _, tag := range []string{"1", "2"} {
		d.Image(t, "shop/web:"+tag, map[string]string{"version": tag})
	}
	d.Image(t, "tools/shell:1", map[string]string{"version": "x"})
	for name, options := range map[string]testenv.ContainerOptions{"docker run": {Name: "web"}, "compose": service("p_web_1", "1")} {
		t.Run(name, func(t *testing.T) {
			of := func(image string) testenv.ContainerOptions { options.Image = image; return options }
			web := d.Run(t, of("shop/web:1"))
			require.NoError(t, g.manager.Apply(t.Context(), g.order(web, quarantine.Isolate)))
			d.Remove(t, web)
			given := d.Create(t, of("shop/web:2"))
			d.Remove(t, given) // it never ran
			if name == "docker run" {
				other := d.Run(t, of("tools/shell:1"))
				require.NoError(t, g.manager.Apply(t.Context(), g.order(other, quarantine.Pause)))
				require.Eventually(t, func() bool { found, _ := g.manager.Find("web"); return found == other }, within, 5*time.Millisecond, "the one of that name that exists")
				g.release(t, other)
				d.Remove(t, other)
			}
			again := d.Run(t, of("shop/web:1"))
			require.Eventually(t, func() bool { return g.isolated(t, again) }, within, 5*time.Millisecond, "the same image")

			d.Remove(t, again)
			mended := d.Run(t, of("shop/web:2"))
			require.Eventually(t, func() bool { return len(g.manager.List()) == 0 }, within, 5*time.Millisecond)
			require.False(t, g.inspect(t, mended).Paused)
			last := g.lastAction()
			require.Equal(t, event.Released, last.Phase)
			require.Contains(t, last.Reason, "container "+mended[:12]+" from another image (sha256:")
			d.Remove(t, mended)
		})
	}
}

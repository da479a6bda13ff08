package quarantine_test

import (
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/internal/testenv"
	"github.com/ironpost/ironpost/services/containerguard/quarantine"
)

// within is how soon an undone quarantine must be applied again.
const within = time.Second

func TestUndoneQuarantineIsReapplied(t *testing.T) {
	t.Parallel()
	d := testenv.Dockerd(t)
	shop := d.Network(t, "shop", "")
	g := newGuard(t, d, nil)
	g.run(t)
	labels := map[string]string{"com.docker.compose.project": "p", "com.docker.compose.service": "web", "com.docker.compose.container-number": "1"}
	web := testenv.ContainerOptions{Name: "web", Network: "shop", Restart: "always", Labels: labels}
	id := d.Run(t, web)
	require.NoError(t, g.manager.Apply(t.Context(), g.order(id, quarantine.Isolate)))
	require.True(t, g.isolated(t, id))

	undo := map[string]func(t *testing.T) string{
		"a person reconnects it": func(t *testing.T) string {
			d.Do(t, "POST", "/networks/"+shop+"/connect", map[string]string{"Container": id}, nil)
			return id
		},
		"a person unpauses it": func(t *testing.T) string {
			d.Do(t, "POST", "/containers/"+id+"/unpause", nil, nil)
			return id
		},
		"a person changes the restart policy": func(t *testing.T) string {
			d.Do(t, "POST", "/containers/"+id+"/update", map[string]any{"RestartPolicy": map[string]string{"Name": "always"}}, nil)
			return id
		},
		"a person restarts it": func(t *testing.T) string {
			d.Do(t, "POST", "/containers/"+id+"/restart?t=0", nil, nil)
			return id
		},
	}
	for name, do := range undo {
		t.Run(name, func(t *testing.T) {
			target := do(t)
			done := time.Now()
			require.Eventually(t, func() bool { return g.isolated(t, target) }, within, 5*time.Millisecond)
			t.Logf("isolated again after %v", time.Since(done))
		})
	}
	t.Run("compose recreates it", func(t *testing.T) {
		d.Remove(t, id)
		again := d.Create(t, web)
		d.Do(t, "POST", "/containers/"+again+"/start", nil, nil)
		require.Eventually(t, func() bool { return g.isolated(t, again) }, within, 5*time.Millisecond)
		g.release(t, id)
		require.Empty(t, g.manager.List(), "releasing the old one releases its replacement")
		c := g.inspect(t, again)
		require.True(t, c.Running)
		require.False(t, c.Paused)
		require.Len(t, c.Networks, 1)
		require.Equal(t, "always", c.RestartPolicy.Name)
	})
}

func TestQuarantineSurvivesDockerRestart(t *testing.T) {
	t.Parallel()
	d := testenv.Dockerd(t)
	d.Network(t, "shop", "")
	g := newGuard(t, d, nil)
	g.run(t)
	id := d.Run(t, testenv.ContainerOptions{Network: "shop", Restart: "always"})
	require.NoError(t, g.manager.Apply(t.Context(), g.order(id, quarantine.Isolate)))
	for i, end := range []func(testing.TB){d.Kill, d.Stop} {
		end(t)
		require.NoError(t, g.manager.Apply(t.Context(), later(g.order(id, quarantine.Isolate), i)), "an order is taken while Docker is away")
		d.Start(t)
		require.Eventually(t, func() bool { return g.isolated(t, id) }, 10*time.Second, 10*time.Millisecond)
		for range 100 {
			require.True(t, g.isolated(t, id), "and it stays isolated")
		}
	}
	d.Do(t, "POST", "/containers/"+id+"/start", nil, nil)
	require.Eventually(t, func() bool { return g.isolated(t, id) }, within, 5*time.Millisecond)
	g.release(t, id)
	c := g.inspect(t, id)
	require.True(t, c.Running && !c.Paused && len(c.Networks) == 1, "%+v", c)
}

func later(o quarantine.Order, n int) quarantine.Order {
	o.ActionID += "-" + strconv.Itoa(n)
	return o
}

func TestQuarantineUndoneDuringEvidenceIsReapplied(t *testing.T) {
	t.Parallel()
	d := testenv.Dockerd(t)
	var undone atomic.Bool
	g := newGuard(t, d, func(o *quarantine.Options) {
		o.OnStep = func(id string, s quarantine.Step) {
			if s == quarantine.StepEvidence && undone.CompareAndSwap(false, true) {
				d.Do(t, "POST", "/containers/"+id+"/unpause", nil, nil)
			}
		}
	})
	v := g.run(t)
	id := d.Run(t, testenv.ContainerOptions{})
	require.Eventually(t, func() bool { _, err := v.ByID(id); return err == nil }, 5*time.Second, 5*time.Millisecond)
	require.NoError(t, g.manager.Apply(t.Context(), g.order(id, quarantine.Isolate)))
	require.True(t, undone.Load())
	require.Eventually(t, func() bool { return g.isolated(t, id) }, within, 5*time.Millisecond)
	require.FileExists(t, filepath.Join(g.dir, "evidence", g.order(id, quarantine.Isolate).ActionID, "manifest.json"))
}

func TestQuarantineUndoneWhileGuardWasDownIsReapplied(t *testing.T) {
	t.Parallel()
	d := testenv.Dockerd(t)
	shop := d.Network(t, "shop", "")
	g := newGuard(t, d, nil)
	held := d.Run(t, testenv.ContainerOptions{Network: "shop", Restart: "always"})
	released := d.Run(t, testenv.ContainerOptions{Network: "shop", Restart: "always"})
	for _, id := range []string{held, released} {
		require.NoError(t, g.manager.Apply(t.Context(), g.order(id, quarantine.Isolate)))
	}
	d.Stop(t)
	g.release(t, released)
	d.Start(t)
	d.Do(t, "POST", "/networks/"+shop+"/connect", map[string]string{"Container": held}, nil)
	d.Do(t, "POST", "/containers/"+held+"/start", nil, nil)
	require.False(t, g.isolated(t, held))
	began := time.Now()
	g.run(t)
	require.Eventually(t, func() bool { return g.isolated(t, held) }, 10*time.Second, 5*time.Millisecond)
	t.Logf("isolated again %v after the guard came back", time.Since(began))
	require.Eventually(t, func() bool { return len(g.manager.List()) == 1 }, 20*time.Second, 10*time.Millisecond)
	c := g.inspect(t, released)
	require.True(t, c.Running && !c.Paused && len(c.Networks) == 1 && c.RestartPolicy.Name == "always", "%+v", c)
}

package quarantine_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
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

func (g *guard) lastAction() event.Action {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.actions[len(g.actions)-1]
}

func TestAnOrderEnds(t *testing.T) {
	t.Parallel()
	d := testenv.Dockerd(t)
	g := newGuard(t, d, nil)
	v := g.run(t)
	t.Run("when it expires", func(t *testing.T) {
		id := d.Run(t, testenv.ContainerOptions{})
		o := g.order(id, quarantine.Isolate)
		o.Expires = time.Now().Add(1500 * time.Millisecond)
		require.NoError(t, g.manager.Apply(t.Context(), o))
		require.True(t, g.isolated(t, id))
		require.Eventually(t, func() bool { return len(g.manager.List()) == 0 }, 10*time.Second, 10*time.Millisecond)
		require.False(t, time.Now().Before(o.Expires))
		c := g.inspect(t, id)
		require.True(t, c.Running && !c.Paused && len(c.Networks) == 1)
		require.Equal(t, "expired", g.lastAction().Reason)
	})
	t.Run("when its container is removed", func(t *testing.T) {
		id := d.Run(t, testenv.ContainerOptions{})
		require.NoError(t, g.manager.Apply(t.Context(), g.order(id, quarantine.Isolate)))
		d.Remove(t, id)
		require.Eventually(t, func() bool { return len(g.manager.List()) == 0 }, 10*time.Second, 10*time.Millisecond)
		require.Eventually(t, func() bool { return g.lastAction().Reason == "container was removed" }, 5*time.Second, 10*time.Millisecond)
	})
	t.Run("when there is no such container", func(t *testing.T) {
		require.NoError(t, g.manager.Apply(t.Context(), g.order(strings.Repeat("0", 64), quarantine.Isolate)))
		require.Empty(t, g.manager.List())
		require.Equal(t, event.Failed, g.lastAction().Phase)
		require.ErrorIs(t, g.manager.Release(t.Context(), strings.Repeat("0", 64), ""), quarantine.ErrNotQuarantined)
	})
	t.Run("when the engine stays away too long", func(t *testing.T) {
		id := d.Run(t, testenv.ContainerOptions{Restart: "always"})
		d.Stop(t)
		o := g.order(id, quarantine.Isolate)
		o.Deadline = time.Now().Add(200 * time.Millisecond)
		require.NoError(t, g.manager.Apply(t.Context(), o))
		require.Len(t, g.manager.List(), 1)
		require.Eventually(t, func() bool { return len(g.manager.List()) == 0 }, 10*time.Second, 10*time.Millisecond)
		require.Equal(t, event.Skipped, g.lastAction().Phase)
		d.Start(t)
		require.Eventually(t, func() bool { return g.inspect(t, id).Running }, 10*time.Second, 10*time.Millisecond)
		require.Eventually(t, func() bool { return v.StaleReason() == "" }, 20*time.Second, 10*time.Millisecond)
		require.False(t, g.inspect(t, id).Paused)
	})
}

func TestWhatCannotBeCutIsFrozen(t *testing.T) {
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
			require.NoError(t, g.manager.Release(t.Context(), id, "all clear"))
			require.False(t, g.inspect(t, id).Paused)
		})
	}
	t.Run("none", func(t *testing.T) {
		id := d.Run(t, testenv.ContainerOptions{Network: "none"})
		before := g.inspect(t, id)
		require.NoError(t, g.manager.Apply(t.Context(), g.order(id, quarantine.Isolate)))
		e, _ := g.manager.Get(id)
		require.Equal(t, quarantine.Held, e.State, e.Error)
		require.NoError(t, g.manager.Release(t.Context(), id, "all clear"))
		require.Equal(t, same(before), same(g.inspect(t, id)))
	})
}

func TestReleaseThatWouldRemoveTheContainerIsRefused(t *testing.T) {
	t.Parallel()
	d := testenv.Dockerd(t)
	g := newGuard(t, d, func(o *quarantine.Options) { o.RestartOnRelease = true })
	id := d.Run(t, testenv.ContainerOptions{Host: map[string]any{"AutoRemove": true}})
	require.NoError(t, g.manager.Apply(t.Context(), g.order(id, quarantine.Isolate)))
	require.NoError(t, g.manager.Release(t.Context(), id, "all clear"))
	c := g.inspect(t, id)
	require.True(t, c.Paused && len(c.Networks) == 0, "it stays held")
	e, held := g.manager.Get(id)
	require.True(t, held)
	require.Equal(t, quarantine.Partial, e.State)
	require.Equal(t, event.Failed, g.lastAction().Phase)
	require.Equal(t, "release", g.lastAction().Kind)
}

func TestAQuarantineUndoneWhileEvidenceIsKeptIsAppliedAgain(t *testing.T) {
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

func TestAFurtherOrderGrowsWhatIsWanted(t *testing.T) {
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
	require.Equal(t, event.Skipped, g.lastAction().Phase, "it is so already")
	for _, kind := range []quarantine.Kind{quarantine.Pause, quarantine.Isolate} {
		require.FileExists(t, filepath.Join(g.dir, "evidence", g.order(id, kind).ActionID, "manifest.json"))
	}
	require.NoError(t, g.manager.Release(t.Context(), id, "all clear"))
	require.Equal(t, same(before), same(g.inspect(t, id)), "as before the first order")
}

func TestOrdersAreChecked(t *testing.T) {
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

func openAt(t *testing.T, dir string) *quarantine.Manager {
	t.Helper()
	c, err := docker.Connect("/nowhere/docker.sock")
	require.NoError(t, err)
	m, err := quarantine.Open(quarantine.Options{Docker: c, DataDir: dir, Host: "test", Report: func(context.Context, event.Action) {}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, m.Close()) })
	return m
}

func TestTheLedgerFollowsNoLinksAndForgetsNothingSilently(t *testing.T) {
	t.Parallel()
	id := strings.Repeat("0", 64)
	t.Run("an order while the engine is away is kept", func(t *testing.T) {
		dir := t.TempDir()
		m := openAt(t, dir)
		require.NoError(t, m.Apply(t.Context(), (&guard{}).order(id, quarantine.Pause)))
		info, err := os.Stat(filepath.Join(dir, "quarantine", id+".json"))
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
		require.Len(t, openAt(t, dir).List(), 1)
	})
	t.Run("what is damaged is put aside and named, the rest is held", func(t *testing.T) {
		for _, content := range []string{"", "{", `{"version":99}`, `{"version":1,"before":{"id":"` + strings.Repeat("1", 64) + `"}}`} {
			dir, whole := t.TempDir(), strings.Repeat("2", 64)
			require.NoError(t, openAt(t, dir).Apply(t.Context(), (&guard{}).order(whole, quarantine.Pause)))
			for _, name := range []string{id + ".json", "done.json"} {
				require.NoError(t, os.WriteFile(filepath.Join(dir, "quarantine", name), []byte(content), 0o600))
			}
			m := openAt(t, dir)
			require.Len(t, m.List(), 1, "%q", content)
			require.Len(t, m.Damaged(), 2, "%q", content)
			require.Contains(t, m.Damaged()[1], id+".json.damaged")
			kept, err := os.ReadFile(filepath.Join(dir, "quarantine", id+".json.damaged"))
			require.NoError(t, err)
			require.Equal(t, content, string(kept))
			require.Empty(t, openAt(t, dir).Damaged(), "said once")
		}
	})
	t.Run("a folder in an entry's place is put aside", func(t *testing.T) {
		dir := t.TempDir()
		require.NoError(t, os.MkdirAll(filepath.Join(dir, "quarantine", id+".json"), 0o700))
		require.Len(t, openAt(t, dir).Damaged(), 1)
		require.DirExists(t, filepath.Join(dir, "quarantine", id+".json.damaged"))
	})
	t.Run("a link is not written through", func(t *testing.T) {
		dir, victim := t.TempDir(), filepath.Join(t.TempDir(), "victim")
		require.NoError(t, os.WriteFile(victim, []byte("untouched"), 0o600))
		require.NoError(t, os.MkdirAll(filepath.Join(dir, "quarantine"), 0o700))
		m := openAt(t, dir)
		for _, name := range []string{"." + id + ".json", id + ".json"} {
			require.NoError(t, os.Symlink(victim, filepath.Join(dir, "quarantine", name)))
		}
		require.NoError(t, m.Apply(t.Context(), (&guard{}).order(id, quarantine.Pause)))
		content, err := os.ReadFile(victim)
		require.NoError(t, err)
		require.Equal(t, "untouched", string(content))
	})
}

func TestEvidenceThatCannotBeHadIsMarked(t *testing.T) {
	t.Parallel()
	d := testenv.Dockerd(t)
	g := newGuard(t, d, nil)
	id := d.Run(t, testenv.ContainerOptions{Host: map[string]any{"LogConfig": map[string]any{"Type": "none"}}})
	require.NoError(t, g.manager.Apply(t.Context(), g.order(id, quarantine.Isolate)))
	e, _ := g.manager.Get(id)
	require.Equal(t, quarantine.Held, e.State, "a piece that is missing holds nothing up")
	m := manifest(t, g.dir, g.order(id, quarantine.Isolate).ActionID)
	require.True(t, m.Partial)
	for _, p := range m.Pieces {
		require.Equal(t, p.File == "logs.jsonl", p.Error != "", "%+v", p)
		raw := evidence(t, g.dir, m.Action, p.File)
		sum := sha256.Sum256([]byte(raw))
		require.Equal(t, hex.EncodeToString(sum[:]), p.SHA256)
		require.Len(t, raw, int(p.Size))
	}
}

func TestWhatWasUndoneWhileTheGuardWasAway(t *testing.T) {
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
	require.NoError(t, g.manager.Release(t.Context(), released, "all clear"), "an engine that is away finishes it later")
	d.Start(t)
	d.Do(t, "POST", "/networks/"+shop+"/connect", map[string]string{"Container": held}, nil)
	d.Do(t, "POST", "/containers/"+held+"/start", nil, nil)
	require.False(t, g.isolated(t, held))
	began := time.Now()
	g.run(t)
	require.Eventually(t, func() bool { return g.isolated(t, held) }, 10*time.Second, 5*time.Millisecond)
	t.Logf("held again %v after the guard came back", time.Since(began))
	require.Eventually(t, func() bool { return len(g.manager.List()) == 1 }, 20*time.Second, 10*time.Millisecond)
	c := g.inspect(t, released)
	require.True(t, c.Running && !c.Paused && len(c.Networks) == 1 && c.RestartPolicy.Name == "always", "%+v", c)
}

func TestAnAddressOfTheEnginesChoiceIsGivenBack(t *testing.T) {
	t.Parallel()
	d := testenv.Dockerd(t)
	d.Network(t, "shop", "10.81.0.0/24")
	g := newGuard(t, d, nil)
	first := d.Run(t, testenv.ContainerOptions{Network: "shop"})
	second := d.Run(t, testenv.ContainerOptions{Network: "shop"})
	before := g.inspect(t, second)
	require.NoError(t, g.manager.Apply(t.Context(), g.order(second, quarantine.Isolate)))
	d.Remove(t, first) // now the engine would give the second the first's address
	require.NoError(t, g.manager.Release(t.Context(), second, "all clear"))
	after := g.inspect(t, second)
	require.Equal(t, before.Networks[0].IPv4, after.Networks[0].IPv4)
	require.Equal(t, before.Networks[0].MAC, after.Networks[0].MAC)

	d.Network(t, "auto", "")
	third := d.Run(t, testenv.ContainerOptions{Network: "auto"})
	before = g.inspect(t, third)
	require.NoError(t, g.manager.Apply(t.Context(), g.order(third, quarantine.Isolate)))
	taker := d.Run(t, testenv.ContainerOptions{Network: "auto"})
	require.Equal(t, before.Networks[0].IPv4, g.inspect(t, taker).Networks[0].IPv4, "somebody else has it by now")
	require.NoError(t, g.manager.Release(t.Context(), third, "all clear"))
	after = g.inspect(t, third)
	require.Len(t, after.Networks, 1)
	require.NotEqual(t, before.Networks[0].IPv4, after.Networks[0].IPv4)
	require.Contains(t, g.lastAction().Reason, "address on auto was "+before.Networks[0].IPv4.String(), "what could not be given back is said")
}

func TestEvidenceEndedByAReleaseIsMarked(t *testing.T) {
	t.Parallel()
	d := testenv.Dockerd(t)
	for range 3 { // released before or after its turn
		released := make(chan error, 1)
		var g *guard
		g = newGuard(t, d, func(o *quarantine.Options) {
			o.OnStep = func(id string, s quarantine.Step) {
				if s == quarantine.StepEvidence {
					go func() { released <- g.manager.Release(context.WithoutCancel(t.Context()), id, "all clear") }()
				}
			}
		})
		id := d.Run(t, testenv.ContainerOptions{})
		require.NoError(t, g.manager.Apply(t.Context(), g.order(id, quarantine.Isolate)))
		require.NoError(t, <-released)
		require.Empty(t, g.manager.List())
		m := manifest(t, g.dir, g.order(id, quarantine.Isolate).ActionID)
		require.NotEmpty(t, m.Pieces)
		for _, p := range m.Pieces {
			require.True(t, p.Error != "" || p.Size > 0, "%+v", p)
		}
	}
}

func TestLongLabelsDoNotCostTheWayBack(t *testing.T) {
	t.Parallel()
	d := testenv.Dockerd(t)
	g := newGuard(t, d, nil)
	id := d.Run(t, testenv.ContainerOptions{Labels: map[string]string{"long": strings.Repeat("<", 1<<20)}})
	require.NoError(t, g.manager.Apply(t.Context(), g.order(id, quarantine.Isolate)))
	again, err := quarantine.Open(quarantine.Options{Docker: g.client, DataDir: g.dir, Host: "test", Report: g.report})
	require.NoError(t, err, "the ledger can be read")
	t.Cleanup(func() { require.NoError(t, again.Close()) })
	require.NoError(t, again.Release(t.Context(), id, "all clear"))
	require.Len(t, g.inspect(t, id).Networks, 1)
}

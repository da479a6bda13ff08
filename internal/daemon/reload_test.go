package daemon_test

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/daemon"
)

// takes adds a module that takes a new configuration while it runs, or refuses it.
func takes(r *rig, name string, refuse error) {
	r.add(daemon.Spec{Name: name, Enabled: true, New: func(context.Context) (daemon.Module, error) {
		m := &reloadable{fake: fake{name: name, j: r.j}}
		m.prepare = func(cfg any) (func(), error) {
			r.j.add("prepare %s %v", name, cfg)
			return func() { r.j.add("commit %s %v", name, cfg) }, refuse
		}
		return m, nil
	}})
}

// rebuilt is a constructor of a new configuration.
func rebuilt(r *rig, name string) daemon.Build {
	return func(context.Context) (daemon.Module, error) {
		r.j.add("new %s", name)
		return &fake{name: name, j: r.j}, nil
	}
}

func (r *rig) hangUp() {
	r.signals <- syscall.SIGHUP
	synctest.Wait()
}

func TestReloadPreparesAllBeforeItCommitsAny(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		takes(r, "a", nil)
		takes(r, "b", nil)
		r.opts.Reload = func(context.Context) (daemon.Plan, error) {
			return daemon.Plan{
				Changes: []daemon.Change{{Key: "a.level", Old: "1", New: "2"}, {Key: "bus.listen", Old: "", New: "x", Restart: true}},
				Modules: []daemon.ModulePlan{{Name: "a", Config: 2, New: rebuilt(r, "a2")}, {Name: "b", Config: 3, New: rebuilt(r, "b2")}},
				Commit:  func() { r.j.add("commit daemon") },
			}, nil
		}
		r.settle()
		r.hangUp()
		require.Equal(t, []string{"prepare a 2", "prepare b 3", "commit a 2", "commit b 3", "commit daemon"}, r.j.all()[2:])
		require.Equal(t, logrus.Fields{"key": "a.level", "old": "1", "new": "2"}, r.entry("configuration changed").Data)
		require.Equal(t, "bus.listen", r.entry("configuration changed, used after a restart").Data["key"])
		r.stop()
		require.EqualValues(t, 1, r.entry("final statistics").Data["reloads"])
	})
}

func TestRefusedReloadChangesNothing(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		refuse, broken error
		panics         bool
	}{
		"a module refuses": {refuse: errors.New("no such folder")},
		"the file is broken": {broken: errors.Join(
			errors.New("ironpost.toml:3:1: log_pipeline.batch_size: is 0"), errors.New("ironpost.toml:4:1: nope: unknown key"))},
		"reading panics": {panics: true},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			takes(r, "a", nil)
			takes(r, "b", c.refuse)
			r.opts.Reload = func(context.Context) (daemon.Plan, error) {
				if c.panics {
					panic("boom")
				}
				return daemon.Plan{
					Modules: []daemon.ModulePlan{{Name: "a", Config: 2}, {Name: "b", Config: 3}},
					Commit:  func() { r.j.add("commit daemon") },
				}, c.broken
			}
			r.settle()
			for range 3 {
				r.hangUp()
			}
			for _, line := range r.j.all() {
				require.NotContains(t, line, "commit", name)
			}
			require.Contains(t, r.messages(), "configuration not reloaded, the last good one stays in force")
			if c.broken != nil {
				require.EqualValues(t, 2, r.entry("configuration not reloaded, the last good one stays in force").Data["problems"])
				require.ErrorContains(t, r.entry("configuration problem").Data["error"].(error), "ironpost.toml:4:1")
			}
			require.Equal(t, event.Healthy, r.health().Status)
			require.Contains(t, r.s.RefusedReload(), "reload refused at ")
			reg := prometheus.NewPedanticRegistry()
			require.NoError(t, r.s.Export(reg))
			require.NoError(t, testutil.GatherAndCompare(reg, strings.NewReader(`
# HELP ironpost_daemon_last_reload_successful Whether the last reload was done, not refused; 1 before the first one.
# TYPE ironpost_daemon_last_reload_successful gauge
ironpost_daemon_last_reload_successful 0
`), "ironpost_daemon_last_reload_successful"))
			r.stop()
			require.EqualValues(t, 3, r.entry("final statistics").Data["reloads_refused"])
		})
	}
}

func TestModuleWithoutReloadIsRebuilt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.module("m", nil)
		r.module("other", nil)
		r.opts.Reload = func(context.Context) (daemon.Plan, error) {
			return daemon.Plan{Modules: []daemon.ModulePlan{{Name: "m", New: rebuilt(r, "m2")}}}, nil
		}
		r.settle()
		r.hangUp()
		tail := r.j.all()[4:]
		require.Equal(t, []string{"new m2", "end m", "new m2", "run m2"}, tail, "tried first, then the old one stops before the new one runs")
		require.Equal(t, event.Healthy, r.of("m").Status)
		require.Zero(t, r.j.count("end other"))
		r.stop()
		require.EqualValues(t, 0, r.entry("final statistics").Data["restarts"])
	})
}

func TestFailingConstructorKeepsTheOldModule(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.module("m", nil)
		r.opts.Reload = func(context.Context) (daemon.Plan, error) {
			return daemon.Plan{Modules: []daemon.ModulePlan{{Name: "m", New: func(context.Context) (daemon.Module, error) { return nil, io.EOF }}}}, nil
		}
		r.settle()
		r.hangUp()
		require.Zero(t, r.j.count("end m"))
		r.stop()
	})
}

func TestReloaderIsRebuiltOnRequest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		takes(r, "m", nil)
		r.opts.Reload = func(context.Context) (daemon.Plan, error) {
			return daemon.Plan{Modules: []daemon.ModulePlan{{Name: "m", Config: 2, New: rebuilt(r, "m2"), Rebuild: true}}}, nil
		}
		r.settle()
		r.hangUp()
		require.Equal(t, []string{"new m2", "end m", "new m2", "run m2"}, r.j.all()[1:])
		r.stop()
	})
}

func TestReloadReachesAModuleInBackoff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.module("m", func(context.Context) error { return io.EOF })
		r.opts.Reload = func(context.Context) (daemon.Plan, error) {
			return daemon.Plan{Modules: []daemon.ModulePlan{{Name: "m", New: rebuilt(r, "repaired")}}}, nil
		}
		r.start()
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		began := time.Now()
		r.hangUp()
		require.Zero(t, time.Since(began))
		require.True(t, slices.Contains(r.j.all(), "run repaired"))
		r.stop()
	})
}

// The constructor of a restart may be slow; a configuration that is reloaded meanwhile is
// in force once it has returned.
func TestReloadReachesAModuleUnderConstruction(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		builds := 0
		r.add(daemon.Spec{Name: "m", Enabled: true, New: func(context.Context) (daemon.Module, error) {
			if builds++; builds > 1 {
				time.Sleep(time.Minute)
			}
			run := func(ctx context.Context) error { <-ctx.Done(); return nil }
			if builds == 1 {
				run = func(context.Context) error { return io.EOF }
			}
			return &fake{name: "m", j: r.j, run: run}, nil
		}})
		r.opts.Reload = func(context.Context) (daemon.Plan, error) {
			return daemon.Plan{Modules: []daemon.ModulePlan{{Name: "m", New: rebuilt(r, "m2")}}}, nil
		}
		r.start()
		time.Sleep(30 * time.Second)
		r.hangUp()
		time.Sleep(time.Minute)
		synctest.Wait()
		all := r.j.all()
		require.Equal(t, "run m2", all[len(all)-1], all)
		r.stop()
	})
}

func TestManyHangupsReloadOneAtATime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.module("m", nil)
		busy, reloads := false, 0
		r.opts.Reload = func(context.Context) (daemon.Plan, error) {
			require.False(t, busy)
			busy = true
			time.Sleep(time.Second)
			busy = false
			reloads++
			return daemon.Plan{}, nil
		}
		r.settle()
		for range 1000 {
			r.signals <- syscall.SIGHUP
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Positive(t, reloads)
		require.Less(t, reloads, 10)
		r.stop()
		require.Equal(t, 1, r.j.count("new m"))
	})
}

func TestHangingReloadDoesNotBlockTheStop(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		r := newRig(t)
		r.module("m", nil)
		r.opts.Reload = func(context.Context) (daemon.Plan, error) { <-release; return daemon.Plan{}, nil }
		r.settle()
		r.hangUp()
		began := time.Now()
		r.signals <- syscall.SIGTERM
		require.ErrorContains(t, <-r.result, "reload")
		require.Less(t, time.Since(began), 20*time.Second)
		require.Equal(t, 1, r.j.count("end m"))
		close(release)
		synctest.Wait()
	})
}

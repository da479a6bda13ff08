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
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/daemon"
	"github.com/ironpost/ironpost/internal/task"
)

func TestModulesStartAndStopInTheOrderOfTheTable(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		for _, name := range []string{"engine", "scanner", "pipeline", "guard", "collector"} {
			r.module(name, nil)
		}
		for _, name := range []string{"connections", "server"} {
			r.opts.After = append(r.opts.After, daemon.Step{Name: name, Close: func(context.Context) error {
				r.j.add("close %s", name)
				return nil
			}})
		}
		r.settle()
		require.True(t, r.s.Ready())
		r.stop()
		require.False(t, r.s.Ready())

		require.Equal(t, []string{"new engine", "new scanner", "new pipeline", "new guard", "new collector"}, r.j.all()[:5])
		require.Equal(t, []string{
			"end engine", "end scanner", "end pipeline", "end guard", "end collector", "close connections", "close server",
		}, r.j.all()[10:])
		log := r.messages()
		require.Equal(t, []string{"engine: module started", "scanner: module started", "pipeline: module started", "guard: module started", "collector: module started"}, log[:5])
		require.Subset(t, log, []string{"ready", "stopping", "final statistics"})
		i := slices.Index(log, "engine: module stopped")
		require.Equal(t, []string{"engine: module stopped", "scanner: module stopped", "pipeline: module stopped", "guard: module stopped", "collector: module stopped"}, log[i:i+5])
		require.EqualValues(t, 7, r.entry("module statistics").Data["seen"])
	})
}

func TestConstructorErrorEndsTheStartBeforeAnythingRuns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.module("first", nil)
		r.add(daemon.Spec{Name: "second", Enabled: true, New: func(context.Context) (daemon.Module, error) { return nil, io.EOF }})
		r.opts.After = []daemon.Step{{Name: "server", Close: func(context.Context) error { r.j.add("close"); return nil }}}
		r.start()
		err := <-r.result
		require.ErrorIs(t, err, io.EOF)
		require.ErrorContains(t, err, "module second")
		require.Equal(t, []string{"new first", "close"}, r.j.all())
	})
}

func TestPanickingConstructorReturnsAnError(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, daemon.Spec{Name: "m", Enabled: true, New: func(context.Context) (daemon.Module, error) { panic("boom") }})
		r.start()
		require.ErrorContains(t, <-r.result, "boom")
	})
}

func TestWithoutModulesTheDaemonIsHealthyAndStops(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, daemon.Spec{Name: "engine"}, daemon.Spec{Name: "pipeline"})
		r.settle()
		h := r.health()
		require.Equal(t, event.Healthy, h.Status)
		require.Len(t, h.Modules, 2)
		require.False(t, h.Modules[0].Enabled)
		r.signals <- syscall.SIGINT
		require.NoError(t, <-r.result)
	})
}

func TestPanicInOneModuleLeavesTheOthersRunning(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.module("guard", nil)
		r.module("pipeline", func(ctx context.Context) error {
			if r.j.count("run pipeline") > 1 {
				<-ctx.Done()
				return nil
			}
			g := task.New(ctx)
			g.Go("tailer", func(context.Context) error { panic("boom") })
			return g.Wait()
		})
		r.settle()

		pipeline := r.of("pipeline")
		require.Equal(t, event.Unhealthy, pipeline.Status)
		require.Contains(t, pipeline.Reasons[0], "panic in tailer: boom")
		require.Equal(t, event.Healthy, r.of("guard").Status)
		require.Contains(t, r.entry("module failed").Data["stack"], "supervisor_test.go")

		time.Sleep(2 * time.Second) // the bubble's clock
		synctest.Wait()
		require.Equal(t, 2, r.j.count("new pipeline"))
		require.Equal(t, 1, r.j.count("new guard"))
		require.Zero(t, r.j.count("end guard"))
		require.Equal(t, event.Degraded, r.of("pipeline").Status, "not forgotten at once")

		time.Sleep(2 * time.Minute)
		synctest.Wait()
		require.Equal(t, event.Healthy, r.of("pipeline").Status)
		r.stop()
	})
}

func TestModuleThatEndsWithoutStopHasFailed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.module("m", func(context.Context) error { return nil })
		r.settle()
		require.Equal(t, event.Unhealthy, r.of("m").Status)
		require.Contains(t, r.of("m").Reasons[0], "without being asked")
		r.signals <- syscall.SIGTERM
		require.NoError(t, <-r.result, "a stop while waiting for the restart is clean")
	})
}

func TestRestartsBackOffToOneMinute(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		var at []time.Time
		r.module("m", func(context.Context) error { at = append(at, time.Now()); return io.EOF })
		r.start()
		time.Sleep(10 * time.Minute)
		r.stop()

		want := time.Second
		for i := 1; i < 10; i++ {
			gap := at[i].Sub(at[i-1])
			require.GreaterOrEqual(t, gap, want*3/4, "restart %d", i)
			require.LessOrEqual(t, gap, min(want*5/4, time.Minute), "restart %d", i)
			want = min(2*want, time.Minute)
		}
	})
}

func TestBackoffResetsAfterALongRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		var ended time.Time
		var gaps []time.Duration
		r.module("m", func(ctx context.Context) error {
			if !ended.IsZero() {
				gaps = append(gaps, time.Since(ended))
			}
			if len(gaps) == 4 {
				time.Sleep(61 * time.Second)
			}
			ended = time.Now()
			return io.EOF
		})
		r.start()
		time.Sleep(2 * time.Minute)
		r.stop()
		require.Greater(t, gaps[3], 5*time.Second)
		require.Less(t, gaps[4], 2*time.Second)
	})
}

func TestFailingRebuildIsRetried(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		builds := 0
		r.add(daemon.Spec{Name: "m", Enabled: true, New: func(context.Context) (daemon.Module, error) {
			builds++
			if builds == 2 || builds == 3 {
				return nil, errors.New("not now")
			}
			run := func(ctx context.Context) error { <-ctx.Done(); return nil }
			if builds == 1 {
				run = func(context.Context) error { return io.EOF }
			}
			return &fake{name: "m", j: r.j, run: run}, nil
		}})
		r.start()
		time.Sleep(3 * time.Second)
		synctest.Wait()
		require.Contains(t, r.of("m").Reasons[0], "not now")
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		require.Equal(t, 4, builds)
		require.Equal(t, event.Healthy, r.of("m").Status)
		r.stop()
	})
}

func TestDuplicateModuleNameIsRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t, daemon.Spec{Name: "a"}, daemon.Spec{Name: "b"})
	r.opts.Specs = append(r.opts.Specs, daemon.Spec{Name: "a"})
	_, err := daemon.New(r.opts)
	require.ErrorContains(t, err, "twice")
}

func TestEndOfTheContextStopsTheDaemon(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.module("m", nil)
		s, err := daemon.New(r.opts)
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		require.NoError(t, s.Run(ctx))
		require.Equal(t, 1, r.j.count("end m"))
	})
}

func TestMetricsOfTheSupervisor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.module("m", nil)
		r.add(daemon.Spec{Name: "off"})
		r.settle()
		reg := prometheus.NewPedanticRegistry()
		require.NoError(t, r.s.Export(reg))
		require.NoError(t, testutil.GatherAndCompare(reg, strings.NewReader(`
# HELP ironpost_daemon_module_enabled Whether the module is enabled in the configuration.
# TYPE ironpost_daemon_module_enabled gauge
ironpost_daemon_module_enabled{module="m"} 1
ironpost_daemon_module_enabled{module="off"} 0
# HELP ironpost_daemon_ready Whether every module was started and the stop has not begun.
# TYPE ironpost_daemon_ready gauge
ironpost_daemon_ready 1
`), "ironpost_daemon_module_enabled", "ironpost_daemon_ready"))
		families, err := reg.Gather()
		require.NoError(t, err)
		problems, err := promlint.NewWithMetricFamilies(families).Lint()
		require.NoError(t, err)
		require.Empty(t, problems)
		r.stop()
	})
}

// slow is a fake that says when it works.
type slow struct {
	fake
	started chan struct{}
}

func (s *slow) Started() <-chan struct{} { return s.started }

func TestReadyWaitsForTheModulesToStart(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		after time.Duration // the module starts
		ready time.Duration // the daemon is
	}{
		"soon":  {time.Second, time.Second},
		"never": {time.Hour, 5 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			started := make(chan struct{})
			r.add(daemon.Spec{Name: "m", Enabled: true, New: func(context.Context) (daemon.Module, error) {
				return &slow{fake: fake{name: "m", j: r.j}, started: started}, nil
			}})
			time.AfterFunc(c.after, func() { close(started) })
			r.start()
			time.Sleep(c.ready - time.Millisecond)
			synctest.Wait()
			require.False(t, r.s.Ready(), name)
			time.Sleep(2 * time.Millisecond)
			synctest.Wait()
			require.True(t, r.s.Ready(), name)
			r.stop()
			require.False(t, r.s.Ready(), name)
		})
	}
}

// A module whose Run fails before it has started never closes Started. The daemon must
// not wait for it: neither to be ready nor to show why.
func TestReadyDoesNotWaitForAFailedModule(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.add(daemon.Spec{Name: "m", Enabled: true, New: func(context.Context) (daemon.Module, error) {
			return &slow{fake: fake{name: "m", j: r.j, run: func(context.Context) error { return io.EOF }}, started: make(chan struct{})}, nil
		}})
		began := time.Now()
		r.settle()
		require.True(t, r.s.Ready())
		require.Zero(t, time.Since(began))
		require.Equal(t, event.Unhealthy, r.of("m").Status)
		require.Equal(t, []string{"failed: EOF"}, r.of("m").Reasons)
		require.NotContains(t, r.messages(), "m: module has not started yet")
		r.stop()
	})
}

// A module that has not started yet is not healthy, whatever it says of itself.
func TestModuleIsDegradedUntilItHasStarted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		started := make(chan struct{})
		r.add(daemon.Spec{Name: "m", Enabled: true, New: func(context.Context) (daemon.Module, error) {
			return &slow{fake: fake{name: "m", j: r.j, health: says(event.Healthy)}, started: started}, nil
		}})
		var first []event.DaemonHealth
		r.opts.Publish = func(_ context.Context, h event.DaemonHealth) error { first = append(first, h); return nil }
		r.settle()
		require.Equal(t, event.Degraded, r.of("m").Status)
		require.Equal(t, []string{"starting"}, r.of("m").Reasons)
		require.Empty(t, first, "nothing is reported while modules start")
		close(started)
		synctest.Wait()
		require.Equal(t, event.Healthy, r.of("m").Status)
		require.Empty(t, r.of("m").Reasons)
		require.Equal(t, event.Healthy, first[0].Status)
		r.stop()
	})
}

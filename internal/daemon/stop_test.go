package daemon_test

import (
	"context"
	"errors"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/internal/daemon"
)

// hang ignores its context until release is closed.
func hang(release <-chan struct{}) func(context.Context) error {
	return func(context.Context) error { <-release; return nil }
}

func TestHangingModuleDoesNotBlockOthersFromStopping(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		r := newRig(t)
		r.module("stuck", hang(release))
		r.module("fine", nil)
		r.settle()
		began := time.Now()
		r.signals <- syscall.SIGTERM
		var late *daemon.TimeoutError
		require.ErrorAs(t, <-r.result, &late)
		require.Equal(t, []string{"stuck"}, late.Names)
		require.LessOrEqual(t, time.Since(began), 20*time.Second)
		require.Equal(t, 1, r.j.count("end fine"))
		require.Contains(t, r.messages(), "stuck: module did not stop in time")
		close(release)
		synctest.Wait()
	})
}

func TestSlowDrainMayUseTheTimeOthersDidNotNeed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		for _, name := range []string{"a", "b", "c", "d"} {
			r.module(name, nil)
		}
		r.module("collector", func(ctx context.Context) error {
			<-ctx.Done()
			time.Sleep(9 * time.Second)
			return nil
		})
		r.settle()
		r.stop()
	})
}

func TestSecondSignalEndsAtOnce(t *testing.T) {
	t.Parallel()
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		synctest.Test(t, func(t *testing.T) {
			release := make(chan struct{})
			r := newRig(t)
			r.module("stuck", hang(release))
			r.settle()
			r.signals <- syscall.SIGTERM
			synctest.Wait()
			began := time.Now()
			r.signals <- syscall.SIGHUP // is not a second one
			r.signals <- sig
			var forced *daemon.ForcedError
			require.ErrorAs(t, <-r.result, &forced)
			require.Equal(t, 128+int(sig), forced.ExitCode())
			require.Zero(t, time.Since(began))
			close(release)
			time.Sleep(time.Minute) // lets the abandoned stop end
		})
	}
}

func TestErrorWhileStoppingIsLoggedAndNotRestarted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.module("m", func(ctx context.Context) error { <-ctx.Done(); return errors.New("flush refused") })
		r.settle()
		r.stop()
		require.EqualError(t, r.entry("module stopped").Data["error"].(error), "flush refused")
		require.Equal(t, 1, r.j.count("new m"))
	})
}

func TestHangingOrPanickingStepsAreNamed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		r := newRig(t)
		r.opts.After = []daemon.Step{
			{Name: "connections", Close: hang(release)},
			{Name: "maintenance", Close: func(context.Context) error { panic("boom") }},
			{Name: "server", Close: func(context.Context) error { r.j.add("close server"); return nil }},
		}
		r.settle()
		r.signals <- syscall.SIGTERM
		var late *daemon.TimeoutError
		require.ErrorAs(t, <-r.result, &late)
		require.Equal(t, []string{"connections", "maintenance"}, late.Names)
		require.True(t, slices.Contains(r.j.all(), "close server"))
		close(release)
		synctest.Wait()
	})
}

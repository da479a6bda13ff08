package daemon_test

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/daemon"
	"github.com/ironpost/ironpost/internal/sdnotify"
)

func withHealth(r *rig, name string, health func() event.ModuleHealth) {
	r.add(daemon.Spec{Name: name, Enabled: true, New: func(context.Context) (daemon.Module, error) {
		return &fake{name: name, j: r.j, health: health}, nil
	}})
}

func says(status event.Status, reasons ...string) func() event.ModuleHealth {
	return func() event.ModuleHealth { return event.ModuleHealth{Status: status, Reasons: reasons} }
}

func TestHealthIsTheWorstOfTheEnabled(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		a, b event.Status
		want event.Status
	}{
		"all healthy":   {event.Healthy, event.Healthy, event.Healthy},
		"one degraded":  {event.Healthy, event.Degraded, event.Degraded},
		"one unhealthy": {event.Unhealthy, event.Degraded, event.Unhealthy},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			withHealth(r, "a", says(c.a, "why a"))
			withHealth(r, "b", says(c.b, "why b"))
			r.settle()
			require.Equal(t, c.want, r.health().Status, name)
			r.stop()
		})
	}
}

func TestModuleNotInThisBuildIsDegraded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, daemon.Spec{Name: "ebpf-engine", Enabled: true})
		r.settle()
		require.Equal(t, event.Degraded, r.of("ebpf-engine").Status)
		require.Equal(t, []string{"not part of this build"}, r.of("ebpf-engine").Reasons)
		r.stop()
	})
}

func TestObservedReasonsDegradeTheModuleByName(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.module("pipeline", nil)
		r.module("guard", nil)
		r.add(daemon.Spec{Name: "off", StillActive: func() []string { return []string{"its program is still attached"} }})
		r.opts.Observe = func(context.Context) map[string][]string {
			return map[string][]string{"pipeline": {"publish blocked for 6s"}, "off": {"no consumer"}, "bus": nil, "observer": {"port taken"}}
		}
		r.settle()
		require.Equal(t, event.Degraded, r.of("pipeline").Status)
		require.Equal(t, []string{"publish blocked for 6s"}, r.of("pipeline").Reasons)
		require.Equal(t, event.Healthy, r.of("guard").Status)
		require.Equal(t, event.Healthy, r.of("off").Status)
		require.Equal(t, []string{"disabled in the configuration", "its program is still attached"}, r.of("off").Reasons)
		require.Equal(t, event.Healthy, r.of("bus").Status)
		require.Equal(t, event.Degraded, r.of("observer").Status)
		r.stop()
	})
}

func TestHangingOrPanickingHealthCheckMakesItsModuleUnhealthy(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		r := newRig(t)
		withHealth(r, "hangs", func() event.ModuleHealth { <-release; return event.ModuleHealth{} })
		withHealth(r, "panics", func() event.ModuleHealth { panic("boom") })
		withHealth(r, "fine", says(event.Healthy))
		r.start()
		time.Sleep(5 * time.Second)
		synctest.Wait()
		require.Equal(t, event.Unhealthy, r.of("hangs").Status)
		require.Contains(t, r.of("panics").Reasons[0], "boom")
		require.Equal(t, event.Healthy, r.of("fine").Status)
		close(release)
		time.Sleep(5 * time.Second)
		require.Equal(t, event.Healthy, r.of("hangs").Status)
		r.stop()
	})
}

func TestHealthWithinDoesNotWaitForAHangingCheck(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var hangs atomic.Bool
		release := make(chan struct{})
		r := newRig(t)
		withHealth(r, "a", func() event.ModuleHealth {
			if hangs.Load() {
				<-release
			}
			return event.ModuleHealth{Status: event.Degraded}
		})
		r.settle()
		hangs.Store(true)
		time.Sleep(time.Second) // the last result no longer counts as new
		began := time.Now()
		h := r.s.HealthWithin(t.Context(), 50*time.Millisecond)
		require.Equal(t, 50*time.Millisecond, time.Since(began))
		require.Equal(t, event.Degraded, h.Status, "of the last check")
		close(release)
		time.Sleep(5 * time.Second)
		require.Equal(t, event.Degraded, r.s.HealthWithin(t.Context(), time.Second).Status)
		r.stop()
	})
}

// A failed module requests a check, perhaps while another caller's check is under way.
func TestTwoConcurrentHealthCallsBothSucceed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		withHealth(r, "slow", func() event.ModuleHealth { time.Sleep(answersAfter); return event.ModuleHealth{} })
		r.settle()
		time.Sleep(time.Second) // the answer of the start is forgotten
		first := make(chan event.DaemonHealth)
		go func() { first <- r.health() }()
		require.Equal(t, event.Healthy, r.health().Status)
		require.Equal(t, event.Healthy, (<-first).Status)
		r.stop()
	})
}

// One check after the other would take far longer than a health check may.
func TestConcurrentHealthCallsShareOneCheck(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		var asked atomic.Int32
		withHealth(r, "slow", func() event.ModuleHealth {
			asked.Add(1)
			time.Sleep(answersAfter)
			return event.ModuleHealth{}
		})
		r.settle()
		time.Sleep(time.Second) // the answer of the start is forgotten
		before := asked.Load()
		answers := make(chan event.DaemonHealth)
		for range 64 {
			go func() { answers <- r.s.Health(t.Context()) }()
		}
		for range 64 {
			require.Equal(t, event.Healthy, (<-answers).Status)
		}
		require.EqualValues(t, 1, asked.Load()-before)
		r.stop()
	})
}

// A caller whose context ends does not wait for another caller's check.
func TestHealthReturnsTheLastResultWhenItsContextEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		status, wait := event.Healthy, time.Duration(0)
		withHealth(r, "slow", func() event.ModuleHealth { time.Sleep(wait); return event.ModuleHealth{Status: status} })
		r.settle()
		time.Sleep(time.Second) // the answer of the start is forgotten
		status, wait = event.Degraded, answersAfter
		first := make(chan event.DaemonHealth)
		go func() { first <- r.s.Health(t.Context()) }()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), answersAfter/3)
		defer cancel()
		began := time.Now()
		require.Equal(t, event.Healthy, r.s.Health(ctx).Status, "the last that is known")
		require.Equal(t, answersAfter/3, time.Since(began))
		require.Equal(t, event.Degraded, (<-first).Status)
		r.stop()
	})
}

// answersAfter is long for a health check, and allowed.
const answersAfter = 300 * time.Millisecond

func TestHealthIsLoggedAndPublishedEveryInterval(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		var bad atomic.Bool
		withHealth(r, "m", func() event.ModuleHealth {
			if bad.Load() {
				return event.ModuleHealth{Status: event.Unhealthy, Reasons: []string{"broken"}}
			}
			return event.ModuleHealth{}
		})
		var published []event.DaemonHealth
		r.opts.Publish = func(_ context.Context, h event.DaemonHealth) error {
			published = append(published, h)
			return nil
		}
		r.start()
		time.Sleep(91 * time.Second)
		synctest.Wait()
		require.Len(t, published, 4)
		require.EqualValues(t, 90, published[3].UptimeSecs)
		began := published[3].Modules[0].Since

		bad.Store(true)
		r.s.SetHealthInterval(time.Second)
		time.Sleep(3 * time.Second)
		synctest.Wait()
		last := published[len(published)-1]
		require.GreaterOrEqual(t, len(published), 6)
		require.Equal(t, event.Unhealthy, last.Status)
		require.True(t, last.Modules[0].Since.After(began))
		require.Equal(t, logrus.ErrorLevel, r.entry("module unhealthy").Level)
		require.Equal(t, "m unhealthy", r.entry("health").Data["modules"])
		r.stop()
	})
}

// What does not change is logged once an hour; the rest is for debug.
func TestHealthIsLoggedAtInfoOnChangeAndHourly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		var lost atomic.Int64
		var reason atomic.Value
		withHealth(r, "m", func() event.ModuleHealth {
			if reason.Load() == nil {
				return event.ModuleHealth{}
			}
			return event.ModuleHealth{Status: event.Degraded, Reasons: []string{fmt.Sprintf("%d lines %s", lost.Add(1), reason.Load())}}
		})
		r.start()
		time.Sleep(59 * time.Minute)
		synctest.Wait()
		require.Equal(t, 1, r.logged("health", logrus.InfoLevel))
		require.Greater(t, r.logged("health", logrus.DebugLevel), 100)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		require.Equal(t, 2, r.logged("health", logrus.InfoLevel), "an hour has passed")
		for _, now := range []string{"lost", "dropped"} {
			reason.Store(now)
			time.Sleep(10 * time.Minute)
			synctest.Wait()
		}
		require.Equal(t, 1, r.logged("health", logrus.WarnLevel))
		require.Equal(t, 2, r.logged("module degraded", logrus.WarnLevel), "another reason, not another number")
		r.stop()
	})
}

func TestReasonsHaveTheTimeOfTheirBeginning(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		known := time.Now().Add(-time.Hour).UTC()
		var lost atomic.Int64
		withHealth(r, "m", func() event.ModuleHealth {
			text := fmt.Sprintf("%d lines lost", lost.Add(1))
			return event.ModuleHealth{Status: event.Degraded, Reasons: []string{"disk is full", text}, Details: []event.Reason{
				{Topic: "disk", Status: event.Degraded, Text: "disk is full", Since: known}, {Status: event.Degraded, Text: text},
			}}
		})
		r.settle()
		synctest.Wait()
		first := r.of("m").Details
		time.Sleep(time.Hour)
		last := r.of("m").Details
		require.Equal(t, known, last[0].Since)
		require.Equal(t, "disk", last[0].Topic)
		require.NotEqual(t, first[1].Text, last[1].Text)
		require.Equal(t, first[1].Since, last[1].Since, "the number changed, not the reason")
		r.stop()
	})
}

func TestLongReasonsAreCut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		reasons := make([]string, 100)
		for i := range reasons {
			reasons[i] = strings.Repeat("é", 1000)
		}
		withHealth(r, "m", says(event.Degraded, reasons...))
		r.settle()
		require.Len(t, r.of("m").Reasons, 16)
		require.Len(t, r.of("m").Reasons[0], 512)
		r.stop()
	})
}

func TestSystemdIsNotified(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	r := newRig(t)
	r.module("m", nil)
	r.opts.Notify = sdnotify.New(func(key string) string {
		return map[string]string{"NOTIFY_SOCKET": socket, "WATCHDOG_USEC": "20000"}[key]
	})
	r.opts.Reload = func(context.Context) (daemon.Plan, error) { return daemon.Plan{}, nil }
	r.start()
	awaitDatagram(t, conn, "READY=1")
	awaitDatagram(t, conn, "WATCHDOG=1")
	r.signals <- syscall.SIGHUP
	awaitDatagram(t, conn, "RELOADING=1\nMONOTONIC_USEC=")
	awaitDatagram(t, conn, "READY=1")
	r.signals <- syscall.SIGTERM
	awaitDatagram(t, conn, "STOPPING=1")
	require.NoError(t, <-r.result)
}

func awaitDatagram(t *testing.T, conn *net.UnixConn, prefix string) {
	t.Helper()
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(10*time.Second)))
	b := make([]byte, 4096)
	for {
		n, err := conn.Read(b)
		require.NoError(t, err, "waiting for %s", prefix)
		if strings.HasPrefix(string(b[:n]), prefix) {
			return
		}
	}
}

package quarantine_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/docker"
	"github.com/ironpost/ironpost/internal/testenv"
	"github.com/ironpost/ironpost/services/containerguard/quarantine"
)

// childVar turns the test binary into a guard that kills itself. Its value is the
// socket, data folder, verb or kind, container and step, separated by spaces.
const childVar = "IRONPOST_QUARANTINE_CHILD"

func TestMain(m *testing.M) {
	if job := os.Getenv(childVar); job != "" {
		if err := child(strings.Fields(job)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(testenv.RunInOwnNetwork(m)) // egress is cut in the network namespace of dockerd
}

// child applies or releases as a guard would, and kills itself when the ledger has
// the given step.
func child(job []string) error {
	socket, dir, verb, id, step := job[0], job[1], job[2], job[3], quarantine.Step(job[4])
	client, err := docker.Connect(socket)
	if err != nil {
		return err
	}
	m, err := quarantine.Open(quarantine.Options{
		Docker: client, DataDir: dir, Host: "child", Report: func(context.Context, event.Action) {},
		OnStep: func(_ string, s quarantine.Step) {
			if s == step {
				_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
				select {} // until the signal arrives
			}
		},
	})
	if err != nil {
		return err
	}
	if verb == "release" {
		_, err = m.Release(context.Background(), id, "all clear", "")
		return err
	}
	err = m.Apply(context.Background(), (&guard{}).order(id, quarantine.Kind(verb)))
	if e, _ := m.Get(id); e.Error != "" {
		fmt.Fprintln(os.Stderr, e.State, e.Step, e.Error)
	}
	return err
}

// killAt runs a child that is killed at a step, and reports whether it reached that step.
func killAt(t *testing.T, d *testenv.Docker, dir, verb, id string, step quarantine.Step) bool {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), childVar+"="+strings.Join([]string{d.Socket, dir, verb, id, string(step)}, " "))
	out, err := cmd.CombinedOutput()
	if exit, died := errors.AsType[*exec.ExitError](err); died {
		status, ok := exit.Sys().(syscall.WaitStatus)
		require.True(t, ok && status.Signal() == syscall.SIGKILL, "%s %s", err, out)
		return true
	}
	require.NoError(t, err, "%s", out)
	t.Logf("step %s was not reached: %s", step, out)
	return false
}

// crash is the two steps at which the guard of one container is killed.
type crash struct {
	kind               quarantine.Kind
	isolation, release quarantine.Step
}

func TestGuardKilledAtAnyStepFinishesAfterRestart(t *testing.T) {
	t.Parallel()
	d := testenv.Dockerd(t)
	d.Network(t, "one", "")
	two := d.Network(t, "two", "")
	for _, c := range []crash{
		{quarantine.Isolate, quarantine.StepIntent, quarantine.StepSever},
		{quarantine.Isolate, quarantine.StepFreeze, quarantine.StepConnect},
		{quarantine.Isolate, quarantine.StepRestartPolicy, quarantine.StepRestoreRestart},
		{quarantine.Isolate, quarantine.StepDisconnect, quarantine.StepThaw},
		{quarantine.Isolate, quarantine.StepHeld, quarantine.StepReleased},
		{quarantine.Isolate, quarantine.StepEvidence, quarantine.StepSever},
		{quarantine.Stop, quarantine.StepKill, quarantine.StepStart},
		{quarantine.Kill, quarantine.StepKill, quarantine.StepRestoreRestart},
	} {
		t.Run(fmt.Sprintf("%s, at %s, at %s", c.kind, c.isolation, c.release), func(t *testing.T) {
			id := d.Run(t, testenv.ContainerOptions{
				Network: "one", Restart: "unless-stopped", Endpoint: map[string]any{"Aliases": []string{"www"}},
			})
			t.Cleanup(func() { d.Remove(t, id) })
			d.Do(t, "POST", "/networks/"+two+"/connect", map[string]any{"Container": id, "EndpointConfig": map[string]any{"Aliases": []string{"db"}}}, nil)
			g := &guard{docker: d, dir: t.TempDir()}
			var err error
			g.client, err = docker.Connect(d.Socket)
			require.NoError(t, err)
			t.Cleanup(g.client.Close)
			before := g.inspect(t, id)

			require.True(t, killAt(t, d, g.dir, string(c.kind), id, c.isolation), "step %s was not reached", c.isolation)
			finishIsolation(t, g, id, c.kind)
			require.True(t, killAt(t, d, g.dir, "release", id, c.release), "step %s was not reached", c.release)
			finishRelease(t, g, before, c.kind)
		})
	}
}

func TestGuardKilledBeforeFreezeRechecksOrder(t *testing.T) {
	t.Parallel()
	d := testenv.Dockerd(t)
	for name, paused := range map[string]bool{"before": false, "after": true} {
		t.Run(name, func(t *testing.T) {
			id := d.Run(t, testenv.ContainerOptions{})
			g := newGuard(t, d, func(o *quarantine.Options) {
				o.Recheck = func(quarantine.Order, docker.Container) (string, bool) { return "not wanted any more", true }
				require.True(t, killAt(t, d, o.DataDir, "isolate", id, quarantine.StepFreeze))
			})
			if paused {
				d.Do(t, "POST", "/containers/"+id+"/pause", nil, nil)
			}
			g.run(t)
			require.Eventually(t, func() bool {
				e, held := g.manager.Get(id)
				return held == paused && (!held || e.State == quarantine.Held)
			}, 20*time.Second, 5*time.Millisecond)
			require.Equal(t, paused, g.inspect(t, id).Paused, "only a freeze that was done is carried on")
		})
	}
}

// finishIsolation restarts the guard and waits until the order is carried out.
func finishIsolation(t *testing.T, g *guard, id string, kind quarantine.Kind) {
	t.Helper()
	g.restart(t, func(m *quarantine.Manager) bool {
		e, held := m.Get(id)
		return held && e.State == quarantine.Held
	})
	c := g.inspect(t, id)
	want, _ := kind.Restrictions()
	require.Equal(t, "no", c.RestartPolicy.Name)
	require.True(t, !want.Disconnect || len(c.Networks) == 0)
	require.True(t, !want.Kill || !c.Running)
	require.True(t, !want.Freeze || want.Kill || c.Paused)
	m := manifest(t, g.dir, g.order(id, kind).ActionID)
	require.Len(t, m.Pieces, 7)
	for _, p := range m.Pieces {
		require.True(t, p.Error == "" || slices.Contains([]string{"top.json", "sockets.jsonl", "executables.jsonl"}, p.File) && !c.Running, "%+v", p)
		require.False(t, want.Freeze && p.Taken.Before(m.FrozenAt.Truncate(time.Microsecond)), "%+v", m)
	}
}

func finishRelease(t *testing.T, g *guard, before docker.Container, kind quarantine.Kind) {
	t.Helper()
	g.restart(t, func(m *quarantine.Manager) bool { return len(m.List()) == 0 })
	after := g.inspect(t, before.ID)
	if kind != quarantine.Isolate { // it was restarted
		before.PID, before.StartedAt, before.FinishedAt, before.SandboxKey = after.PID, after.StartedAt, after.FinishedAt, after.SandboxKey
	}
	require.Equal(t, restorable(before), restorable(after))
}

// restart opens the guard's folder with a new Manager and runs it until done.
func (g *guard) restart(t *testing.T, done func(*quarantine.Manager) bool) {
	t.Helper()
	m, err := quarantine.Open(quarantine.Options{Docker: g.client, DataDir: g.dir, Host: "test", Report: g.report})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- m.Run(ctx) }()
	require.Eventually(t, func() bool { return done(m) }, 20*time.Second, 5*time.Millisecond)
	cancel()
	require.NoError(t, <-ended)
	require.NoError(t, m.Close())
}

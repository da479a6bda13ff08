package task_test

import (
	"context"
	"errors"
	"io"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/ironpost/ironpost/internal/task"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func untilDone(ctx context.Context) error { <-ctx.Done(); return nil }

func TestWaitReturnsNilWhenAllTasksDo(t *testing.T) {
	t.Parallel()
	g := task.New(t.Context())
	for range 10 {
		g.Go("quiet", func(context.Context) error { return nil })
	}
	require.NoError(t, g.Wait())
	require.Error(t, g.Context().Err(), "the context ends with the group")
}

func TestFirstErrorEndsTheOthers(t *testing.T) {
	t.Parallel()
	g := task.New(t.Context())
	g.Go("patient", untilDone)
	g.Go("failing", func(context.Context) error { return io.EOF })
	require.ErrorIs(t, g.Wait(), io.EOF)
	require.ErrorIs(t, context.Cause(g.Context()), io.EOF)
}

func TestPanicBecomesTheGroupsError(t *testing.T) {
	t.Parallel()
	g := task.New(t.Context())
	g.Go("patient", untilDone)
	g.Go("reader", func(context.Context) error { panic("boom") })

	var p *task.PanicError
	require.ErrorAs(t, g.Wait(), &p)
	require.Equal(t, "reader", p.Task)
	require.Equal(t, "boom", p.Value)
	require.Contains(t, string(p.Stack), "group_test.go")
	require.EqualError(t, p, "panic in reader: boom")
}

func TestPanicKeepsTheErrorItCarried(t *testing.T) {
	t.Parallel()
	g := task.New(t.Context())
	g.Go("reader", func(context.Context) error { panic(io.ErrUnexpectedEOF) })
	require.ErrorIs(t, g.Wait(), io.ErrUnexpectedEOF)
}

func TestPanicNilIsAPanicToo(t *testing.T) {
	t.Parallel()
	g := task.New(t.Context())
	g.Go("reader", func(context.Context) error { panic(nil) })
	var p *task.PanicError
	require.ErrorAs(t, g.Wait(), &p)
}

func TestPanicPassesThroughNestedGroups(t *testing.T) {
	t.Parallel()
	outer := task.New(t.Context())
	outer.Go("service", func(ctx context.Context) error {
		inner := task.New(ctx)
		inner.Go("reader", func(context.Context) error { panic("deep") })
		return inner.Wait()
	})
	var p *task.PanicError
	require.ErrorAs(t, outer.Wait(), &p)
	require.Equal(t, "reader", p.Task)
}

func TestGoexitIsAnError(t *testing.T) {
	t.Parallel()
	g := task.New(t.Context())
	g.Go("gone", func(context.Context) error { runtime.Goexit(); return nil })
	require.ErrorIs(t, g.Wait(), task.ErrExited)
}

func TestParentEndsTheTasks(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	g := task.New(ctx)
	g.Go("patient", untilDone)
	cancel()
	require.NoError(t, g.Wait())
}

func TestCallRecovers(t *testing.T) {
	t.Parallel()
	err := task.Call(t.Context(), "inline", func(context.Context) error { panic(errors.New("x")) })
	require.EqualError(t, err, "panic in inline: x")
}

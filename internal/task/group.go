// Package task starts goroutines in groups that wait for them. A panic in one is
// recovered at its root and becomes the error of its group, so it ends a module and not
// the process. Every goroutine of the services and of internal is started here. It is a
// leaf package.
package task

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
)

// ErrExited is the error of a task that left through runtime.Goexit.
var ErrExited = errors.New("goroutine exited without returning")

// PanicError is a panic that was recovered at the root of a goroutine.
type PanicError struct {
	Task  string // name given to Go
	Value any    // what was passed to panic
	Stack []byte // stack of the goroutine that panicked
}

// Error names the task and the value. The stack is left out: it is for a field of the log.
func (e *PanicError) Error() string { return fmt.Sprintf("panic in %s: %v", e.Task, e.Value) }

// Unwrap returns the value if it is an error, else nil.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// Group is a set of tasks that end together: the first that returns an error, or
// panics, cancels the context of all. Its methods may be called concurrently,
// Go also from within a task, but not after Wait has returned.
type Group struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	wg     sync.WaitGroup

	once sync.Once
	err  error
}

// New returns an empty group whose tasks get a context derived from ctx.
func New(ctx context.Context) *Group {
	ctx, cancel := context.WithCancelCause(ctx)
	return &Group{ctx: ctx, cancel: cancel}
}

// Context returns the context of the tasks. It ends with the first error, with
// the parent's, or when Wait returns.
func (g *Group) Context() context.Context { return g.ctx }

// Go runs fn in a goroutine of its own. The name appears in the error of a panic.
func (g *Group) Go(name string, fn func(ctx context.Context) error) {
	g.wg.Go(func() {
		err := fmt.Errorf("%s: %w", name, ErrExited)
		defer func() {
			if err != nil {
				g.fail(err)
			}
		}()
		err = Call(g.ctx, name, fn)
	})
}

// Wait waits for every task and returns the first error, a *PanicError for a
// panic. It returns nil if all tasks returned nil, whatever became of the context.
func (g *Group) Wait() error {
	g.wg.Wait()
	g.cancel(context.Canceled)
	return g.err
}

func (g *Group) fail(err error) {
	g.once.Do(func() {
		g.err = err
		g.cancel(err)
	})
}

// Call runs fn in the caller's goroutine and returns its error; a panic becomes
// a *PanicError. An exit through runtime.Goexit (a test that fails) is not
// stopped: Call then does not return.
func Call(ctx context.Context, name string, fn func(ctx context.Context) error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &PanicError{Task: name, Value: v, Stack: debug.Stack()}
		}
	}()
	return fn(ctx)
}

package suite

import (
	"context"
	"errors"
	"syscall"

	"github.com/ironpost/ironpost/internal/daemon"
	"github.com/ironpost/ironpost/internal/task"
)

// errInterrupted is the error of a start that a signal ended.
var errInterrupted = errors.New("asked to stop before the start was complete")

// interruptible runs start, which cleans up after itself if it fails. The first signal
// to stop cancels it; a second one returns without waiting for it.
func (a *app) interruptible(ctx context.Context, start func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	result := make(chan error, 1)
	starting := task.New(ctx)
	starting.Go("start", func(ctx context.Context) error {
		result <- task.Call(ctx, "start", start)
		return nil
	})
	for {
		select {
		case err := <-result:
			if !errors.Is(context.Cause(ctx), errInterrupted) {
				return err
			}
			if err == nil { // it was complete when the signal came
				err = a.closeAll(context.WithoutCancel(ctx))
				return errors.Join(errInterrupted, err)
			}
			return errInterrupted
		case sig := <-a.process.Signals:
			if sig == syscall.SIGHUP {
				continue
			}
			if ctx.Err() != nil {
				return &daemon.ForcedError{Signal: sig}
			}
			a.log.WithField("signal", sig.String()).Info("stopping before the start is complete")
			cancel(errInterrupted)
		}
	}
}

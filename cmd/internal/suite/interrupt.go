package suite

import (
	"context"
	"errors"
	"os"
	"syscall"

	"github.com/ironpost/ironpost/internal/daemon"
	"github.com/ironpost/ironpost/internal/task"
)

// errInterrupted ends a start that a signal asked to end.
var errInterrupted = errors.New("asked to stop before the start was complete")

// interruptible runs start, which cleans up after itself if it fails, and ends it
// with the first signal to stop; a second one does not wait for it.
func (h *house) interruptible(ctx context.Context, start func(context.Context) error) error {
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
			return h.interrupted(ctx, err)
		case sig := <-h.process.Signals:
			if sig == syscall.SIGHUP {
				continue
			}
			if ctx.Err() != nil {
				return &daemon.ForcedError{Signal: sig}
			}
			h.logSignal(sig)
			cancel(errInterrupted)
		}
	}
}

// interrupted says how a start ended; one that was complete when the signal came is undone.
func (h *house) interrupted(ctx context.Context, err error) error {
	if !errors.Is(context.Cause(ctx), errInterrupted) {
		return err
	}
	if err == nil {
		err = h.closeAll(context.WithoutCancel(ctx))
		return errors.Join(errInterrupted, err)
	}
	return errInterrupted
}

func (h *house) logSignal(sig os.Signal) {
	h.log.WithField("signal", sig.String()).Info("stopping before the start is complete")
}

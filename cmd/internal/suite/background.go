package suite

import (
	"context"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/ironpost/ironpost/internal/task"
)

// retryPause is the wait before a failed background task runs again.
const retryPause = 5 * time.Second

// background runs the daemon's own tasks beside the modules.
type background struct {
	group  *task.Group
	cancel context.CancelFunc
	log    logrus.FieldLogger
}

// newBackground returns a background without tasks. It outlives ctx: stop ends it.
func newBackground(ctx context.Context, log logrus.FieldLogger) *background {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	return &background{group: task.New(ctx), cancel: cancel, log: log}
}

// once runs fn until it returns or stop is called.
func (b *background) once(name string, fn func(ctx context.Context) error) {
	b.group.Go(name, fn)
}

// repeat runs fn, again after an error or a panic, until stop is called. fn returns nil
// only when its context ends.
func (b *background) repeat(name string, fn func(ctx context.Context) error) {
	b.once(name, func(ctx context.Context) error {
		for ctx.Err() == nil {
			if err := task.Call(ctx, name, fn); err != nil {
				b.log.WithError(err).WithField("task", name).Error("background task failed, trying again")
			}
			select {
			case <-ctx.Done():
			case <-time.After(retryPause):
			}
		}
		return nil
	})
}

// stop ends the tasks and waits for them.
func (b *background) stop() error {
	b.cancel()
	return b.group.Wait()
}

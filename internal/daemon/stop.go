package daemon

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"

	"github.com/ironpost/ironpost/internal/task"
)

// TimeoutError names what had not stopped when its time was over.
type TimeoutError struct{ Names []string }

// Error lists the names.
func (e *TimeoutError) Error() string {
	return "did not stop in time: " + strings.Join(e.Names, ", ")
}

// stop runs the ordered stop while it keeps serving signals and the watchdog.
func (s *Supervisor) stop(ctx context.Context, g groups) error {
	s.notify(s.opts.Notify.Stopping())
	feed, stopFeeding := s.watchdog()
	defer stopFeeding()
	result := make(chan error, 1)
	stopping := task.New(context.WithoutCancel(ctx))
	stopping.Go("stop", func(ctx context.Context) error {
		result <- s.stopInOrder(ctx, g)
		return nil
	})
	for {
		select {
		case err := <-result:
			return errors.Join(err, stopping.Wait())
		case <-stopping.Context().Done(): // it panicked
			return stopping.Wait()
		case sig := <-s.opts.Signals:
			if sig != syscall.SIGHUP {
				return &ForcedError{Signal: sig}
			}
		case <-feed:
			s.notify(s.opts.Notify.Watchdog())
		}
	}
}

func (s *Supervisor) stopInOrder(ctx context.Context, g groups) error {
	began := time.Now()
	deadline := began.Add(s.opts.StopTimeout)
	failed := s.stopAux(ctx, g.aux, deadline)
	var late []string
	for i, name := range s.opts.StopOrder {
		if !s.stopModule(name, share(deadline, len(s.opts.StopOrder)-i)) {
			late = append(late, name)
		}
	}
	if len(late) == 0 {
		failed = errors.Join(failed, g.life.Wait())
	}
	late = append(late, s.closeSteps(ctx, deadline)...)
	s.logStatistics(ctx, began)
	if len(late) > 0 {
		return errors.Join(failed, &TimeoutError{Names: late})
	}
	return failed
}

// share divides what is left of the time among the left modules and, as one
// more, the steps after them. Who is quick leaves time to the others.
func share(deadline time.Time, left int) time.Duration {
	return max(time.Until(deadline)/time.Duration(left+1), 0)
}

// stopAux waits for the tasks of the supervisor itself; they end at once unless
// a module hangs in its reload.
func (s *Supervisor) stopAux(ctx context.Context, aux *task.Group, deadline time.Time) error {
	done := make(chan error, 1)
	waiting := task.New(ctx)
	waiting.Go("wait", func(context.Context) error { done <- aux.Wait(); return nil })
	select {
	case err := <-done:
		return err
	case <-time.After(share(deadline, len(s.opts.StopOrder)+1)):
		return errors.New("a reload did not end in time")
	}
}

// stopModule asks one module to stop, waits, logs, and returns false if it did not.
func (s *Supervisor) stopModule(name string, bound time.Duration) bool {
	r := s.runners[name]
	if r == nil {
		return true
	}
	began := time.Now()
	r.cancel()
	timer := time.NewTimer(bound)
	defer timer.Stop()
	select {
	case <-r.done:
	case <-timer.C:
		r.log.WithField("duration", time.Since(began).Round(time.Millisecond)).Error("module did not stop in time")
		return false
	}
	log := r.log.WithField("duration", time.Since(began).Round(time.Millisecond))
	if err := r.stopError(); err != nil {
		log = log.WithError(err)
	}
	log.Info("module stopped")
	return true
}

func (r *runner) stopError() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stopErr
}

// closeSteps closes what the modules used, in order, and returns what was late or failed.
func (s *Supervisor) closeSteps(ctx context.Context, deadline time.Time) (late []string) {
	ctx = context.WithoutCancel(ctx)
	for i, step := range s.opts.After {
		bound := max(share(deadline, len(s.opts.After)-i), time.Second)
		if err := s.closeStep(ctx, step, bound); err != nil {
			s.log.WithError(err).WithField("step", step.Name).Error("not closed properly")
			late = append(late, step.Name)
		}
	}
	return late
}

func (s *Supervisor) closeStep(ctx context.Context, step Step, bound time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	done := make(chan error, 1)
	closing := task.New(ctx)
	closing.Go(step.Name, func(ctx context.Context) error {
		done <- task.Call(ctx, step.Name, step.Close)
		return nil
	})
	select {
	case err := <-done:
		return err
	case <-time.After(bound + time.Second): // it ignores its context
		return fmt.Errorf("%s: %w", step.Name, context.DeadlineExceeded)
	}
}

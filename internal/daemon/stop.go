package daemon

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/ironpost/ironpost/internal/task"
)

// TimeoutError names what had not stopped when its time was over.
type TimeoutError struct{ Names []string }

// Error lists the names.
func (e *TimeoutError) Error() string {
	return "did not stop in time: " + strings.Join(e.Names, ", ")
}

// stop stops everything in order while it keeps serving signals and the watchdog.
func (s *Supervisor) stop(ctx context.Context, g groups) error {
	s.notify(s.opts.Notify.Stopping())
	tick, stopTicks := s.watchdogTicks()
	defer stopTicks()
	result := make(chan error, 1)
	inOrder := task.New(context.WithoutCancel(ctx))
	inOrder.Go("stop", func(ctx context.Context) error {
		result <- s.stopInOrder(ctx, g)
		return nil
	})
	for {
		select {
		case err := <-result:
			return errors.Join(err, inOrder.Wait())
		case <-inOrder.Context().Done(): // it panicked
			return inOrder.Wait()
		case sig := <-s.opts.Signals:
			if sig != syscall.SIGHUP {
				return &ForcedError{Signal: sig}
			}
		case <-tick:
			s.notify(s.opts.Notify.Watchdog())
		}
	}
}

// stopInOrder stops the tasks, then the modules, then the steps of Options.After.
func (s *Supervisor) stopInOrder(ctx context.Context, g groups) error {
	began := time.Now()
	deadline := began.Add(s.opts.StopTimeout)
	failed := s.stopTasks(ctx, g.tasks, deadline)
	var late []string
	runners := s.inOrder()
	for i, r := range runners {
		if !r.stopWithin(timeShare(deadline, len(runners)-i)) {
			late = append(late, r.name)
		}
	}
	if len(late) == 0 {
		failed = errors.Join(failed, g.modules.Wait())
	}
	late = append(late, s.closeSteps(ctx, deadline)...)
	s.logStatistics(ctx, began)
	if len(late) > 0 {
		return errors.Join(failed, &TimeoutError{Names: late})
	}
	return failed
}

// timeShare divides the time until deadline among the modules that remain and, as one
// more, the steps after them. What a quick one does not need, the others get.
func timeShare(deadline time.Time, remaining int) time.Duration {
	return max(time.Until(deadline)/time.Duration(remaining+1), 0)
}

// stopTasks waits for the tasks of the supervisor itself; they end at once unless
// a module hangs in its reload.
func (s *Supervisor) stopTasks(ctx context.Context, tasks *task.Group, deadline time.Time) error {
	done := make(chan error, 1)
	waiting := task.New(ctx)
	waiting.Go("wait", func(context.Context) error { done <- tasks.Wait(); return nil })
	select {
	case err := <-done:
		return err
	case <-time.After(timeShare(deadline, len(s.opts.Specs)+1)):
		return errors.New("a reload did not end in time")
	}
}

// stopWithin asks the module to stop, waits, logs, and returns false if it did not stop in time.
func (r *runner) stopWithin(bound time.Duration) bool {
	began := time.Now()
	r.setState(stopping)
	r.stop()
	timer := time.NewTimer(bound)
	defer timer.Stop()
	select {
	case <-r.done:
	case <-timer.C:
		r.log.WithField("duration", time.Since(began).Round(time.Millisecond)).Error("module did not stop in time")
		return false
	}
	log := r.log.WithField("duration", time.Since(began).Round(time.Millisecond))
	if r.stopErr != nil { // written before done was closed
		log = log.WithError(r.stopErr)
	}
	log.Info("module stopped")
	return true
}

// closeSteps closes the steps of Options.After in order and returns the names of those that were late or failed.
func (s *Supervisor) closeSteps(ctx context.Context, deadline time.Time) (late []string) {
	ctx = context.WithoutCancel(ctx)
	for i, step := range s.opts.After {
		bound := max(timeShare(deadline, len(s.opts.After)-i), time.Second)
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

// logStatistics logs the counters of each module and of the daemon, the last lines of its log.
func (s *Supervisor) logStatistics(ctx context.Context, stopBegan time.Time) {
	var restarts uint64
	for _, r := range s.inOrder() {
		now := r.snapshot()
		restarts += now.restarts
		fields := logrus.Fields{"restarts": now.restarts}
		for name, n := range r.callHealth(ctx, now.module).Counters {
			fields[name] = n
		}
		r.log.WithFields(fields).Info("module statistics")
	}
	s.log.WithFields(logrus.Fields{
		"uptime":          time.Since(s.opts.Began).Round(time.Millisecond),
		"stop_time":       time.Since(stopBegan).Round(time.Millisecond),
		"restarts":        restarts,
		"reloads":         s.reloads.done.Load(),
		"reloads_refused": s.reloads.refused.Load(),
	}).Info("final statistics")
}

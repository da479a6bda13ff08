package daemon

import (
	"context"
	"fmt"
	"os"
	"syscall"
	"time"
)

// ForcedError is the error of a stop that a second signal cut short.
type ForcedError struct{ Signal os.Signal }

// Error names the signal.
func (e *ForcedError) Error() string {
	return fmt.Sprintf("second signal (%s): ended at once", e.Signal)
}

// ExitCode returns 128 plus the number of the signal, as a shell does.
func (e *ForcedError) ExitCode() int {
	if n, ok := e.Signal.(syscall.Signal); ok {
		return 128 + int(n)
	}
	return 1
}

// serveSignals handles signals and the watchdog until something asks to stop: a
// signal, the end of ctx or the end of tasks, which is a fault of the supervisor. Systemd's watchdog
// is notified here and in stop alone, so it fires if this loop hangs.
func (s *Supervisor) serveSignals(ctx, tasks context.Context, reload chan<- struct{}) {
	tick, stopTicks := s.watchdogTicks()
	defer stopTicks()
	for {
		select {
		case <-ctx.Done():
			s.log.Info("stopping")
			return
		case <-tasks.Done():
			s.log.WithError(context.Cause(tasks)).Error("supervisor failed, stopping")
			return
		case sig := <-s.opts.Signals:
			if sig != syscall.SIGHUP {
				s.log.WithField("signal", sig.String()).Info("stopping")
				return
			}
			select {
			case reload <- struct{}{}:
			default: // one is waiting already
			}
		case <-tick:
			s.notify(s.opts.Notify.Watchdog())
		}
	}
}

// watchdogTicks returns a tick for each notification that systemd expects.
func (s *Supervisor) watchdogTicks() (tick <-chan time.Time, stop func()) {
	interval := s.opts.Notify.WatchdogInterval()
	if interval <= 0 {
		return nil, func() {}
	}
	ticker := time.NewTicker(interval)
	return ticker.C, ticker.Stop
}

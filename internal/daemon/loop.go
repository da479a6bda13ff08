package daemon

import (
	"context"
	"fmt"
	"os"
	"syscall"
	"time"
)

// ForcedError says that a second signal ended the daemon before its stop was complete.
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

// loop serves signals and the watchdog until it is asked to stop. The watchdog
// is fed here and nowhere else, so that it starves if this loop hangs.
func (s *Supervisor) loop(ctx, aux context.Context, reload chan<- struct{}) {
	feed, stopFeeding := s.watchdog()
	defer stopFeeding()
	for {
		select {
		case <-ctx.Done():
			s.log.Info("stopping")
			return
		case <-aux.Done():
			s.log.WithError(context.Cause(aux)).Error("supervisor failed, stopping")
			return
		case sig := <-s.opts.Signals:
			if sig != syscall.SIGHUP {
				s.log.WithField("signal", sig.String()).Info("stopping")
				return
			}
			select {
			case reload <- struct{}{}:
			default:
			}
		case <-feed:
			s.notify(s.opts.Notify.Watchdog())
		}
	}
}

// watchdog returns a tick for each notification that systemd expects.
func (s *Supervisor) watchdog() (tick <-chan time.Time, stop func()) {
	interval := s.opts.Notify.WatchdogInterval()
	if interval <= 0 {
		return nil, func() {}
	}
	ticker := time.NewTicker(interval)
	return ticker.C, ticker.Stop
}

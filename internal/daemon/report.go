package daemon

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/ironpost/ironpost/event"
)

// publishTimeout bounds Options.Publish.
const publishTimeout = 2 * time.Second

// watchHealth reports the health at once, every interval, and when something failed.
func (s *Supervisor) watchHealth(ctx context.Context) error {
	ticker := time.NewTicker(s.opts.HealthInterval)
	defer ticker.Stop()
	logged := logbook{modules: map[string]string{}}
	for {
		s.report(ctx, &logged)
		select {
		case <-ctx.Done():
			return nil
		case d := <-s.newInterval:
			ticker.Reset(d)
		case <-s.checkSoon:
		case <-ticker.C:
		}
	}
}

// SetHealthInterval changes how often health is checked.
func (s *Supervisor) SetHealthInterval(d time.Duration) {
	select {
	case <-s.newInterval:
	default:
	}
	select {
	case s.newInterval <- d:
	default:
	}
}

// requestCheck asks for a health report before the next interval.
func (s *Supervisor) requestCheck() {
	select {
	case s.checkSoon <- struct{}{}:
	default: // one is waiting already
	}
}

// logbook remembers what the log has of the health.
type logbook struct {
	modules map[string]string // the status and the reasons, without their numbers
	summary string
	at      time.Time // of the last entry about all modules
}

// summaryInterval is how often the health is logged at info though nothing changed.
const summaryInterval = time.Hour

// report logs the health, at debug if the log has the same within the hour, and publishes it.
func (s *Supervisor) report(ctx context.Context, logged *logbook) {
	h := s.checkAgain(ctx)
	if ctx.Err() != nil {
		return
	}
	for _, m := range h.Modules {
		if state := stateOf(m); m.Enabled && logged.modules[m.Name] != state {
			s.log.WithFields(logrus.Fields{"module": m.Name, "reasons": m.Reasons}).Log(levelOf(m.Status), "module "+m.Status.String())
			logged.modules[m.Name] = state
		}
	}
	words, level := summary(h.Modules), logrus.DebugLevel
	if now := time.Now(); words != logged.summary || now.Sub(logged.at) >= summaryInterval {
		level, logged.summary, logged.at = levelOf(h.Status), words, now
	}
	s.log.WithFields(logrus.Fields{
		"status": h.Status.String(), "uptime_secs": h.UptimeSecs, "modules": words,
	}).Log(level, "health")
	s.notify(s.opts.Notify.Status(h.Status.String() + ": " + words))
	if s.opts.Publish == nil {
		return
	}
	bound, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	if err := s.opts.Publish(bound, h); err != nil && ctx.Err() == nil {
		s.log.WithError(err).Warn("health not published")
	}
}

// stateOf returns the status of m and what is the reason for it, without numbers that change.
func stateOf(m event.ModuleHealth) string {
	words := []string{m.Status.String()}
	for _, d := range m.Details {
		if d.Status != event.Healthy {
			words = append(words, reasonKey(d))
		}
	}
	slices.Sort(words[1:])
	return strings.Join(words, "\n")
}

// summary returns the modules with their statuses, in one line.
func summary(modules []event.ModuleHealth) string {
	words := make([]string, len(modules))
	for i, m := range modules {
		status := m.Status.String()
		if !m.Enabled {
			status = "off"
		}
		words[i] = m.Name + " " + status
	}
	return strings.Join(words, ", ")
}

func levelOf(s event.Status) logrus.Level {
	switch s {
	case event.Healthy:
		return logrus.InfoLevel
	case event.Degraded:
		return logrus.WarnLevel
	}
	return logrus.ErrorLevel
}

package daemon

import (
	"context"
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
	logged := map[string]event.Status{}
	for {
		s.report(ctx, logged)
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

// report logs and publishes the health; logged holds the status that was logged last, by module.
func (s *Supervisor) report(ctx context.Context, logged map[string]event.Status) {
	h := s.checkAgain(ctx)
	if ctx.Err() != nil {
		return
	}
	for _, m := range h.Modules {
		if m.Enabled && logged[m.Name] != m.Status {
			s.log.WithFields(logrus.Fields{"module": m.Name, "reasons": m.Reasons}).Log(levelOf(m.Status), "module "+m.Status.String())
			logged[m.Name] = m.Status
		}
	}
	s.log.WithFields(logrus.Fields{
		"status": h.Status.String(), "uptime_secs": h.UptimeSecs, "modules": summary(h.Modules),
	}).Log(levelOf(h.Status), "health")
	s.notify(s.opts.Notify.Status(h.Status.String() + ": " + summary(h.Modules)))
	if s.opts.Publish == nil {
		return
	}
	bound, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	if err := s.opts.Publish(bound, h); err != nil && ctx.Err() == nil {
		s.log.WithError(err).Warn("health not published")
	}
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

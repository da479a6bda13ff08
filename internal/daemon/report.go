package daemon

import (
	"context"
	"strings"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/ironpost/ironpost/event"
)

// publishTime bounds Options.Publish.
const publishTime = 2 * time.Second

// watchHealth checks at the start, every interval, and when something failed.
func (s *Supervisor) watchHealth(ctx context.Context) error {
	ticker := time.NewTicker(s.opts.HealthInterval)
	defer ticker.Stop()
	known := map[string]event.Status{}
	for {
		s.report(ctx, known)
		select {
		case <-ctx.Done():
			return nil
		case d := <-s.interval:
			ticker.Reset(d)
		case <-s.check:
		case <-ticker.C:
		}
	}
}

// SetHealthInterval changes how often health is checked.
func (s *Supervisor) SetHealthInterval(d time.Duration) {
	select {
	case <-s.interval:
	default:
	}
	select {
	case s.interval <- d:
	default:
	}
}

// checkSoon asks for a health check out of turn.
func (s *Supervisor) checkSoon() {
	select {
	case s.check <- struct{}{}:
	default:
	}
}

// report logs and publishes the health; known is what was logged last, by module.
func (s *Supervisor) report(ctx context.Context, known map[string]event.Status) {
	h := s.checkAgain(ctx)
	if ctx.Err() != nil {
		return
	}
	for _, m := range h.Modules {
		if m.Enabled && known[m.Name] != m.Status {
			s.log.WithFields(logrus.Fields{"module": m.Name, "reasons": m.Reasons}).Log(levelOf(m.Status), "module "+m.Status.String())
			known[m.Name] = m.Status
		}
	}
	s.log.WithFields(logrus.Fields{
		"status": h.Status.String(), "uptime_secs": h.UptimeSecs, "modules": summary(h.Modules),
	}).Log(levelOf(h.Status), "health")
	s.notify(s.opts.Notify.Status(h.Status.String() + ": " + summary(h.Modules)))
	s.publish(ctx, h)
}

// summary is the modules with their statuses, in one line.
func summary(modules []event.ModuleHealth) string {
	words := make([]string, len(modules))
	for i, m := range modules {
		words[i] = m.Name + " " + statusWord(m)
	}
	return strings.Join(words, ", ")
}

func statusWord(m event.ModuleHealth) string {
	if !m.Enabled {
		return "off"
	}
	return m.Status.String()
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

func (s *Supervisor) publish(ctx context.Context, h event.DaemonHealth) {
	if s.opts.Publish == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, publishTime)
	defer cancel()
	if err := s.opts.Publish(ctx, h); err != nil && ctx.Err() == nil {
		s.log.WithError(err).Warn("health not published")
	}
}

package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/internal/storage"
)

// The health topics.
const (
	topic        = "postgres"
	topicDurable = "postgres durable"
)

// failure is why nothing is stored, and since when.
type failure struct {
	kind  storage.Kind
	since time.Time
}

// failed makes the module degraded and says how many records wait. A new kind of failure is logged.
func (s *Sink) failed(ctx context.Context, err error) {
	now := failure{kind: storage.Other, since: time.Now()}
	if e := (*storage.Error)(nil); errors.As(err, &e) {
		now.kind = e.Kind
	}
	s.failures.Add(1)
	before := s.failing.Load()
	if before != nil {
		now.since = before.since
	}
	s.failing.Store(&now)
	reason := fmt.Sprintf("%v (since %s)", err, now.since.UTC().Format(time.RFC3339))
	if waiting := s.waiting(ctx); waiting != "" {
		reason += ": " + waiting + " wait in their streams"
	}
	s.deps.Reasons.Set(topic, reason)
	if before == nil || before.kind != now.kind {
		s.log.WithError(err).WithField("kind", string(now.kind)).Error("records cannot be stored in PostgreSQL, they wait in their streams")
	}
}

// works is called when PostgreSQL stored or answered.
func (s *Sink) works() {
	before := s.failing.Swap(nil)
	if before == nil {
		return
	}
	s.deps.Reasons.Clear(topic)
	s.log.WithField("after_secs", int(time.Since(before.since).Seconds())).Info("PostgreSQL stores again")
}

// waiting says how many records are not stored, such as "12 alerts and 3 actions"; "" if the bus does not answer.
func (s *Sink) waiting(ctx context.Context) string {
	var parts []string
	for _, f := range s.feeds {
		n, err := s.deps.Bus.Waiting(ctx, f.durable)
		if err != nil {
			return ""
		}
		parts = append(parts, fmt.Sprintf("%d %s", n, f.name))
	}
	return strings.Join(parts, " and ")
}

// checkDurables reports durables that do not exist: where the module runs apart, the daemon that runs the
// bus must be configured for PostgreSQL too.
func (s *Sink) checkDurables(ctx context.Context) {
	var missing []string
	for _, f := range s.feeds {
		if _, err := s.deps.Bus.Waiting(ctx, f.durable); errors.Is(err, bus.ErrNotFound) {
			missing = append(missing, f.durable.Name)
		}
	}
	reason := ""
	if len(missing) > 0 {
		reason = "the bus has no durable " + strings.Join(missing, " and no ") +
			": set log_pipeline.storage.postgres_url where the bus runs too, and restart that daemon"
	}
	if s.deps.Reasons.Set(topicDurable, reason) && reason != "" {
		s.log.WithField("durables", missing).Error("durables missing, nothing is stored in PostgreSQL")
	}
}

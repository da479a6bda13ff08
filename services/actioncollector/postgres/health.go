package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/ironpost/ironpost/bus"
)

// topicDurable is the health topic of missing durables.
const topicDurable = "postgres durable"

// waiting says how many records are not stored, such as "12 alerts and 3 actions in their streams"; "" if the bus does not answer.
func (s *Sink) waiting(ctx context.Context) string {
	var parts []string
	for _, f := range s.feeds {
		n, err := s.deps.Bus.Waiting(ctx, f.durable)
		if err != nil {
			return ""
		}
		parts = append(parts, fmt.Sprintf("%d %s", n, f.name))
	}
	return strings.Join(parts, " and ") + " in their streams"
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

package daemon

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/sirupsen/logrus"
)

// logStatistics is the last word: what each module counted, and the daemon.
func (s *Supervisor) logStatistics(ctx context.Context, stopBegan time.Time) {
	var restarts uint64
	for _, spec := range s.opts.Specs {
		r := s.runners[spec.Name]
		if r == nil {
			continue
		}
		state := r.snapshot()
		restarts += state.restarts
		fields := logrus.Fields{"restarts": state.restarts}
		for name, n := range r.ask(ctx, state.module).Counters {
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

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

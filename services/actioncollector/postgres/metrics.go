package postgres

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ironpost/ironpost/internal/metrics"
)

const prefix = "ironpost_action_collector_postgres_"

// counts counts the records of one feed since the module started.
type counts struct{ stored, duplicates, rejected atomic.Uint64 }

type sinkMetrics struct{ seconds prometheus.Histogram }

func newMetrics() sinkMetrics {
	return sinkMetrics{seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: prefix + "write_duration_seconds", Help: "Time to store the records that arrived together in PostgreSQL, commit included.",
		Buckets: prometheus.ExponentialBuckets(0.001, 4, 8),
	})}
}

// Counters returns the counters as the module's health shows them.
func (s *Sink) Counters() map[string]uint64 {
	out := map[string]uint64{"postgres_failures": 0}
	if w := s.writer.Load(); w != nil {
		out["postgres_failures"] = w.Failures()
	}
	for _, f := range s.feeds {
		out["postgres_"+f.name+"_stored"] = f.stored.Load()
		out["postgres_"+f.name+"_duplicate"] = f.duplicates.Load()
		out["postgres_"+f.name+"_rejected"] = f.rejected.Load()
	}
	return out
}

// export registers the metrics until stop is called. s.writer is set.
func (s *Sink) export() (stop func(), err error) {
	return metrics.Export(s.deps.Metrics, prefix, metrics.Described{
		"records_total":    {"Records stored in PostgreSQL.", "table"},
		"duplicates_total": {"Deliveries of a record that was in PostgreSQL already.", "table"},
		"rejected_total":   {"Messages that were no valid record, or that PostgreSQL refused; they were dead-lettered.", "table"},
		"failures_total":   {"Failed calls of PostgreSQL."},
		"up":               {"1 while PostgreSQL stores, 0 while records wait for it."},
	}, func(to metrics.Sink) {
		for _, f := range s.feeds {
			to.Count("records_total", float64(f.stored.Load()), string(f.table))
			to.Count("duplicates_total", float64(f.duplicates.Load()), string(f.table))
			to.Count("rejected_total", float64(f.rejected.Load()), string(f.table))
		}
		w := s.writer.Load()
		to.Count("failures_total", float64(w.Failures()))
		to.Bool("up", w.Up())
	}, s.seconds)
}

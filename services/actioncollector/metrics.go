package actioncollector

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ironpost/ironpost/internal/metrics"
)

const prefix = "ironpost_action_collector_"

// counters count since the module started. They may be used concurrently.
type counters struct {
	audited, duplicates, rejected, writeFailures, breaks, repairs atomic.Uint64

	headSeq       atomic.Uint64
	appendSeconds prometheus.Histogram
}

func newCounters() counters {
	return counters{appendSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: prefix + "append_duration_seconds", Help: "Time to write the actions that arrived together to the disk, fsync included.",
		Buckets: prometheus.ExponentialBuckets(0.0001, 4, 9),
	})}
}

// byName returns the counters as Health shows them.
func (c *counters) byName() map[string]uint64 {
	return map[string]uint64{
		"actions_audited": c.audited.Load(), "actions_duplicate": c.duplicates.Load(),
		"actions_rejected": c.rejected.Load(), "write_failures": c.writeFailures.Load(),
		"trail_breaks": c.breaks.Load(), "trail_repairs": c.repairs.Load(), "trail_head": c.headSeq.Load(),
	}
}

// exportMetrics registers the metrics until stop is called.
func (s *Service) exportMetrics() (stop func(), err error) {
	return metrics.Export(s.deps.Metrics, prefix, metrics.Described{
		"records_total":        {"Actions written to the audit trail."},
		"duplicates_total":     {"Deliveries of an action that was in the audit trail already."},
		"rejected_total":       {"Messages that were no valid action and were dead-lettered."},
		"write_failures_total": {"Failed attempts to write actions to the audit trail."},
		"trail_breaks_total":   {"Times the audit trail was found damaged."},
		"trail_repairs_total":  {"Times an unfinished record was cut off the audit trail."},
		"trail_head":           {"Number of the newest record of the audit trail."},
	}, func(to metrics.Sink) {
		to.Count("records_total", float64(s.audited.Load()))
		to.Count("duplicates_total", float64(s.duplicates.Load()))
		to.Count("rejected_total", float64(s.rejected.Load()))
		to.Count("write_failures_total", float64(s.writeFailures.Load()))
		to.Count("trail_breaks_total", float64(s.breaks.Load()))
		to.Count("trail_repairs_total", float64(s.repairs.Load()))
		to.Gauge("trail_head", float64(s.headSeq.Load()))
	}, s.appendSeconds)
}

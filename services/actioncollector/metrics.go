package actioncollector

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics outlive an instance: a restarted module goes on counting.
type metrics struct {
	records, duplicates, rejected, failures, breaks, repairs prometheus.Counter
	head                                                     prometheus.Gauge
	append                                                   prometheus.Histogram
}

// newMetrics registers with r; nil means nobody asks.
func newMetrics(r prometheus.Registerer) (*metrics, error) {
	if r == nil {
		r = prometheus.NewRegistry()
	}
	reg := registry{r: r}
	m := &metrics{
		records:    reg.counter("records_total", "Actions written to the audit trail."),
		duplicates: reg.counter("duplicates_total", "Deliveries of an action that was in the audit trail already."),
		rejected:   reg.counter("rejected_total", "Messages that were no action and went to the dead letters."),
		failures:   reg.counter("write_failures_total", "Failed attempts to write an action to the audit trail."),
		breaks:     reg.counter("trail_breaks_total", "Times the audit trail was found damaged."),
		repairs:    reg.counter("trail_repairs_total", "Times an unfinished record was cut off the audit trail."),
		head: register[prometheus.Gauge](&reg, prometheus.NewGauge(prometheus.GaugeOpts{
			Name: prefix + "trail_head", Help: "Number of the newest record of the audit trail.",
		})),
		append: register[prometheus.Histogram](&reg, prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: prefix + "append_duration_seconds", Help: "Time to write the actions that arrived together to the disk, fsync included.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 4, 9),
		})),
	}
	return m, reg.err
}

const prefix = "ironpost_action_collector_"

// registry registers until the first error.
type registry struct {
	r   prometheus.Registerer
	err error
}

func (r *registry) counter(name, help string) prometheus.Counter {
	return register[prometheus.Counter](r, prometheus.NewCounter(prometheus.CounterOpts{Name: prefix + name, Help: help}))
}

// register returns the collector of this name, an earlier instance's if there is one.
func register[T prometheus.Collector](r *registry, c T) T {
	err := r.r.Register(c)
	if already, ok := errors.AsType[prometheus.AlreadyRegisteredError](err); ok {
		if earlier, ok := already.ExistingCollector.(T); ok {
			return earlier
		}
	}
	if err != nil && r.err == nil {
		r.err = fmt.Errorf("register metric: %w", err)
	}
	return c
}

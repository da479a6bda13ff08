package containerguard

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ironpost/ironpost/services/containerguard/quarantine"
)

const prefix = "ironpost_container_guard_"

// counters is what the module counts since it started.
type counters struct {
	alerts, updates, rejected, unmatched, skipped, unreported, dryRuns, orders, blocks, blockFailures, notifications, notifyFailures, waited atomic.Uint64
}

// count is one number that only grows.
type count struct {
	help  string
	value uint64
}

// counted names what is counted: for metrics with _total, for the status without.
func (s *Service) counted() map[string]count {
	c, evidence := &s.counters, quarantine.EvidenceStats{}
	if p := s.run.Load(); p != nil {
		evidence = p.quarantine.Evidence()
	}
	return map[string]count{
		"evidence_removed":      {"Actions whose evidence was removed, too old or to make room.", evidence.Removed},
		"evidence_refused":      {"Actions whose evidence was not kept, or not whole, because nothing could make room.", evidence.Refused},
		"alerts":                {"First alerts of a window, judged.", c.alerts.Load()},
		"alert_updates":         {"Updates of alerts, passed over.", c.updates.Load()},
		"alerts_rejected":       {"Messages that were no alert of their subject and went to the dead letters.", c.rejected.Load()},
		"alerts_unmatched":      {"Alerts that no policy was about.", c.unmatched.Load()},
		"alerts_waited":         {"Alerts that waited for Docker.", c.waited.Load()},
		"skipped":               {"Actions not taken, for a reason.", c.skipped.Load()},
		"skipped_unreported":    {"Of those, the ones not reported because the same was reported within a minute.", c.unreported.Load()},
		"dry_runs":              {"Actions not taken because of a dry run.", c.dryRuns.Load()},
		"orders":                {"Orders about containers, given to the quarantine.", c.orders.Load()},
		"blocks":                {"Source addresses written to the blocklist.", c.blocks.Load()},
		"block_failures":        {"Source addresses that could not be written to the blocklist.", c.blockFailures.Load()},
		"notifications":         {"Notifications that the webhook took.", c.notifications.Load()},
		"notification_failures": {"Notifications that could not be sent.", c.notifyFailures.Load()},
	}
}

// collector reads the numbers when they are asked for.
type collector struct {
	s       *Service
	answer  prometheus.Histogram
	gauges  map[string]*prometheus.Desc
	counter map[string]*prometheus.Desc
}

func newCollector(s *Service) *collector {
	c := &collector{s: s, gauges: map[string]*prometheus.Desc{}, counter: map[string]*prometheus.Desc{}}
	for name, row := range s.counted() {
		c.counter[name] = prometheus.NewDesc(prefix+name+"_total", row.help, nil, nil)
	}
	for name, help := range map[string]string{
		"containers":      "Containers there are.",
		"quarantined":     "Containers in the quarantine's ledger.",
		"alerts_waiting":  "Alerts that wait for Docker.",
		"policies":        "Policies in force.",
		"webhook_waiting": "Notifications that are queued.",
		"evidence_bytes":  "Bytes of evidence on the disk, as container.evidence_max_bytes counts.",
	} {
		c.gauges[name] = prometheus.NewDesc(prefix+name, help, nil, nil)
	}
	c.answer = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: prefix + "answer_duration_seconds", Help: "From the delivery of an alert to the end of its actions, reports stored.",
		Buckets: prometheus.ExponentialBuckets(0.001, 2, 15),
	})
	return c
}

// export registers the metrics for as long as the service runs.
func (s *Service) export() (stop func(), err error) {
	if s.deps.Metrics == nil {
		return func() {}, nil
	}
	if err := s.deps.Metrics.Register(s.metrics); err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	return func() { s.deps.Metrics.Unregister(s.metrics) }, nil
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range c.counter {
		out <- d
	}
	for _, d := range c.gauges {
		out <- d
	}
	c.answer.Describe(out)
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	for name, row := range c.s.counted() {
		out <- prometheus.MustNewConstMetric(c.counter[name], prometheus.CounterValue, float64(row.value))
	}
	for name, value := range c.s.levels() {
		out <- prometheus.MustNewConstMetric(c.gauges[name], prometheus.GaugeValue, float64(value))
	}
	c.answer.Collect(out)
}

// levels are what goes up and down.
func (s *Service) levels() map[string]uint64 {
	out := map[string]uint64{"policies": uint64(len(s.policies.Load().Enabled())), "webhook_waiting": uint64(s.notifier.Pending())}
	if p := s.run.Load(); p != nil {
		out["containers"] = uint64(p.inventory.Stats().Containers)
		out["quarantined"] = uint64(len(p.quarantine.List()))
		out["evidence_bytes"] = uint64(p.quarantine.Evidence().Bytes)
		out["alerts_waiting"] = uint64(p.waiting.len())
	}
	return out
}

// answered observes how long an alert took.
func (s *Service) answered(began time.Time) { s.metrics.answer.Observe(time.Since(began).Seconds()) }

package containerguard

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ironpost/ironpost/internal/metrics"
	"github.com/ironpost/ironpost/services/containerguard/quarantine"
)

const metricPrefix = "ironpost_container_guard_"

// counters count since the start.
type counters struct {
	alerts, updates, rejected, unmatched, waited, answeredLate atomic.Uint64
	skipped, unreported, dryRuns                               atomic.Uint64
	blocksCapped, blocksYielded                                atomic.Uint64
	orders, blocks, blockFailures                              atomic.Uint64
	notifications, notifyFailures                              atomic.Uint64
}

// metric is one number with its help text.
type metric struct {
	help  string
	value uint64
}

// counterMetrics returns the counters, by the name that health shows; Prometheus gets
// them with _total.
func (s *Service) counterMetrics() map[string]metric {
	c, evidence := &s.counters, quarantine.EvidenceStats{}
	var dropped, unchecked uint64
	if run := s.run.Load(); run != nil {
		evidence = run.quarantine.Evidence()
		_, dropped = run.waiting.counts()
		unchecked = run.sensor.Dropped()
	}
	return map[string]metric{
		"evidence_removed":      {"Actions whose evidence was removed, too old or to make room.", evidence.Removed},
		"evidence_refused":      {"Actions whose evidence was not kept, or not whole, because nothing could make room.", evidence.Refused},
		"alerts":                {"First alerts of a window, evaluated.", c.alerts.Load()},
		"alert_updates":         {"Further revisions of series, ignored while an answer to their series holds, unless escalated.", c.updates.Load()},
		"answered_late":         {"Alerts answered after steps had waited, such as for better evidence or for room.", c.answeredLate.Load()},
		"waiting_dropped":       {"Alerts with waiting steps that were dropped for stronger ones.", dropped},
		"connections_unchecked": {"Attempts of containers to connect that there was no room to check; those that lasted were found in the kernel's table.", unchecked},
		"alerts_rejected":       {"Messages that were no alert of their subject and were dead-lettered.", c.rejected.Load()},
		"alerts_unmatched":      {"Alerts to which no policy applied.", c.unmatched.Load()},
		"alerts_waited":         {"Alerts that became pending because Docker was away.", c.waited.Load()},
		"skipped":               {"Steps skipped, for a reason.", c.skipped.Load()},
		"skipped_unreported":    {"Skipped steps and dry runs not reported because the same was reported within a minute.", c.unreported.Load()},
		"dry_runs":              {"Steps not done because of a dry run.", c.dryRuns.Load()},
		"orders":                {"Orders about containers, given to the quarantine.", c.orders.Load()},
		"blocks":                {"Source addresses written to the blocklist.", c.blocks.Load()},
		"block_failures":        {"Source addresses that could not be written to the blocklist.", c.blockFailures.Load()},
		"blocks_capped":         {"Refusals of a block by a cap, container.max_blocks and its like; it is tried again when there is room.", c.blocksCapped.Load()},
		"blocks_yielded":        {"Blocks removed for one with stronger evidence, because there was no room for both.", c.blocksYielded.Load()},
		"notifications":         {"Notifications that the webhook accepted.", c.notifications.Load()},
		"notification_failures": {"Notifications that could not be sent, those refused by the full queue included.", c.notifyFailures.Load()},
	}
}

// gaugeMetrics returns what goes up and down.
func (s *Service) gaugeMetrics() map[string]metric {
	var containers, quarantined, pending, blocks int
	var evidence int64
	var steps map[need]int
	if run := s.run.Load(); run != nil {
		containers, pending = run.inventory.Count(), run.pending.len()
		for _, e := range run.quarantine.List() {
			if e.Gone.IsZero() {
				quarantined++
			}
		}
		evidence = run.quarantine.Evidence().Bytes
		steps, _ = run.waiting.counts()
		blocks = run.blocks.Count()
	}
	gauges := map[string]metric{
		"containers":      {"Containers that exist.", uint64(containers)},
		"quarantined":     {"Containers in quarantine, without those that were removed.", uint64(quarantined)},
		"alerts_waiting":  {"Alerts that wait for Docker, at most 1024.", uint64(pending)},
		"blocks_held":     {"Addresses and networks blocked by policies now, as container.max_blocks counts.", uint64(blocks)},
		"policies":        {"Policies in force.", uint64(len(s.policies.Load().Enabled()))},
		"webhook_waiting": {"Notifications that are queued or being sent, at most 256.", uint64(s.notifier.Pending())},
		"evidence_bytes":  {"Bytes of evidence on the disk, as container.evidence_max_bytes counts.", uint64(evidence)},
	}
	for _, n := range []need{needConnection, needEvidence, needSign, needTime, needApproval, needRoom} {
		gauges["steps_waiting_for_"+string(n)] = metric{"Steps of policies that wait: see ironpost quarantine waiting.", uint64(steps[n])}
	}
	return gauges
}

func newAnswerDuration() prometheus.Histogram {
	return prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: metricPrefix + "answer_duration_seconds", Help: "From the delivery of an alert to the end of its actions, reports stored.",
		Buckets: prometheus.ExponentialBuckets(0.001, 2, 15),
	})
}

// exportMetrics registers the metrics until stop is called.
func (s *Service) exportMetrics() (stop func(), err error) {
	described := metrics.Described{}
	for name, m := range s.counterMetrics() {
		described[name+"_total"] = []string{m.help}
	}
	for name, m := range s.gaugeMetrics() {
		described[name] = []string{m.help}
	}
	return metrics.Export(s.deps.Metrics, metricPrefix, described, func(sink metrics.Sink) {
		for name, m := range s.counterMetrics() {
			sink.Count(name+"_total", float64(m.value))
		}
		for name, m := range s.gaugeMetrics() {
			sink.Gauge(name, float64(m.value))
		}
	}, s.answerDuration)
}

package logpipeline

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ironpost/ironpost/services/logpipeline/syslog"
	"github.com/ironpost/ironpost/services/logpipeline/tail"
)

const prefix = "ironpost_log_pipeline_"

// export registers the metrics for as long as the service runs: an instance that
// is built again after a failure registers its own.
func (s *Service) export() (stop func(), err error) {
	if s.deps.Metrics == nil {
		return func() {}, nil
	}
	c := newCollector(s)
	if err := s.deps.Metrics.Register(c); err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	return func() { s.deps.Metrics.Unregister(c) }, nil
}

// collector reads the numbers when they are asked for.
type collector struct {
	s     *Service
	descs map[string]*prometheus.Desc
}

// described names every metric: its help, and its label if it has one.
func described() map[string][2]string {
	return map[string][2]string{
		"lines_total":                     {"Lines judged."},
		"bytes_total":                     {"Bytes of the lines judged."},
		"packets_total":                   {"Records of the engine judged."},
		"quarantined_total":               {"Lines and records put aside because judging them panicked again and again."},
		"packets_again_total":             {"Records of the engine delivered again and left out."},
		"unparsed_lines_total":            {"Lines of no known format, judged as a message."},
		"truncated_lines_total":           {"Lines longer than max_line_bytes, cut."},
		"lost_bytes_total":                {"Bytes of files lost before they were read.", "reason"},
		"rotations_total":                 {"Files replaced or truncated under their path."},
		"files":                           {"Files followed."},
		"containers":                      {"Containers whose logs are followed."},
		"container_lines_total":           {"Lines of containers' logs judged."},
		"containers_missed_total":         {"Containers removed before their logs could be read."},
		"lag_bytes":                       {"Bytes written and not yet read."},
		"alerts_total":                    {"Alerts published, updates aside."},
		"alert_updates_total":             {"Updates published: windows that ended with more than one alert."},
		"alerts_suppressed_total":         {"Alerts counted in an open window instead of published."},
		"alerts_refused_total":            {"Alerts that were no valid record."},
		"dedup_windows":                   {"Open deduplication windows."},
		"dedup_evictions_total":           {"Deduplication windows closed early because there were too many."},
		"correlation_groups":              {"Groups that correlations count for."},
		"correlation_evictions_total":     {"Groups and events dropped because there were too many.", "what"},
		"rules":                           {"Rules and correlations in force."},
		"checkpoints_total":               {"Checkpoints written."},
		"checkpoint_errors_total":         {"Checkpoints that could not be written."},
		"publish_retries_total":           {"Publishes repeated."},
		"publish_blocked_seconds_total":   {"Time spent waiting because alerts could not be stored."},
		"syslog_received_total":           {"Syslog messages received.", "transport"},
		"syslog_dropped_total":            {"Syslog messages dropped.", "reason"},
		"syslog_closed_connections_total": {"Syslog connections closed by us or reset.", "reason"},
		"syslog_connections":              {"Open syslog connections."},
		"spool_bytes":                     {"Size of the syslog spool."},
		"spool_errors_total":              {"Spool records that could not be read."},
	}
}

func newCollector(s *Service) *collector {
	c := &collector{s: s, descs: map[string]*prometheus.Desc{}}
	for name, d := range described() {
		var labels []string
		if d[1] != "" {
			labels = []string{d[1]}
		}
		c.descs[name] = prometheus.NewDesc(prefix+name, d[0], labels, nil)
	}
	return c
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range c.descs {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	n := c.s.snapshot()
	m := sink{c: c, out: out}
	m.flow(n)
	m.alerts(n)
	m.state(n)
}

// sink sends values under their names.
type sink struct {
	c   *collector
	out chan<- prometheus.Metric
}

func (m sink) flow(n snapshot) {
	m.count("lines_total", float64(m.c.s.lines.Load()))
	m.count("bytes_total", float64(m.c.s.bytes.Load()))
	m.count("packets_total", float64(m.c.s.packets.Load()))
	m.count("quarantined_total", float64(m.c.s.quarantined.Load()))
	m.count("packets_again_total", float64(m.c.s.packetsAgain.Load()))
	m.count("unparsed_lines_total", float64(m.c.s.unparsed.Load()))
	m.count("truncated_lines_total", float64(n.tail.Truncated+n.syslog.Truncated)+float64(n.docker.Truncated))
	m.count("rotations_total", float64(n.tail.Rotations))
	m.counts("lost_bytes_total", n.tail.Lost, tail.LostReasons())
	m.counts("syslog_received_total", n.syslog.Received, []string{syslog.UDP, syslog.TCP})
	m.counts("syslog_dropped_total", n.syslog.Dropped, syslog.DropReasons())
	m.counts("syslog_closed_connections_total", n.syslog.Closed, syslog.CloseReasons())
	m.count("container_lines_total", float64(n.docker.Lines))
	m.count("containers_missed_total", float64(n.docker.Missed))
	m.count("spool_errors_total", float64(m.c.s.spoolErrors.Load()))
}

func (m sink) alerts(n snapshot) {
	m.count("alerts_total", float64(m.c.s.alerts.Load()))
	m.count("alert_updates_total", float64(m.c.s.updates.Load()))
	m.count("alerts_suppressed_total", float64(n.dedup.Suppressed))
	m.count("alerts_refused_total", float64(m.c.s.invalid.Load()))
	m.count("dedup_evictions_total", float64(n.dedup.Evicted))
	m.count("correlation_evictions_total", float64(n.correlator.EvictedGroups), "groups")
	m.count("correlation_evictions_total", float64(n.correlator.EvictedEvents), "events")
	m.count("publish_retries_total", float64(n.pub.Retries))
	m.count("publish_blocked_seconds_total", n.pub.BlockedSeconds)
	m.count("checkpoints_total", float64(m.c.s.checkpoints.Load()))
	m.count("checkpoint_errors_total", float64(m.c.s.checkpointErrors.Load()))
}

func (m sink) state(n snapshot) {
	m.gauge("containers", float64(n.docker.Containers))
	m.gauge("files", float64(n.tail.Files))
	m.gauge("lag_bytes", float64(n.tail.Lag))
	m.gauge("dedup_windows", float64(n.dedup.Open))
	m.gauge("correlation_groups", float64(n.correlator.Groups))
	m.gauge("rules", float64(n.rules))
	m.gauge("syslog_connections", float64(n.syslog.Connections))
	m.gauge("spool_bytes", float64(n.syslog.SpoolBytes))
}

// counts sends a value for each label, also those nothing was counted for yet: a rate
// needs a beginning.
func (m sink) counts(name string, values map[string]int64, labels []string) {
	for _, label := range labels {
		m.count(name, float64(values[label]), label)
	}
}

func (m sink) count(name string, v float64, labels ...string) {
	m.out <- prometheus.MustNewConstMetric(m.c.descs[name], prometheus.CounterValue, v, labels...)
}

func (m sink) gauge(name string, v float64) {
	m.out <- prometheus.MustNewConstMetric(m.c.descs[name], prometheus.GaugeValue, v)
}

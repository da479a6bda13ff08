package logpipeline

import (
	"github.com/ironpost/ironpost/internal/metrics"
	"github.com/ironpost/ironpost/services/logpipeline/syslog"
	"github.com/ironpost/ironpost/services/logpipeline/tail"
)

const prefix = "ironpost_log_pipeline_"

// exportMetrics registers the metrics until stop is called.
func (s *Service) exportMetrics() (stop func(), err error) {
	return metrics.Export(s.deps.Metrics, prefix, described(), func(to metrics.Sink) {
		n, m := s.snapshot(), sink{Sink: to, s: s}
		m.input(n)
		m.alerts(n)
		m.state(n)
	})
}

// described returns the help text, and the label if there is one, of every metric.
func described() metrics.Described {
	return metrics.Described{
		"lines_total":                     {"Lines processed."},
		"bytes_total":                     {"Bytes of the lines processed."},
		"packets_total":                   {"Packet records processed."},
		"quarantined_total":               {"Lines and packet records dead-lettered because processing them panicked repeatedly."},
		"packets_again_total":             {"Packet records that were delivered again and skipped."},
		"unparsed_lines_total":            {"Lines of no known format, matched as plain text."},
		"truncated_lines_total":           {"Lines longer than max_line_bytes, cut."},
		"lost_bytes_total":                {"Bytes of files lost before they were read.", "reason"},
		"rotations_total":                 {"Files replaced or truncated under their path."},
		"files":                           {"Files followed."},
		"containers":                      {"Containers whose logs are read."},
		"container_lines_total":           {"Lines of container logs processed."},
		"containers_missed_total":         {"Containers removed before their logs could be read."},
		"lag_bytes":                       {"Bytes written and not yet read."},
		"alerts_total":                    {"Alerts published, updates aside."},
		"alert_updates_total":             {"Updates published: windows that ended with more than one alert."},
		"alerts_suppressed_total":         {"Alerts counted in an open window instead of published."},
		"alerts_refused_total":            {"Alerts that were no valid record and were dropped."},
		"dedup_windows":                   {"Open deduplication windows."},
		"dedup_evictions_total":           {"Deduplication windows closed early because there were too many."},
		"correlation_groups":              {"Groups that correlations count for."},
		"correlation_evictions_total":     {"Groups and events dropped because there were too many.", "what"},
		"rules":                           {"Rules and correlations in use."},
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

// sink sends the values of the service to one scrape.
type sink struct {
	metrics.Sink
	s *Service
}

func (m sink) input(n snapshot) {
	m.Count("lines_total", float64(m.s.lines.Load()))
	m.Count("bytes_total", float64(m.s.bytes.Load()))
	m.Count("packets_total", float64(m.s.packets.Load()))
	m.Count("quarantined_total", float64(m.s.quarantined.Load()))
	m.Count("packets_again_total", float64(m.s.packetsAgain.Load()))
	m.Count("unparsed_lines_total", float64(m.s.unparsed.Load()))
	m.Count("truncated_lines_total", float64(n.tail.Truncated+n.syslog.Truncated)+float64(n.docker.Truncated))
	m.Count("rotations_total", float64(n.tail.Rotations))
	m.counts("lost_bytes_total", n.tail.Lost, tail.LostReasons())
	m.counts("syslog_received_total", n.syslog.Received, []string{syslog.UDP, syslog.TCP})
	m.counts("syslog_dropped_total", n.syslog.Dropped, syslog.DropReasons())
	m.counts("syslog_closed_connections_total", n.syslog.Closed, syslog.CloseReasons())
	m.Count("container_lines_total", float64(n.docker.Lines))
	m.Count("containers_missed_total", float64(n.docker.Missed))
	m.Count("spool_errors_total", float64(m.s.spoolErrors.Load()))
}

func (m sink) alerts(n snapshot) {
	m.Count("alerts_total", float64(m.s.alerts.Load()))
	m.Count("alert_updates_total", float64(m.s.updates.Load()))
	m.Count("alerts_suppressed_total", float64(n.dedup.Suppressed))
	m.Count("alerts_refused_total", float64(m.s.refused.Load()))
	m.Count("dedup_evictions_total", float64(n.dedup.Evicted))
	m.Count("correlation_evictions_total", float64(n.correlator.EvictedGroups), "groups")
	m.Count("correlation_evictions_total", float64(n.correlator.EvictedEvents), "events")
	m.Count("publish_retries_total", float64(n.pub.Retries))
	m.Count("publish_blocked_seconds_total", n.pub.BlockedSeconds)
	m.Count("checkpoints_total", float64(m.s.checkpoints.Load()))
	m.Count("checkpoint_errors_total", float64(m.s.checkpointErrors.Load()))
}

func (m sink) state(n snapshot) {
	m.Gauge("containers", float64(n.docker.Containers))
	m.Gauge("files", float64(n.tail.Files))
	m.Gauge("lag_bytes", float64(n.tail.Lag))
	m.Gauge("dedup_windows", float64(n.dedup.Open))
	m.Gauge("correlation_groups", float64(n.correlator.Groups))
	m.Gauge("rules", float64(n.rules.count()))
	m.Gauge("syslog_connections", float64(n.syslog.Connections))
	m.Gauge("spool_bytes", float64(n.syslog.SpoolBytes))
}

// counts sends a value for each label, including zeros, so that a rate can be computed from the first event.
func (m sink) counts(name string, values map[string]int64, labels []string) {
	for _, label := range labels {
		m.Count(name, float64(values[label]), label)
	}
}

package logpipeline

import (
	"maps"
	"slices"
	"strings"

	"github.com/ironpost/ironpost/internal/metrics"
	"github.com/ironpost/ironpost/services/logpipeline/syslog"
	"github.com/ironpost/ironpost/services/logpipeline/tail"
)

const (
	prefix       = "ironpost_log_pipeline_"
	sourceBehind = "source_behind_seconds"
)

// measure is one number of the service. A metric whose name ends in _total is a counter, another one a gauge.
type measure struct {
	health string // its name in Health, "" if it is not shown there
	metric string
	help   string
	value  float64
}

// measures returns all numbers without labels.
func (s *Service) measures(n snapshot) []measure {
	return []measure{
		{"lines", "lines_total", "Lines processed.", float64(s.lines.Load())},
		{"bytes", "bytes_total", "Bytes of the lines processed.", float64(s.bytes.Load())},
		{"packets", "packets_total", "Packet records processed.", float64(s.packets.Load())},
		{"packets_again", "packets_again_total", "Packet records that were delivered again and skipped.", float64(s.packetsAgain.Load())},
		{"dead_lettered", "dead_lettered_total", "Lines and packet records dead-lettered because processing them panicked repeatedly.", float64(s.deadLettered.Load())},
		{"unparsed", "unparsed_lines_total", "Lines of no known format, matched as plain text.", float64(s.unparsed.Load())},
		{"truncated", "truncated_lines_total", "Lines longer than max_line_bytes, cut.", float64(n.tail.Truncated+n.syslog.Truncated) + float64(n.docker.Truncated)},
		{"syslog_miscounted", "syslog_miscounted_total", "Syslog messages whose octet count was wrong.", float64(n.syslog.Miscounted)},
		{"lost_files", "lost_files_total", "Files of which an unknown number of lines was lost: gone, written anew or damaged before they were read.", float64(n.tail.LostFiles)},
		{"rotations", "rotations_total", "Files replaced or truncated under their path.", float64(n.tail.Rotations)},
		{"files", "files", "Files followed.", float64(n.tail.Files)},
		{"lag_bytes", "lag_bytes", "Bytes of lines written, received or delivered by Docker that are not processed.", float64(n.tail.Lag + n.docker.Lag)},
		{"behind_seconds", "behind_seconds", "Age of the oldest line or record that is not processed.", n.oldest().Seconds()},
		{"journal_files", "journal_files", "Files of the journal followed.", float64(n.journal.Files)},
		{"journal_unread", "journal_unread_entries", "Entries of the journal that are not processed.", float64(n.journal.Unread)},
		{"journal_entries", "journal_entries_total", "Entries of the journal read.", float64(n.journal.Entries)},
		{"journal_bad", "journal_bad_entries_total", "Entries of the journal skipped because they are damaged.", float64(n.journal.Bad)},
		{"journal_bad_fields", "journal_bad_fields_total", "Fields of the journal left out because they are damaged.", float64(n.journal.BadFields)},
		{"journal_refused", "journal_decompression_refused_total", "Fields of the journal that were not decompressed, or only in part, because of their size.", float64(n.journal.Refused)},
		{"journal_vacuumed", "journal_vacuumed_entries_total", "Entries of the journal deleted before they were read, as far as their number is known.", float64(n.journal.Vacuumed)},
		{"journal_vacuumed_unknown", "journal_vacuumed_unknown_total", "Times that an unknown number of entries of the journal was deleted before they were read.", float64(n.journal.VacuumedUnknown)},
		{"journal_left_out", "journal_left_out_total", "Entries of the journal left out: of containers read through Docker, of the kernel that audit.log has, and of Ironpost itself.", float64(s.journalLeftOut.Load())},
		{"kernel_records", "kernel_records_total", "Records of the kernel's log read from its device.", float64(n.kernel.Records)},
		{"kernel_lost", "kernel_lost_records_total", "Records of the kernel's log overwritten before they were read.", float64(n.kernel.Lost)},
		{"containers", "containers", "Containers whose logs are read.", float64(n.docker.Containers)},
		{"container_lines", "container_lines_total", "Lines of container logs processed.", float64(n.docker.Lines)},
		{"containers_missed", "containers_missed_total", "Containers removed before their logs could be read.", float64(n.docker.Missed)},
		{"alerts", "alerts_total", "Series begun: alerts published, without further revisions.", float64(s.alerts.Load())},
		{"updates", "alert_updates_total", "Further revisions of series published.", float64(s.updates.Load())},
		{"suppressed", "alerts_suppressed_total", "Matches counted in a series instead of published.", float64(n.series.Counted)},
		{"alerts_refused", "alerts_refused_total", "Alerts that were no valid record and were dropped.", float64(s.refused.Load())},
		{"series", "series", "Series that go on, or were over lately.", float64(n.series.Open)},
		{"series_escalated", "series_escalations_total", "Revisions because of stronger evidence, or of a further source.", float64(n.series.Escalated)},
		{"series_evicted", "series_evictions_total", "Series ended early because there were too many: the attack goes on as another one.", float64(n.series.Evicted)},
		{"correlation_groups", "correlation_groups", "Groups that correlations count for.", float64(n.correlator.Groups)},
		{"rules", "rules", "Rules and correlations in use.", float64(n.rules.count())},
		{"checkpoints", "checkpoints_total", "Checkpoints written.", float64(s.checkpoints.Load())},
		{"checkpoint_errors", "checkpoint_errors_total", "Checkpoints that could not be written.", float64(s.checkpointErrors.Load())},
		{"publish_retries", "publish_retries_total", "Publishes repeated.", float64(n.pub.Retries)},
		{"", "publish_blocked_seconds_total", "Time spent waiting because alerts could not be stored.", n.pub.BlockedSeconds},
		{"rows_stored", "stored_rows_total", "Lines stored in PostgreSQL.", float64(s.rows.stored.Load())},
		{"rows_again", "stored_rows_again_total", "Lines that were in PostgreSQL already.", float64(s.rows.again.Load())},
		{"rows_dropped", "rows_dropped_total", "Lines not stored because the queue to PostgreSQL was full or could not be written.", float64(s.rows.dropped.Load())},
		{"rows_rejected", "rows_rejected_total", "Lines that PostgreSQL refused, dead-lettered.", float64(s.rows.rejected.Load())},
		{"rows_lost_bytes", "rows_lost_bytes_total", "Bytes of the queue to PostgreSQL that were damaged on disk.", float64(s.rows.damaged.Load())},
		{"row_queue_bytes", "row_queue_bytes", "Bytes of lines that wait for PostgreSQL.", float64(s.rows.waiting.Load())},
		{"", "syslog_connections", "Open syslog connections.", float64(n.syslog.Connections)},
		{"audit_events", "audit_events_total", "Audit events that were put together from their records.", float64(s.auditJoined.Load())},
		{"audit_incomplete", "audit_events_incomplete_total", "Audit events of which records were missing or too many.", float64(s.auditIncomplete.Load())},
		{"audit_unjoined", "audit_records_unjoined_total", "Audit records left apart because too many sources have unfinished events.", float64(s.auditUnjoined.Load())},
		{"spool_bytes", "spool_bytes", "Size of the syslog spool.", float64(n.syslog.SpoolBytes)},
		{"spool_errors", "spool_errors_total", "Spool records that could not be read.", float64(s.spoolErrors.Load())},
	}
}

// labelledMeasure is a counter with a value for each of its labels.
type labelledMeasure struct {
	health string // its name in Health with % for the label, "" if it is not shown there
	metric string
	help   string
	label  string
	values map[string]int64
	labels []string // all of them, so that a rate can be computed from the first event
}

func labelledMeasures(n snapshot) []labelledMeasure {
	evicted := make(map[string]int64)
	for rule, count := range n.correlator.Evicted {
		if count > 0 { // Health shows these alone
			evicted[rule] = int64(count)
		}
	}
	return []labelledMeasure{
		{"lost_bytes_%", "lost_bytes_total", "Bytes of files lost before they were read.", "reason", n.tail.Lost, tail.LostReasons()},
		{"files_refused_%", "files_refused_total", "Paths found not to be followed.", "reason", n.tail.Refused, tail.RefusedReasons()},
		{"%_received", "syslog_received_total", "Syslog messages received.", "transport", n.syslog.Received, syslog.Transports()},
		{"syslog_dropped_%", "syslog_dropped_total", "Syslog messages dropped.", "reason", n.syslog.Dropped, syslog.DropReasons()},
		{"tcp_closed_%", "syslog_closed_connections_total", "Syslog connections closed by us or reset.", "reason", n.syslog.Closed, syslog.CloseReasons()},
		{"", "correlation_evictions_total", "Groups and events dropped because there were too many.", "what", map[string]int64{
			"groups": int64(n.correlator.EvictedGroups), "events": int64(n.correlator.EvictedEvents),
		}, []string{"groups", "events"}},
		{"", "correlation_rule_evictions_total", "Groups and events dropped because one correlation had too many.", "rule", evicted, slices.Collect(maps.Keys(n.correlator.Evicted))},
	}
}

// exportMetrics registers the metrics until stop is called.
func (s *Service) exportMetrics() (stop func(), err error) {
	described := metrics.Described{}
	n := s.snapshot()
	for _, m := range s.measures(n) {
		described[m.metric] = []string{m.help}
	}
	for _, m := range labelledMeasures(n) {
		described[m.metric] = []string{m.help, m.label}
	}
	described[sourceBehind] = []string{"Age of the oldest line that is not processed, of the sources that are behind the longest.", "source"}
	describeInputs(described)
	s.tally.Describe(described)
	return metrics.Export(s.deps.Metrics, prefix, described, func(to metrics.Sink) {
		s.tally.Send(to)
		s.sendInputs(to)
		n := s.snapshot()
		for _, m := range s.measures(n) {
			if strings.HasSuffix(m.metric, "_total") {
				to.Count(m.metric, m.value)
			} else {
				to.Gauge(m.metric, m.value)
			}
		}
		for _, m := range labelledMeasures(n) {
			for _, label := range m.labels {
				to.Count(m.metric, float64(m.values[label]), label)
			}
		}
		for _, b := range n.sources {
			to.Gauge(sourceBehind, b.age.Seconds(), b.source)
		}
	})
}

// countersByName returns the numbers as Health shows them. No name has the name of a file, a source or a rule in it: metrics have these as
// labels, and reasons name the ones that matter.
func (s *Service) countersByName(n snapshot) map[string]uint64 {
	out := map[string]uint64{
		"batches":             s.batches.Load(),
		"correlation_evicted": n.correlator.EvictedGroups + n.correlator.EvictedEvents,
	}
	for _, m := range s.measures(n) {
		if m.health != "" {
			out[m.health] = uint64(max(m.value, 0))
		}
	}
	for _, m := range labelledMeasures(n) {
		if m.health == "" {
			continue
		}
		for label, value := range m.values {
			out[strings.Replace(m.health, "%", label, 1)] = uint64(max(value, 0))
		}
	}
	return out
}

package sbomscanner

import (
	"strings"

	"github.com/ironpost/ironpost/internal/metrics"
	"github.com/ironpost/ironpost/services/sbomscanner/finding"
)

const prefix = "ironpost_sbom_scanner_"

// measure is one number of the service. A metric whose name ends in _total is a counter, another one a gauge.
type measure struct {
	health string // its name in Health, "" if it is not shown there
	metric string
	help   string // of the metric; the same in each of its measures
	value  float64

	label, labelValue string // what tells the measures of one metric apart; "" if there is one
}

// measures returns all numbers.
func (s *Service) measures() []measure {
	n, pub := s.snapshot.Load(), s.publisherStats()
	updated := 0.0
	if !n.updated.IsZero() {
		updated = float64(n.updated.Unix())
	}
	out := []measure{
		{"assets", "assets", "Assets whose inventory is known.", float64(n.assets), "", ""},
		{"packages", "packages", "Packages of all inventories.", float64(n.packages), "", ""},
		{"not_assessed_packages", "not_assessed_packages", "Packages that the database has no advisories for.", float64(n.notAssessed), "", ""},
		{"scans", "scans_total", "Scans of assets.", float64(s.scans.Load()), "", ""},
		{"scan_errors", "scan_errors_total", "Scans that failed.", float64(s.scanErrors.Load()), "", ""},
		{"match_errors", "match_errors_total", "Inventories that could not be matched or saved.", float64(s.matchErrors.Load()), "", ""},
		{"document_errors", "document_errors_total", "SBOM documents that could not be written.", float64(s.documentErrors.Load()), "", ""},
		{"scans_waiting", "scans_waiting", "Assets that wait for a scan.", float64(n.queued), "", ""},
		{"scans_dropped", "scans_dropped_total", "Assets whose scan was left to the next interval because too many waited.", float64(n.queueDropped), "", ""},
		{"alerts", "alerts_total", "Alerts published.", float64(s.alerts.Load()), "", ""},
		{"alerts_waiting", "alerts_waiting", "Alerts that the bus has not stored.", float64(n.waiting), "", ""},
		{"publish_retries", "publish_retries_total", "Publishes repeated.", float64(pub.Retries), "", ""},
		{"alerts_refused", "alerts_refused_total", "Alerts that were no valid record and were dropped.", float64(pub.Refused), "", ""},
		{"advisories", "advisories", "Advisories of the database.", float64(n.advisories), "", ""},
		{"", "database_updated_seconds", "When the database was last known to be current, in Unix time; 0: never.", updated, "", ""},
		{"database_updates", "database_updates_total", "Updates of the database.", float64(s.updates.Load()), "", ""},
		{"database_update_errors", "database_update_errors_total", "Updates of the database that failed.", float64(s.updateErrors.Load()), "", ""},
	}
	for _, state := range finding.States() {
		out = append(out, measure{"findings_" + string(state), "findings", "Findings of assets that are scanned.", float64(n.findings[state]), "state", string(state)})
	}
	for _, reason := range sortedKeys(n.problems) {
		out = append(out, measure{"unread_" + reason, "unread_files", "Files that could not be read, in the last scans.", float64(n.problems[reason]), "reason", reason})
	}
	return out
}

// exportMetrics registers the metrics until stop is called.
func (s *Service) exportMetrics() (stop func(), err error) {
	described := metrics.Described{"unread_files": {"Files that could not be read, in the last scans.", "reason"}}
	for _, m := range s.measures() {
		if described[m.metric] = []string{m.help}; m.label != "" {
			described[m.metric] = append(described[m.metric], m.label)
		}
	}
	s.tally.Describe(described)
	return metrics.Export(s.deps.Metrics, prefix, described, func(to metrics.Sink) {
		s.tally.Send(to)
		for _, m := range s.measures() {
			var labels []string
			if m.label != "" {
				labels = []string{m.labelValue}
			}
			if strings.HasSuffix(m.metric, "_total") {
				to.Count(m.metric, m.value, labels...)
			} else {
				to.Gauge(m.metric, m.value, labels...)
			}
		}
	})
}

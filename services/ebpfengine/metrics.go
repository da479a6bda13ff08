package ebpfengine

import (
	"cmp"
	"slices"
	"strings"

	"github.com/ironpost/ironpost/bpf/traffic"
	"github.com/ironpost/ironpost/internal/metrics"
	"github.com/ironpost/ironpost/services/ebpfengine/blocklist"
	"github.com/ironpost/ironpost/services/ebpfengine/detect"
)

const prefix = "ironpost_ebpf_engine_"

// measure is one number of the service or of an interface. A metric whose name ends in _total is a counter, another one a gauge.
type measure struct {
	health string // its name in Health, "" if it is not shown there
	metric string
	help   string // of the metric; the same in each of its measures
	value  float64

	label, labelValue string // what tells the measures of one metric apart; "" if there is one
}

// measures returns the numbers of the interface, always of the same metrics.
func (i *interfaceState) measures() []measure {
	t := &i.totals
	const refused = "Packets whose address had no room in a table."
	const evicted = "Sources, attacks and samples that the detectors dropped for lack of room, since they started."
	out := []measure{
		{"packets", "packets_total", "Packets seen.", float64(t.Packets), "", ""},
		{"bytes", "bytes_total", "Bytes of the packets seen.", float64(t.Bytes), "", ""},
		{"", "dropped_bytes_total", "Bytes of the packets dropped by an entry of the blocklist.", float64(t.Dropped.Bytes), "", ""},
		{"monitored", "monitored_packets_total", "Packets that a monitoring entry would have dropped.", float64(t.Monitored.Packets), "", ""},
		{"allowed", "allowed_packets_total", "Packets that the allow list let through.", float64(t.Allowed.Packets), "", ""},
		{"sampled", "samples_total", "Packets sampled.", float64(t.Sampled), "", ""},
		{"unsampled", "unsampled_packets_total", "Packets due to be sampled that were beyond the sampling budget.", float64(unsampled(t)), "", ""},
		{"ring_lost", "ring_lost_total", "Samples that found the ring buffer full.", float64(t.RingLost), "", ""},
		{"lost_sources_table_full", "table_refused_packets_total", refused, float64(t.SourcesRefused), "table", "sources"},
		{"lost_targets_table_full", "table_refused_packets_total", refused, float64(t.TargetsRefused), "table", "targets"},
		{"lost_unreadable_windows", "unreadable_windows_total", "Intervals that could not be read.", float64(i.unreadable), "", ""},
		{"muted_detections", "muted_detections_total", "Detections of an actor in ebpf.allow, not published.", float64(i.muted), "", ""},
		{"promoted", "promoted_sources", "Sources with a record of their own in the newest interval.", float64(i.promoted), "", ""},
		{"", "followed_sources", "Sources that the detectors follow.", float64(i.detector.Sources), "", ""},
		{"", "running_attacks", "Attacks in progress.", float64(i.detector.Running), "", ""},
		{"evicted_sources", "detector_evictions_total", evicted, float64(i.detector.Evicted), "what", "sources"},
		{"evicted_attacks", "detector_evictions_total", evicted, float64(i.detector.Displaced), "what", "attacks"},
		{"dropped_samples_detector_full", "detector_evictions_total", evicted, float64(i.detector.Overrun), "what", "samples"},
		{"", "interface_mode", "1 for the mode an interface is watched in: native, skb, hw or none.", 1, "mode", cmp.Or(string(i.attached.mode), "none")},
		{"", "interface_egress", "1 if outgoing packets are seen.", float64(oneIf(i.attached.egress)), "", ""},
		{"", "program_seconds", "Time per packet in the program, by the kernel's run statistics; 0 while unknown.", i.seconds, "", ""},
	}
	for owner, n := range blocklist.DroppedFor(t.DroppedFor) {
		out = append(out, measure{
			"blocked_" + owner, "dropped_packets_total",
			"Packets dropped by an entry of the blocklist, by the owner of the entry: bus, files, or unknown.", float64(n), "reason", owner,
		})
	}
	for c, n := range t.ByClass {
		out = append(out, measure{"", "class_packets_total", "Packets seen and not dropped, by class.", float64(n), "class", traffic.Class(c).String()})
	}
	for r, n := range t.Malformed {
		reason, health := traffic.Reason(r).String(), ""
		if n > 0 {
			health = "malformed_" + reason
		}
		out = append(out, measure{health, "malformed_packets_total", "Malformed packets, passed unread.", float64(n), "reason", reason})
	}
	return out
}

// measures returns the numbers that belong to no interface.
func (n snapshot) measures() []measure {
	b := func(name string) float64 { return float64(n.blocklist[name]) } // these have names in Health already
	const entries, invalid = "Entries in force in the kernel's blocklist, by owner.", "Values and lines that were not valid entries."
	out := []measure{
		{"", "blocklist_entries", entries, b("blocklist_bus_entries"), "source", "bus"},
		{"", "blocklist_entries", entries, b("blocklist_feed_entries"), "source", "files"},
		{"", "blocklist_capacity", "Entries that the kernel's blocklist has room for.", float64(n.capacity), "", ""},
		{"", "blocklist_overflow", "Entries without room in the kernel's blocklist.", b("blocklist_overflow"), "", ""},
		{"", "blocklist_writes_total", "Entries written to or removed from the kernel's blocklist.", b("blocklist_written"), "", ""},
		{"", "blocklist_write_errors_total", "Writes that the kernel refused.", b("blocklist_write_errors"), "", ""},
		{"", "blocklist_invalid_total", invalid, b("blocklist_invalid_values"), "source", "bus"},
		{"", "blocklist_invalid_total", invalid, b("blocklist_bad_lines"), "source", "files"},
		{"", "protected_addresses", "Protected addresses: prefixes that pass whatever is blocked.", b("protected_addresses"), "", ""},
		{"windows_merged", "outbox_merged_windows_total", "Windows published as part of another because the bus was slow.", float64(n.outbox.Merged), "", ""},
		{"pending", "outbox_records", "Records that wait to be published.", float64(n.outbox.Pending), "", ""},
		{"publish_retries", "publish_retries_total", "Publishes repeated.", float64(n.publisher.Retries), "", ""},
		{"dropped_invalid_records", "publish_refused_total", "Records that were invalid and not published.", float64(n.publisher.Refused), "", ""},
		{"", "publish_blocked_seconds_total", "Time spent waiting because records could not be stored.", n.publisher.BlockedSeconds, "", ""},
	}
	for _, name := range detect.Names() {
		health, queued := "", n.detections[name]
		if queued > 0 {
			health = "announced_" + name
		}
		out = append(out, measure{
			health, "announcements_total", "Detections queued for publishing: first, update and end of each attack.", float64(queued), "name", name,
		})
	}
	for kind, dropped := range n.outbox.Dropped {
		out = append(out, measure{"dropped_" + kind, "outbox_dropped_total", "Records dropped because the bus was slow.", float64(dropped), "kind", kind})
	}
	return out
}

// exportMetrics exports the metrics until stop is called.
func (s *Service) exportMetrics() (stop func(), err error) {
	described := metrics.Described{}
	describe := func(all []measure, labels ...string) {
		for _, m := range all {
			described[m.metric] = append([]string{m.help}, labels...)
			if m.label != "" {
				described[m.metric] = append(described[m.metric], m.label)
			}
		}
	}
	describe((&interfaceState{}).measures(), "interface")
	describe(s.snapshot().measures())
	return metrics.Export(s.deps.Metrics, prefix, described, func(to metrics.Sink) {
		n := s.snapshot()
		for k := range n.interfaces {
			send(to, n.interfaces[k].measures(), n.interfaces[k].name)
		}
		send(to, n.measures())
	})
}

// send sends all, with labels before the label of each.
func send(to metrics.Sink, all []measure, labels ...string) {
	for _, m := range all {
		of := slices.Clip(labels)
		if m.label != "" {
			of = append(of, m.labelValue)
		}
		if strings.HasSuffix(m.metric, "_total") {
			to.Count(m.metric, m.value, of...)
		} else {
			to.Gauge(m.metric, m.value, of...)
		}
	}
}

// addHealth adds those of all that Health shows.
func addHealth(out map[string]uint64, all []measure) {
	for _, m := range all {
		if m.health != "" {
			out[m.health] = uint64(max(m.value, 0))
		}
	}
}

package ebpfengine

import (
	"github.com/ironpost/ironpost/bpf/traffic"
	"github.com/ironpost/ironpost/internal/metrics"
	"github.com/ironpost/ironpost/services/ebpfengine/blocklist"
	"github.com/ironpost/ironpost/services/ebpfengine/detect"
)

const prefix = "ironpost_ebpf_engine_"

// exportMetrics exports the metrics until stop is called.
func (s *Service) exportMetrics() (stop func(), err error) {
	return metrics.Export(s.deps.Metrics, prefix, described(), func(to metrics.Sink) {
		n, m := s.snapshot(), sink{to}
		for k := range n.interfaces {
			m.traffic(&n.interfaces[k])
			m.losses(&n.interfaces[k])
			m.state(&n.interfaces[k])
		}
		m.published(&n)
		m.blocklist(n.blocklist, s.cfg.BlocklistMaxEntries)
	})
}

// described returns the help and the labels of every metric.
func described() metrics.Described {
	return metrics.Described{
		"packets_total":                 {"Packets seen.", "interface"},
		"bytes_total":                   {"Bytes of the packets seen.", "interface"},
		"class_packets_total":           {"Packets seen and not dropped, by class.", "interface", "class"},
		"dropped_packets_total":         {"Packets dropped by an entry of the blocklist, by the owner of the entry: bus, files, or unknown.", "interface", "reason"},
		"dropped_bytes_total":           {"Bytes of the packets dropped by an entry of the blocklist.", "interface"},
		"monitored_packets_total":       {"Packets that a monitoring entry would have dropped.", "interface"},
		"allowed_packets_total":         {"Packets that the allow list let through.", "interface"},
		"malformed_packets_total":       {"Malformed packets, passed unread.", "interface", "reason"},
		"samples_total":                 {"Packets sampled.", "interface"},
		"unsampled_packets_total":       {"Packets due to be sampled that were beyond the sampling budget.", "interface"},
		"ring_lost_total":               {"Samples that found the ring buffer full.", "interface"},
		"table_refused_packets_total":   {"Packets whose address had no room in a table.", "interface", "table"},
		"unreadable_windows_total":      {"Intervals that could not be read.", "interface"},
		"promoted_sources":              {"Sources with a record of their own in the newest interval.", "interface"},
		"followed_sources":              {"Sources that the detectors follow.", "interface"},
		"running_attacks":               {"Attacks in progress.", "interface"},
		"detector_evictions_total":      {"Sources, attacks and samples that the detectors dropped for lack of room, since they started.", "interface", "what"},
		"interface_mode":                {"1 for the mode an interface is watched in: native, skb, hw or none.", "interface", "mode"},
		"interface_egress":              {"1 if outgoing packets are seen.", "interface"},
		"program_seconds":               {"Time per packet in the program, by the kernel's run statistics; 0 while unknown.", "interface"},
		"announcements_total":           {"Detections queued for publishing: first, update and end of each attack.", "name"},
		"blocklist_entries":             {"Entries in force in the kernel's blocklist, by owner.", "source"},
		"blocklist_capacity":            {"Entries that the kernel's blocklist has room for."},
		"blocklist_overflow":            {"Entries without room in the kernel's blocklist."},
		"blocklist_writes_total":        {"Entries written to or removed from the kernel's blocklist."},
		"blocklist_write_errors_total":  {"Writes that the kernel refused."},
		"blocklist_invalid_total":       {"Values and lines that were not valid entries.", "source"},
		"protected_addresses":           {"Protected addresses: prefixes that pass whatever is blocked."},
		"outbox_dropped_total":          {"Records dropped because the bus was slow.", "kind"},
		"outbox_merged_windows_total":   {"Windows published as part of another because the bus was slow."},
		"outbox_records":                {"Records that wait to be published."},
		"publish_retries_total":         {"Publishes repeated."},
		"publish_refused_total":         {"Records that were invalid and not published."},
		"publish_blocked_seconds_total": {"Time spent waiting because records could not be stored."},
	}
}

// sink sends the values of a scrape.
type sink struct{ metrics.Sink }

func (m sink) traffic(i *interfaceState) {
	t := &i.totals
	m.count("packets_total", t.Packets, i.name)
	m.count("bytes_total", t.Bytes, i.name)
	for owner, n := range blocklist.DroppedFor(t.DroppedFor) {
		m.count("dropped_packets_total", n, i.name, owner)
	}
	m.count("dropped_bytes_total", t.Dropped.Bytes, i.name)
	m.count("monitored_packets_total", t.Monitored.Packets, i.name)
	m.count("allowed_packets_total", t.Allowed.Packets, i.name)
	for c, n := range t.ByClass {
		m.count("class_packets_total", n.Packets, i.name, traffic.Class(c).String())
	}
	for r, n := range t.Malformed {
		m.count("malformed_packets_total", n, i.name, traffic.Reason(r).String())
	}
}

func (m sink) losses(i *interfaceState) {
	t := &i.totals
	m.count("samples_total", t.Sampled, i.name)
	m.count("unsampled_packets_total", unsampled(t), i.name)
	m.count("ring_lost_total", t.RingLost, i.name)
	m.count("table_refused_packets_total", t.SourcesRefused, i.name, "sources")
	m.count("table_refused_packets_total", t.TargetsRefused, i.name, "targets")
	m.count("unreadable_windows_total", i.unreadable, i.name)
	m.count("detector_evictions_total", i.detector.Evicted, i.name, "sources")
	m.count("detector_evictions_total", i.detector.Displaced, i.name, "attacks")
	m.count("detector_evictions_total", i.detector.Overrun, i.name, "samples")
}

func (m sink) state(i *interfaceState) {
	m.Gauge("promoted_sources", float64(i.promoted), i.name)
	m.Gauge("followed_sources", float64(i.detector.Sources), i.name)
	m.Gauge("running_attacks", float64(i.detector.Running), i.name)
	mode := string(i.attached.mode)
	if mode == "" {
		mode = "none"
	}
	m.Gauge("interface_mode", 1, i.name, mode)
	m.Gauge("interface_egress", float64(oneIf(i.attached.egress)), i.name)
	m.Gauge("program_seconds", i.seconds, i.name)
}

func (m sink) published(n *snapshot) {
	for _, name := range detect.Names() {
		m.count("announcements_total", n.detections[name], name)
	}
	for kind, dropped := range n.outbox.Dropped {
		m.count("outbox_dropped_total", dropped, kind)
	}
	m.count("outbox_merged_windows_total", n.outbox.Merged)
	m.Gauge("outbox_records", float64(n.outbox.Pending))
	m.count("publish_retries_total", n.publisher.Retries)
	m.count("publish_refused_total", n.publisher.Refused)
	m.Count("publish_blocked_seconds_total", n.publisher.BlockedSeconds)
}

func (m sink) blocklist(n map[string]uint64, capacity int) {
	m.Gauge("blocklist_entries", float64(n["blocklist_bus_entries"]), "bus")
	m.Gauge("blocklist_entries", float64(n["blocklist_feed_entries"]), "files")
	m.Gauge("blocklist_capacity", float64(capacity))
	m.Gauge("blocklist_overflow", float64(n["blocklist_overflow"]))
	m.count("blocklist_writes_total", n["blocklist_written"])
	m.count("blocklist_write_errors_total", n["blocklist_write_errors"])
	m.count("blocklist_invalid_total", n["blocklist_invalid_values"], "bus")
	m.count("blocklist_invalid_total", n["blocklist_bad_lines"], "files")
	m.Gauge("protected_addresses", float64(n["protected_addresses"]))
}

func (m sink) count(name string, n uint64, labels ...string) { m.Count(name, float64(n), labels...) }

package ebpfengine

import (
	"github.com/ironpost/ironpost/bpf/traffic"
	"github.com/ironpost/ironpost/internal/metrics"
	"github.com/ironpost/ironpost/services/ebpfengine/blocklist"
	"github.com/ironpost/ironpost/services/ebpfengine/detect"
)

const prefix = "ironpost_ebpf_engine_"

// export shows the metrics for as long as the service runs.
func (s *Service) export() (stop func(), err error) {
	return metrics.Export(s.deps.Metrics, prefix, described(), func(to metrics.Sink) {
		n, m := s.snapshot(), sink{to}
		for i := range n.views {
			m.traffic(&n.views[i])
			m.losses(&n.views[i])
			m.state(&n.views[i])
		}
		m.bus(&n)
		m.blocklist(n.blocks, s.cfg.BlocklistMaxEntries)
	})
}

// described names every metric: its help, and its labels if it has any.
func described() metrics.Described {
	return metrics.Described{
		"packets_total":                 {"Packets seen.", "interface"},
		"bytes_total":                   {"Bytes of the packets seen.", "interface"},
		"class_packets_total":           {"Packets seen and not dropped, by class.", "interface", "class"},
		"dropped_packets_total":         {"Packets dropped by an entry of the blocklist, by who wanted it: bus, files, or unknown where neither had said so yet.", "interface", "reason"},
		"dropped_bytes_total":           {"Bytes of the packets dropped by an entry of the blocklist.", "interface"},
		"monitored_packets_total":       {"Packets that an entry which only watches would have dropped.", "interface"},
		"allowed_packets_total":         {"Packets that the allow list let through.", "interface"},
		"malformed_packets_total":       {"Malformed packets, passed unread.", "interface", "reason"},
		"samples_total":                 {"Packets sampled.", "interface"},
		"unsampled_packets_total":       {"Packets that were due to be sampled, beyond what is sampled a second.", "interface"},
		"ring_lost_total":               {"Samples that found the ring buffer full.", "interface"},
		"table_refused_packets_total":   {"Packets whose address found no room in a table.", "interface", "table"},
		"unreadable_windows_total":      {"Intervals that could not be read.", "interface"},
		"promoted_sources":              {"Sources with a record of their own in the newest interval.", "interface"},
		"followed_sources":              {"Sources that the detectors remember.", "interface"},
		"running_attacks":               {"Attacks that go on.", "interface"},
		"detector_evictions_total":      {"What the detectors forgot for want of room, since they started.", "interface", "what"},
		"interface_mode":                {"1 for the mode an interface is watched in: native, skb, hw or none.", "interface", "mode"},
		"interface_egress":              {"Whether answers are seen.", "interface"},
		"program_seconds":               {"Time a packet takes in the program, by the kernel's run statistics; 0 while unknown.", "interface"},
		"announcements_total":           {"Announcements of attacks.", "name"},
		"blocklist_entries":             {"Entries in force in the kernel's blocklist, by who wants them.", "source"},
		"blocklist_capacity":            {"Entries the kernel's blocklist has room for."},
		"blocklist_overflow":            {"Entries for which the kernel's blocklist has no room."},
		"blocklist_writes_total":        {"Entries written to or removed from the kernel's blocklist."},
		"blocklist_write_errors_total":  {"Writes that the kernel refused."},
		"blocklist_invalid_total":       {"Entries that were no valid blocks.", "source"},
		"lifelines":                     {"Networks that are let through whatever is blocked."},
		"outbox_dropped_total":          {"What was dropped because the bus was slow.", "kind"},
		"outbox_merged_windows_total":   {"Windows published as part of another because the bus was slow."},
		"outbox_records":                {"Records that wait for the bus."},
		"publish_retries_total":         {"Publishes repeated."},
		"publish_refused_total":         {"Records that were not valid, and not published."},
		"publish_blocked_seconds_total": {"Time spent waiting because records could not be stored."},
	}
}

// sink sends values under their names.
type sink struct{ metrics.Sink }

func (m sink) traffic(v *shown) {
	t := &v.totals
	m.count("packets_total", t.Packets, v.name)
	m.count("bytes_total", t.Bytes, v.name)
	for reason, n := range blocklist.DroppedFor(t.DroppedFor) {
		m.count("dropped_packets_total", n, v.name, reason)
	}
	m.count("dropped_bytes_total", t.Dropped.Bytes, v.name)
	m.count("monitored_packets_total", t.Monitored.Packets, v.name)
	m.count("allowed_packets_total", t.Allowed.Packets, v.name)
	for c, n := range t.ByClass {
		m.count("class_packets_total", n.Packets, v.name, traffic.Class(c).String())
	}
	for r, n := range t.Malformed {
		m.count("malformed_packets_total", n, v.name, traffic.Reason(r).String())
	}
}

func (m sink) losses(v *shown) {
	t := &v.totals
	m.count("samples_total", t.Sampled, v.name)
	m.count("unsampled_packets_total", unsampled(t), v.name)
	m.count("ring_lost_total", t.RingLost, v.name)
	m.count("table_refused_packets_total", t.SourcesRefused, v.name, "sources")
	m.count("table_refused_packets_total", t.TargetsRefused, v.name, "targets")
	m.count("unreadable_windows_total", v.failures, v.name)
	m.count("detector_evictions_total", v.detector.Evicted, v.name, "sources")
	m.count("detector_evictions_total", v.detector.Displaced, v.name, "attacks")
	m.count("detector_evictions_total", v.detector.Overrun, v.name, "samples")
}

func (m sink) state(v *shown) {
	m.Gauge("promoted_sources", float64(v.promoted), v.name)
	m.Gauge("followed_sources", float64(v.detector.Sources), v.name)
	m.Gauge("running_attacks", float64(v.detector.Running), v.name)
	mode := string(v.mode)
	if mode == "" {
		mode = "none"
	}
	m.Gauge("interface_mode", 1, v.name, mode)
	m.Gauge("interface_egress", float64(one(v.egress)), v.name)
	m.Gauge("program_seconds", v.seconds, v.name)
}

func (m sink) bus(n *snapshot) {
	for _, name := range detect.Names() {
		m.count("announcements_total", n.findings[name], name)
	}
	for kind, lost := range n.box.Dropped {
		m.count("outbox_dropped_total", lost, kind)
	}
	m.count("outbox_merged_windows_total", n.box.Merged)
	m.Gauge("outbox_records", float64(n.box.Pending))
	m.count("publish_retries_total", n.pub.Retries)
	m.count("publish_refused_total", n.pub.Refused)
	m.Count("publish_blocked_seconds_total", n.pub.BlockedSeconds)
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
	m.Gauge("lifelines", float64(n["lifelines"]))
}

func (m sink) count(name string, v uint64, labels ...string) { m.Count(name, float64(v), labels...) }

package ebpfengine

import (
	"fmt"
	"maps"
	"time"

	"github.com/ironpost/ironpost/bpf/traffic"
	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/health"
	"github.com/ironpost/ironpost/services/ebpfengine/attach"
	"github.com/ironpost/ironpost/services/ebpfengine/outbox"
)

// The topics of the reasons in health.
const (
	topicKernel    = "kernel"
	topicPins      = "pins"
	topicDropped   = "dropped traffic"
	topicFinding   = "finding interfaces"
	topicPinned    = "pinned interfaces"
	topicInterface = "interface " // and its name
	topicRenamed   = "renamed "   // and its former name
	topicReading   = "reading "   // and its name
)

// maxBlocked is how long a publish may block before it is a reason.
const maxBlocked = 5 * time.Second

// setReason sets the reason of a topic, "" for none, and logs a change.
func (s *Service) setReason(topic, reason string) {
	switch changed := s.health.Set(topic, reason); {
	case !changed:
	case reason == "":
		s.log.WithField("topic", topic).Info("packet engine recovered")
	default:
		s.log.WithField("topic", topic).WithField("reason", reason).Warn("packet engine degraded")
	}
}

// withPrefix returns err as a reason, "" for nil.
func withPrefix(prefix string, err error) string {
	if err == nil {
		return ""
	}
	return prefix + err.Error()
}

// snapshot is everything that Health and the metrics show.
type snapshot struct {
	reasons    []string // besides those of Service.health
	notes      []string // remarks of the blocklist
	interfaces []interfaceState
	forgotten  map[string]uint64
	detections map[string]uint64
	outbox     outbox.Stats
	publisher  bus.PublisherStats
	blocklist  map[string]uint64
	capacity   int // of the blocklist
}

func (s *Service) snapshot() snapshot {
	s.mu.Lock()
	out := snapshot{detections: maps.Clone(s.detections), capacity: s.cfg.BlocklistMaxEntries}
	k, pub := s.kernel, s.publisher
	s.mu.Unlock()
	out.interfaces, out.forgotten = s.interfaces.all()
	out.outbox = s.box.Stats()
	if k != nil {
		out.blocklist, out.reasons, out.notes = k.reconciler.Counters(), k.reconciler.Reasons(), k.reconciler.Remarks()
	}
	if pub != nil {
		out.publisher = pub.Stats()
	}
	if wanted := out.blocklist["blocklist_bus_entries"] + out.blocklist["blocklist_feed_entries"]; wanted > 0 && len(s.watchedNames()) == 0 {
		out.reasons = append(out.reasons, fmt.Sprintf("%d blocks are wanted and nothing enforces them: no interface is watched", wanted))
	}
	if since := out.publisher.BlockedSince; !since.IsZero() && time.Since(since) > maxBlocked {
		out.reasons = append(out.reasons, "packet records cannot be stored since "+since.UTC().Format(time.RFC3339)+": windows are merged, samples dropped")
	}
	return out
}

// Health returns the health of the service: "starting" until every interface has been tried. Remarks, such as an XDP mode that
// was fallen back to, are among the reasons and do not make it degraded. Any goroutine may call it at any time.
func (s *Service) Health() event.ModuleHealth {
	n := s.snapshot()
	return s.health.Report(n.counters(), append(health.Degraded(n.reasons...), n.remarks()...)...)
}

// remarks say what a watched interface could do better.
func (n snapshot) remarks() []health.Reason {
	var out []health.Reason
	add := func(format string, args ...any) {
		out = append(out, health.Reason{Status: event.Healthy, Text: fmt.Sprintf(format, args...)})
	}
	for _, note := range n.notes {
		add("%s", note)
	}
	for _, i := range n.interfaces {
		at := i.attached
		if at.fallback != "" {
			add("%s is watched in mode %s: %s", i.name, at.mode, at.fallback)
		}
		if at.mode != "" && !at.egress {
			add("%s: responses are not seen, so scans and floods are found by incoming packets alone: %s", i.name, at.noEgress)
		}
	}
	return out
}

// counters returns those of Health, by name; the name of one interface's ends with ":" and the interface. `ironpost status`
// shows counters as losses that have dropped, lost or evicted in their name.
func (n snapshot) counters() map[string]uint64 {
	out := map[string]uint64{"published": n.publisher.Published, "detections_replaced": n.outbox.Replaced}
	maps.Copy(out, n.blocklist)
	addHealth(out, n.measures())
	for name, value := range n.forgotten {
		out[name] += value
	}
	for _, i := range n.interfaces {
		for name, value := range i.counters() {
			out[name] += value
			out[name+":"+i.name] = value
		}
		if mode := i.attached.mode; mode == attach.Native || mode == attach.SKB || mode == attach.HW {
			out["mode_"+string(mode)+":"+i.name] = 1
		}
		out["egress:"+i.name] = oneIf(i.attached.egress)
		out["program_ns:"+i.name] = uint64(i.seconds * 1e9)
	}
	return out
}

// counters returns those that are summed over the interfaces.
func (i *interfaceState) counters() map[string]uint64 {
	out := map[string]uint64{"blocked": i.totals.Dropped.Packets, "fragments": i.totals.Fragmented, "malformed": 0}
	for _, n := range i.totals.Malformed {
		out["malformed"] += n
	}
	addHealth(out, i.measures())
	return out
}

// unsampled returns the number of candidates beyond the sampling budget. A packet that is processed while a window ends may be in
// one of the counts only.
func unsampled(t *traffic.Counters) uint64 {
	return t.Candidates - min(t.Candidates, t.Sampled+t.RingLost)
}

func oneIf(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

package ebpfengine

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/ironpost/ironpost/bpf/traffic"
	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/services/ebpfengine/attach"
	"github.com/ironpost/ironpost/services/ebpfengine/blocklist"
	"github.com/ironpost/ironpost/services/ebpfengine/outbox"
)

// maxBlocked is how long a publish may wait before it is worth a word.
const maxBlocked = 5 * time.Second

// snapshot is everything that Health and the metrics show.
type snapshot struct {
	reasons  []string // why it is degraded
	views    []shown
	findings map[string]uint64
	box      outbox.Stats
	pub      bus.PublisherStats
	blocks   map[string]uint64 // of the keeper
}

func (s *Service) snapshot() snapshot {
	s.mu.Lock()
	out := snapshot{reasons: slices.Sorted(maps.Values(s.troubles)), findings: maps.Clone(s.findings)}
	k, pub := s.kernel, s.pub
	s.mu.Unlock()
	out.views, out.box = s.shown(), s.box.Stats()
	if pub != nil {
		out.pub = pub.Stats()
	}
	if k != nil {
		out.blocks = k.keeper.Counters()
		out.reasons = append(out.reasons, k.keeper.Reasons()...)
	}
	if since := out.pub.BlockedSince; !since.IsZero() && time.Since(since) > maxBlocked {
		out.reasons = append(out.reasons, "packet records cannot be stored since "+since.UTC().Format(time.RFC3339)+": windows are merged, samples dropped")
	}
	return out
}

// shown returns all views, by name, and the configured interfaces that have none yet.
func (s *Service) shown() []shown {
	s.mu.Lock()
	views := maps.Clone(s.views)
	s.mu.Unlock()
	var out []shown
	for _, v := range views {
		out = append(out, v.shown())
	}
	for _, name := range s.cfg.Interfaces() {
		if views[name] == nil && name != InterfaceAuto {
			out = append(out, shown{name: name})
		}
	}
	slices.SortFunc(out, func(a, b shown) int { return strings.Compare(a.name, b.name) })
	return out
}

func (s *Service) found(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.findings[name]++
}

// Health returns the condition of the service. Reasons also tell what is only less than it could be, such as a
// mode that was fallen back to; that alone does not make it degraded. Any goroutine may call it at any time.
func (s *Service) Health() event.ModuleHealth {
	n := s.snapshot()
	h := event.ModuleHealth{
		Name: Name, Host: s.deps.Host, Enabled: true, Since: s.since, Counters: n.counters(),
		Reasons: slices.Concat(n.reasons, n.remarks()),
	}
	if len(n.reasons) > 0 {
		h.Status = event.Degraded
	}
	return h
}

// remarks say what an interface that works lacks.
func (n snapshot) remarks() []string {
	var out []string
	for _, v := range n.views {
		if v.fallback != "" {
			out = append(out, fmt.Sprintf("%s is watched in mode %s: %s", v.name, v.mode, v.fallback))
		}
		if v.mode != "" && !v.egress {
			out = append(out, fmt.Sprintf("%s: answers are not seen, so scans and floods are judged by what comes in alone: %s", v.name, v.lacking))
		}
	}
	return out
}

// counters are those of Health, by name; those of one interface end with it. What `ironpost status` shows as a loss has dropped, lost
// or evicted in its name, and why.
func (n snapshot) counters() map[string]uint64 {
	out := map[string]uint64{
		"publish_retries": n.pub.Retries, "published": n.pub.Published, "dropped_invalid_records": n.pub.Refused, "windows_merged": n.box.Merged, "pending": uint64(max(n.box.Pending, 0)),
	}
	maps.Copy(out, n.blocks)
	for kind, lost := range n.box.Dropped {
		out["dropped_"+kind] = lost
	}
	for name, found := range n.findings {
		out["announced_"+name] = found
	}
	for i := range n.views {
		v := &n.views[i]
		for name, value := range v.counters() {
			out[name] += value
			out[name+":"+v.name] = value
		}
		for _, m := range modes() {
			if v.mode == m {
				out["mode_"+string(m)+":"+v.name] = 1
			}
		}
		out["egress:"+v.name] = one(v.egress)
		out["program_ns:"+v.name] = uint64(v.seconds * 1e9)
	}
	return out
}

// counters are those that add up over interfaces.
func (v *shown) counters() map[string]uint64 {
	t := &v.totals
	out := map[string]uint64{
		"packets": t.Packets, "bytes": t.Bytes, "blocked": t.Dropped.Packets, "monitored": t.Monitored.Packets,
		"allowed": t.Allowed.Packets, "fragments": t.Fragmented, "sampled": t.Sampled, "unsampled": unsampled(t), "ring_lost": t.RingLost,
		"lost_sources_table_full": t.SourcesRefused, "lost_targets_table_full": t.TargetsRefused, "promoted": uint64(max(v.promoted, 0)),
		"lost_unreadable_windows": v.failures, "malformed": 0,
		"evicted_sources": v.detector.Evicted, "evicted_attacks": v.detector.Displaced, "dropped_samples_detector_full": v.detector.Overrun,
	}
	for reason, n := range blocklist.DroppedFor(t.DroppedFor) {
		out["blocked_"+reason] = n
	}
	for _, n := range t.Malformed {
		out["malformed"] += n
	}
	for r, n := range t.Malformed {
		if n > 0 {
			out["malformed_"+traffic.Reason(r).String()] = n
		}
	}
	return out
}

// unsampled counts what was due to be sampled, but for the budget. A packet on its way while an interval ends may be in one of the
// counts only.
func unsampled(t *traffic.Counters) uint64 {
	return t.Candidates - min(t.Candidates, t.Sampled+t.RingLost)
}

func modes() []attach.Mode { return []attach.Mode{attach.Native, attach.SKB, attach.HW} }

func one(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

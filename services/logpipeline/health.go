package logpipeline

import (
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/health"
	"github.com/ironpost/ironpost/services/logpipeline/dedup"
	"github.com/ironpost/ironpost/services/logpipeline/docker"
	"github.com/ironpost/ironpost/services/logpipeline/syslog"
	"github.com/ironpost/ironpost/services/logpipeline/tail"
	"github.com/ironpost/ironpost/sigma"
)

// maxBlocked is how long a publish may wait before it is a health reason.
const maxBlocked = 5 * time.Second

// The health topics.
const (
	topicCheckpoint      = "checkpoint"
	topicCheckpointWrite = "checkpoint write"
	topicStream          = "stream"
	topicReload          = "reload"
	topicStorage         = "storage"
	topicRules           = "rules"
)

// counters count since the module started. Any goroutine may read them.
type counters struct {
	lines, bytes, unparsed        atomic.Uint64
	packets, packetsAgain         atomic.Uint64
	quarantined                   atomic.Uint64 // lines and packet records that were dead-lettered
	batches                       atomic.Uint64
	alerts, updates, refused      atomic.Uint64
	checkpoints, checkpointErrors atomic.Uint64
	spoolErrors                   atomic.Uint64

	dedup      atomic.Pointer[dedup.Stats]
	correlator atomic.Pointer[sigma.CorrelatorStats]
}

func (c *counters) setStats(d dedup.Stats, s sigma.CorrelatorStats) {
	c.dedup.Store(&d)
	c.correlator.Store(&s)
}

// snapshot is the statistics of all parts at one moment, for Health and the metrics.
type snapshot struct {
	tail       tail.Stats
	syslog     syslog.Stats
	docker     docker.Stats
	pub        bus.PublisherStats
	dedup      dedup.Stats
	correlator sigma.CorrelatorStats
	rules      *ruleSet
}

func (s *Service) snapshot() snapshot {
	s.mu.Lock()
	out := snapshot{rules: s.rules}
	in, pub := s.sources, s.pub
	s.mu.Unlock()
	if in != nil {
		out.tail, out.syslog, out.docker, out.pub = in.tailer.Stats(), in.syslog.Stats(), in.docker.Stats(), pub.Stats()
	}
	if d := s.dedup.Load(); d != nil {
		out.dedup = *d
	}
	if c := s.correlator.Load(); c != nil {
		out.correlator = *c
	}
	return out
}

// Health returns the status, its reasons and the counters. Any goroutine may call it at any time.
func (s *Service) Health() event.ModuleHealth {
	n := s.snapshot()
	reasons := slices.Concat(n.rules.reasons(), n.tail.Reasons, n.syslog.Reasons, n.docker.Reasons)
	if since := n.pub.BlockedSince; !since.IsZero() && time.Since(since) > maxBlocked {
		reasons = append(reasons, "alerts cannot be stored since "+since.UTC().Format(time.RFC3339)+": no further line is read")
	}
	return s.reasons.Report(s.countersByName(n), health.Degraded(reasons...)...)
}

// storageReason returns why a configured store is not used, "" if none is configured.
func storageReason(c Storage) string {
	var set []string
	if c.PostgresURL != "" || c.PostgresURLFile != "" {
		set = append(set, "storage.postgres_url")
	}
	if c.RedisURL != "" || c.RedisURLFile != "" {
		set = append(set, "storage.redis_url")
	}
	if len(set) == 0 {
		return ""
	}
	return strings.Join(set, " and ") + " is set, but this build stores nothing there: records are in the streams only"
}

// countersByName returns the counters as Health shows them.
func (s *Service) countersByName(n snapshot) map[string]uint64 {
	out := map[string]uint64{
		"lines": s.lines.Load(), "batches": s.batches.Load(), "bytes": s.bytes.Load(), "unparsed": s.unparsed.Load(),
		"packets": s.packets.Load(), "packets_again": s.packetsAgain.Load(),
		"quarantined": s.quarantined.Load(),
		"alerts":      s.alerts.Load(), "updates": s.updates.Load(), "suppressed": n.dedup.Suppressed,
		"alerts_refused": s.refused.Load(), "checkpoints": s.checkpoints.Load(),
		"checkpoint_errors": s.checkpointErrors.Load(), "spool_errors": s.spoolErrors.Load(),
		"rules": unsigned(n.rules.count()), "files": unsigned(n.tail.Files), "lag_bytes": unsigned(n.tail.Lag),
		"truncated":  unsigned(n.tail.Truncated) + unsigned(n.syslog.Truncated) + n.docker.Truncated,
		"rotations":  unsigned(n.tail.Rotations),
		"containers": unsigned(n.docker.Containers), "container_lines": n.docker.Lines, "containers_missed": n.docker.Missed,
		"spool_bytes": unsigned(n.syslog.SpoolBytes), "dedup_windows": unsigned(n.dedup.Open),
		"dedup_evicted": n.dedup.Evicted, "correlation_groups": unsigned(n.correlator.Groups),
		"correlation_evicted": n.correlator.EvictedGroups + n.correlator.EvictedEvents,
		"publish_retries":     n.pub.Retries,
	}
	for reason, bytes := range n.tail.Lost {
		out["lost_bytes_"+reason] = unsigned(bytes)
	}
	for transport, count := range n.syslog.Received {
		out[transport+"_received"] = unsigned(count)
	}
	for reason, count := range n.syslog.Dropped {
		out["udp_dropped_"+reason] = unsigned(count)
	}
	for reason, count := range n.syslog.Closed {
		out["tcp_closed_"+reason] = unsigned(count)
	}
	for _, f := range n.tail.Behind {
		out["lag_bytes:"+f.Path] = unsigned(f.Lag)
	}
	return out
}

// unsigned returns n, or 0 if it is negative.
func unsigned[N int | int64](n N) uint64 { return uint64(max(n, 0)) }

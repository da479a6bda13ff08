package logpipeline

import (
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/services/logpipeline/dedup"
	"github.com/ironpost/ironpost/services/logpipeline/docker"
	"github.com/ironpost/ironpost/services/logpipeline/syslog"
	"github.com/ironpost/ironpost/services/logpipeline/tail"
	"github.com/ironpost/ironpost/sigma"
)

// maxBlocked is how long a publish may wait before it is worth a word.
const maxBlocked = 5 * time.Second

// The topics of what may be wrong; a topic holds one sentence at a time.
const (
	troubleCheckpoint = "checkpoint"
	troubleWrite      = "checkpoint write"
	troubleStream     = "stream"
	troubleReload     = "reload"
	troubleStorage    = "storage"
	troubleRules      = "rules"
)

// counters are what the pipeline counts. Any goroutine may read them.
type counters struct {
	lines, bytes, unparsed        atomic.Uint64
	packets, packetsAgain         atomic.Uint64
	quarantined                   atomic.Uint64
	batches                       atomic.Uint64
	alerts, updates, invalid      atomic.Uint64
	checkpoints, checkpointErrors atomic.Uint64
	spoolErrors                   atomic.Uint64

	dedup      atomic.Pointer[dedup.Stats]
	correlator atomic.Pointer[sigma.CorrelatorStats]
}

func (c *counters) counted(size int, unparsed bool) {
	c.lines.Add(1)
	c.bytes.Add(uint64(size))
	if unparsed {
		c.unparsed.Add(1)
	}
}

func (c *counters) observed(d dedup.Stats, s sigma.CorrelatorStats) {
	c.dedup.Store(&d)
	c.correlator.Store(&s)
}

func (c *counters) published(out []event.Record) {
	for _, rec := range out {
		if a, ok := rec.(*event.Alert); ok && a.Update {
			c.updates.Add(1)
			continue
		}
		c.alerts.Add(1)
	}
}

// snapshot is everything that Health and the metrics show.
type snapshot struct {
	tail       tail.Stats
	syslog     syslog.Stats
	docker     docker.Stats
	pub        bus.PublisherStats
	dedup      dedup.Stats
	correlator sigma.CorrelatorStats
	rules      int
	reasons    []string
}

func (s *Service) snapshot() snapshot {
	s.mu.Lock()
	book, tailer, server, pub, logs := s.book, s.tailer, s.server, s.pub, s.logs
	reasons := slices.Sorted(maps.Values(s.troubles))
	s.mu.Unlock()

	out := snapshot{rules: book.count()}
	if tailer != nil {
		out.tail, out.syslog, out.pub, out.docker = tailer.Stats(), server.Stats(), pub.Stats(), logs.Stats()
	}
	if d := s.dedup.Load(); d != nil {
		out.dedup = *d
	}
	if c := s.correlator.Load(); c != nil {
		out.correlator = *c
	}
	out.reasons = slices.Concat(reasons, out.wrong(book))
	return out
}

// wrong collects what the parts complain of.
func (n snapshot) wrong(book *rulebook) []string {
	var out []string
	if t := book.trouble(); t != "" {
		out = append(out, t)
	}
	if book.count() == 0 && !book.absent {
		out = append(out, "no rule is in force: nothing raises an alert")
	}
	out = append(out, n.tail.Reasons...)
	out = append(out, n.syslog.Reasons...)
	out = append(out, n.docker.Reasons...)
	if since := n.pub.BlockedSince; !since.IsZero() && time.Since(since) > maxBlocked {
		out = append(out, "alerts cannot be stored since "+since.UTC().Format(time.RFC3339)+": no further line is read")
	}
	return out
}

// note sets what is wrong about topic, "" for nothing.
func (s *Service) note(topic, what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if what == "" {
		delete(s.troubles, topic)
		return
	}
	s.troubles[topic] = what
}

// storageTrouble says that a store is configured which this build does not have.
func storageTrouble(c Storage) string {
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

// Health returns the condition of the service. Any goroutine may call it at any
// time.
func (s *Service) Health() event.ModuleHealth {
	n := s.snapshot()
	h := event.ModuleHealth{
		Name: Name, Host: s.deps.Host, Enabled: true, Since: s.since,
		Reasons: n.reasons, Counters: s.numbers(n),
	}
	if len(h.Reasons) > 0 {
		h.Status = event.Degraded
	}
	return h
}

// numbers are the counters of Health, by name.
func (s *Service) numbers(n snapshot) map[string]uint64 {
	out := map[string]uint64{
		"lines": s.lines.Load(), "batches": s.batches.Load(), "bytes": s.bytes.Load(), "unparsed": s.unparsed.Load(),
		"packets": s.packets.Load(), "packets_again": s.packetsAgain.Load(),
		"quarantined": s.quarantined.Load(),
		"alerts":      s.alerts.Load(), "updates": s.updates.Load(), "suppressed": n.dedup.Suppressed,
		"alerts_refused": s.invalid.Load(), "checkpoints": s.checkpoints.Load(),
		"checkpoint_errors": s.checkpointErrors.Load(), "spool_errors": s.spoolErrors.Load(),
		"rules": positive(n.rules), "files": positive(n.tail.Files), "lag_bytes": positive(n.tail.Lag),
		"truncated":  positive(n.tail.Truncated) + positive(n.syslog.Truncated) + n.docker.Truncated,
		"rotations":  positive(n.tail.Rotations),
		"containers": positive(n.docker.Containers), "container_lines": n.docker.Lines, "containers_missed": n.docker.Missed,
		"spool_bytes": positive(n.syslog.SpoolBytes), "dedup_windows": positive(n.dedup.Open),
		"dedup_evicted": n.dedup.Evicted, "correlation_groups": positive(n.correlator.Groups),
		"correlation_evicted": n.correlator.EvictedGroups + n.correlator.EvictedEvents,
		"publish_retries":     n.pub.Retries,
	}
	for reason, bytes := range n.tail.Lost {
		out["lost_bytes_"+reason] = positive(bytes)
	}
	for transport, count := range n.syslog.Received {
		out[transport+"_received"] = positive(count)
	}
	for reason, count := range n.syslog.Dropped {
		out["udp_dropped_"+reason] = positive(count)
	}
	for reason, count := range n.syslog.Closed {
		out["tcp_closed_"+reason] = positive(count)
	}
	for _, f := range n.tail.Behind {
		out["lag_bytes:"+f.Path] = positive(f.Lag)
	}
	return out
}

func positive[N int | int64](n N) uint64 { return uint64(max(n, 0)) }

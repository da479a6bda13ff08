package logpipeline

import (
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/health"
	"github.com/ironpost/ironpost/internal/metrics"
	"github.com/ironpost/ironpost/services/logpipeline/docker"
	"github.com/ironpost/ironpost/services/logpipeline/inputstats"
	"github.com/ironpost/ironpost/services/logpipeline/journal"
	"github.com/ironpost/ironpost/services/logpipeline/kmsg"
	"github.com/ironpost/ironpost/services/logpipeline/series"
	"github.com/ironpost/ironpost/services/logpipeline/syslog"
	"github.com/ironpost/ironpost/services/logpipeline/tail"
	"github.com/ironpost/ironpost/sigma"
)

// maxBlocked is how long a publish may wait before it is a health reason.
const maxBlocked = 5 * time.Second

// evictedReason is how long series that were given up are a health reason.
const evictedReason = 10 * time.Minute

// The health topics.
const (
	topicCheckpoint      = "checkpoint"
	topicCheckpointWrite = "checkpoint write"
	topicStream          = "stream"
	topicReload          = "reload"
	topicStorage         = "storage"
	topicRules           = "rules"
	topicFormats         = "formats"
	topicRows            = "rows"
	topicQueue           = "row queue"
)

// counters count since the module started. Any goroutine may read them.
type counters struct {
	lines, bytes, unparsed atomic.Uint64

	auditJoined, auditIncomplete, auditUnjoined atomic.Uint64

	packets, packetsAgain         atomic.Uint64
	deadLettered                  atomic.Uint64 // lines and packet records that were dead-lettered
	batches                       atomic.Uint64
	alerts, updates, refused      atomic.Uint64
	tally                         metrics.AlertTally
	checkpoints, checkpointErrors atomic.Uint64
	spoolErrors                   atomic.Uint64
	journalLeftOut                atomic.Uint64 // entries that are read elsewhere, or are of this program
	rows                          rowCounters

	seriesStats atomic.Pointer[series.Stats]
	correlator  atomic.Pointer[sigma.CorrelatorStats]
	evictions   health.Losses // of groups of correlations
	inputStats  inputstats.Table
	zones       learnedZones
	noInput     absence
	taps        taps
}

// setStats is called by one goroutine. The counts of a correlator begin again when rules are loaded.
func (c *counters) setStats(t series.Stats, s sigma.CorrelatorStats) {
	c.seriesStats.Store(&t)
	before := c.correlator.Swap(&s)
	if before == nil || s.EvictedGroups < before.EvictedGroups {
		before = &sigma.CorrelatorStats{}
	}
	if s.EvictedGroups == before.EvictedGroups {
		return
	}
	for rule, n := range s.Evicted {
		c.evictions.Add("groups and events", rule, int64(n)-int64(before.Evicted[rule]), time.Now())
	}
}

// snapshot is the statistics of all parts at one moment, for Health and the metrics.
type snapshot struct {
	formats    *formatSet
	tail       tail.Stats
	syslog     syslog.Stats
	docker     docker.Stats
	journal    journal.Stats
	kernel     kmsg.Stats
	chosen     string // what of the inputs of this host is read, "" if nothing was to be chosen
	pub        bus.PublisherStats
	series     series.Stats
	correlator sigma.CorrelatorStats
	rules      *ruleSet
	cfg        Config
	packetAge  time.Duration
	sources    []sourceAge // that are behind, the worst ones
}

func (s *Service) snapshot() snapshot {
	s.mu.Lock()
	out := snapshot{rules: s.rules, formats: s.formats, cfg: s.cfg}
	in, pub := s.sources, s.pub
	s.mu.Unlock()
	if in != nil {
		out.tail, out.syslog, out.docker, out.pub = in.tailer.Stats(), in.syslog.Stats(), in.docker.Stats(), pub.Stats()
	}
	if in != nil {
		out.journal, out.kernel = in.journal.Stats(), in.kernel.Stats()
		if out.cfg.has(SourceAuto) {
			out.chosen = out.cfg.describe(out.cfg.choose(out.journal.Live))
		}
		out.packetAge = in.packets.age()
		out.sources = out.behind(in.syslog.IsSpoolFile)
	}
	if t := s.seriesStats.Load(); t != nil {
		out.series = *t
	}
	if c := s.correlator.Load(); c != nil {
		out.correlator = *c
	}
	return out
}

// Health returns the status, its reasons and the counters. Any goroutine may call it at any time.
func (s *Service) Health() event.ModuleHealth {
	n := s.snapshot()
	reasons := slices.Concat(n.rules.reasons(), n.tail.Reasons, n.syslog.Reasons, n.docker.Reasons, n.journal.Reasons, behindReasons(n.sources))
	if n.series.Evicted > 0 && time.Since(n.series.EvictedAt) < evictedReason {
		reasons = append(reasons, fmt.Sprintf("%d series were given up because more than %d attacks go on: such an attack is told as another one", n.series.Evicted, series.DefaultMax))
	}
	if reason := s.evictions.Reason("correlations had too many groups and dropped some", time.Now()); reason != "" {
		reasons = append(reasons, reason)
	}
	if since := n.pub.BlockedSince; !since.IsZero() && time.Since(since) > maxBlocked {
		reasons = append(reasons, "alerts cannot be stored since "+since.UTC().Format(time.RFC3339)+": no further line is read")
	}
	if n.kernel.Reason != "" && n.cfg.has(SourceKernel) {
		reasons = append(reasons, n.kernel.Reason)
	}
	all := health.Degraded(reasons...)
	all = append(all, s.inputReasons(n.cfg, n)...)
	for _, text := range slices.Concat(n.remarks(), n.docker.Remarks, n.syslog.Remarks, n.rules.remarks(n.formats.Set)) {
		all = append(all, health.Reason{Status: event.Healthy, Text: text})
	}
	return s.reasons.Report(s.countersByName(n), all...)
}

// remarks returns that the kernel's log cannot be read. It is no fault where nobody asked for it: in a container, and for a user.
func (n snapshot) remarks() (out []string) {
	if n.kernel.Reason != "" && !n.cfg.has(SourceKernel) {
		out = append(out, n.kernel.Reason)
	}
	return out
}

// storageReason returns why a configured store is not used, "" if all are.
func storageReason(c Storage) string {
	if c.RedisURL == "" && c.RedisURLFile == "" {
		return ""
	}
	return "storage.redis_url is set, but this build shares no counts: they are in memory"
}

package sbomscanner

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/health"
	"github.com/ironpost/ironpost/internal/metrics"
	"github.com/ironpost/ironpost/services/sbomscanner/finding"
)

// The health topics.
const (
	topicState       = "state"
	topicDatabase    = "database"
	topicEmpty       = "database empty"
	topicStale       = "database stale"
	topicUpdate      = "database update"
	topicScan        = "scan"
	topicLong        = "long scan"
	topicUnread      = "unread"
	topicMatch       = "match"
	topicDocument    = "document"
	topicDocker      = "docker"
	topicWatch       = "watch"
	topicOutbox      = "outbox"
	topicExpired     = "exceptions"
	topicNotAssessed = "not assessed"
)

// maxBlocked is how long alerts may wait before it is a health reason.
const maxBlocked = 5 * time.Second

// counters count since the module started. Any goroutine may read them.
type counters struct {
	scans, scanErrors     atomic.Uint64
	matchErrors           atomic.Uint64
	documentErrors        atomic.Uint64
	updates, updateErrors atomic.Uint64
	alerts                atomic.Uint64
	tally                 metrics.AlertTally
}

// snapshot is what the loop knows at one moment.
type snapshot struct {
	assets, packages, notAssessed int
	findings                      map[finding.State]int
	problems                      map[string]int // files that were not read, by reason
	waiting, queued               int
	waitingSince                  time.Time // zero: no alert waits
	queueDropped                  uint64
	advisories                    int
	updated                       time.Time // of the database
}

// report takes a snapshot for Health and the metrics, and updates the reasons that follow from it.
func (l *loop) report() {
	now := time.Now()
	l.s.reasons.Set(topicScan, l.scanFailures.reason())
	long := ""
	if l.scanning != "" && now.Sub(l.began) > longScan {
		long = fmt.Sprintf("the scan of %s has not ended since %s, nothing else is scanned", event.Printable(l.scanning, maxShown), l.began.UTC().Format(time.RFC3339))
	}
	l.s.reasons.Set(topicLong, long)
	l.s.reasons.Set(topicUnread, l.ofActive(l.unread).reason())
	l.s.reasons.Set(topicMatch, l.ofActive(l.matchFailures).reason())
	if now.Sub(l.lastReport) < tick/2 {
		return
	}
	l.lastReport = now
	switch {
	case l.findings.WaitingCount() == 0:
		l.waitingSince = time.Time{}
	case l.waitingSince.IsZero():
		l.waitingSince = now
	}
	status := l.database.status()
	out := &snapshot{
		packages: l.inventories.Packages(), findings: map[finding.State]int{}, problems: map[string]int{},
		waiting: l.findings.WaitingCount(), waitingSince: l.waitingSince, queued: len(l.queue.waiting), queueDropped: l.queue.dropped,
		advisories: status.Records(), updated: status.Updated(),
	}
	missing := map[string]int{}
	for _, key := range l.inventories.Keys() {
		inv := l.inventories.Get(key)
		out.assets++
		if !l.active(inv.Asset) {
			continue
		}
		for reason, n := range inv.Skipped {
			out.problems[reason] += n
		}
		if l.database.empty() {
			out.notAssessed += len(inv.Packages)
		}
	}
	for _, a := range l.findings.Assets() {
		if !l.active(a.Asset) {
			continue
		}
		for i := range a.Findings {
			out.findings[a.Findings[i].State]++
		}
		if l.database.empty() {
			continue
		}
		for ecosystem, n := range a.NotAssessed {
			missing[ecosystem] += n
			out.notAssessed += n
		}
	}
	text := ""
	if len(missing) > 0 {
		text = "not assessed, the database has no advisories for them: " + notAssessed(missing)
	}
	l.s.reasons.Remark(topicNotAssessed, text)
	l.s.snapshot.Store(out)
}

// ofActive returns those of assets that are still scanned.
func (l *loop) ofActive(all failures) failures {
	out := failures{}
	for key, why := range all {
		if inv := l.inventories.Get(key); inv != nil && l.active(inv.Asset) {
			out[key] = why
		}
	}
	return out
}

// Health returns the status, its reasons and the counters. Any goroutine may call it at any time.
func (s *Service) Health() event.ModuleHealth {
	var reasons []string
	n := s.snapshot.Load()
	if since := n.waitingSince; !since.IsZero() && time.Since(since) > maxBlocked {
		reasons = append(reasons, fmt.Sprintf("alerts cannot be stored since %s: %d wait", since.UTC().Format(time.RFC3339), n.waiting))
	}
	out := map[string]uint64{}
	for _, m := range s.measures() {
		if m.health != "" {
			out[m.health] = uint64(max(m.value, 0))
		}
	}
	return s.reasons.Report(out, health.Degraded(reasons...)...)
}

func (s *Service) publisherStats() bus.PublisherStats {
	if pub := s.publisher.Load(); pub != nil {
		return pub.Stats()
	}
	return bus.PublisherStats{}
}

// failures are why assets are not handled, by the asset's key. It is for one goroutine.
type failures map[string]string

// reason says why, for all of them in one sentence, "" for none.
func (f failures) reason() string {
	switch keys := sortedKeys(f); len(keys) {
	case 0:
		return ""
	case 1:
		return f[keys[0]]
	default:
		return fmt.Sprintf("%s; and %d more assets", f[keys[0]], len(keys)-1)
	}
}

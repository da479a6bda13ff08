package edge

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/health"
	"github.com/ironpost/ironpost/internal/metrics"
)

// check looks at the link and at what waits, until ctx ends.
func (f *Forwarder) check(ctx context.Context) error {
	ticker := time.NewTicker(checkInterval)
	defer ticker.Stop()
	for {
		f.checkOnce(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

func (f *Forwarder) checkOnce(ctx context.Context) {
	type found struct {
		unsent uint64
		oldest time.Time
		err    error
	}
	now, queues := time.Now(), make([]found, len(f.queues))
	for i, q := range f.queues { // no lock is held over it
		queues[i].unsent, queues[i].oldest, queues[i].err = f.deps.Bus.Unsent(ctx, q.durable)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, q := range f.queues {
		if q.err = queues[i].err; q.err == nil {
			q.unsent, q.oldest = queues[i].unsent, queues[i].oldest
		}
	}
	switch {
	case f.hub != nil && f.hub.Connected():
		f.lost, f.failed = time.Time{}, nil
	case f.lost.IsZero():
		f.lost = now
	}
}

// Health implements daemon.Module.
func (f *Forwarder) Health() event.ModuleHealth {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	counters := map[string]uint64{"hub_connected": 0}
	if f.lost.IsZero() {
		counters["hub_connected"] = 1
	}
	var reasons []string
	if !f.lost.IsZero() && now.Sub(f.lost) >= unreachableAfter {
		reasons = append(reasons, f.unreachable())
	}
	if f.hub != nil && f.lost.IsZero() {
		reasons = append(reasons, f.onTheHub()...)
	}
	var oldest time.Time
	for _, q := range f.queues {
		name := strings.ToLower(strings.TrimPrefix(string(q.durable.Stream), "IRONPOST_"))
		counters["unsent_"+name] = q.unsent
		if q.forward != nil {
			counters["forwarded_"+name] = q.forward.Stats().Published
		}
		if q.err != nil {
			reasons = append(reasons, fmt.Sprintf("not known how many %s wait: %v", name, q.err))
		}
		if !q.oldest.IsZero() && (oldest.IsZero() || q.oldest.Before(oldest)) {
			oldest = q.oldest
		}
	}
	counters["oldest_unsent_secs"] = seconds(now, oldest)
	return f.reasons.Report(counters, health.Degraded(reasons...)...)
}

// unreachable says since when, and what waits. f.mu is held.
func (f *Forwarder) unreachable() string {
	text := fmt.Sprintf("the hub %s has not been reachable since %s", f.deps.Hub.URL, f.lost.UTC().Format(time.RFC3339))
	if f.failed != nil {
		text += fmt.Sprintf(" (%v)", f.failed)
	}
	var waiting []string
	for _, q := range f.queues {
		if q.unsent > 0 {
			waiting = append(waiting, fmt.Sprintf("%d of %s, the oldest since %s", q.unsent, q.durable.Stream, q.oldest.UTC().Format(time.RFC3339)))
		}
	}
	if len(waiting) == 0 {
		return text + "; nothing waits for it"
	}
	return text + "; waiting: " + strings.Join(waiting, "; ")
}

// onTheHub returns what is wrong on the hub's bus. f.mu is held.
func (f *Forwarder) onTheHub() []string {
	var reasons []string
	for _, reason := range f.hub.Reasons() {
		reasons = append(reasons, "on the hub: "+reason)
	}
	_, refused, err := f.blocks.State()
	if err != nil {
		reasons = append(reasons, "the hub's blocklist is not copied: "+err.Error())
	}
	if refused > 0 {
		reasons = append(reasons, fmt.Sprintf("%d entries of the hub's blocklist are not copied: not valid, too wide or too many", refused))
	}
	return reasons
}

// seconds returns how long before now at was, 0 for the zero time.
func seconds(now, at time.Time) uint64 {
	if at.IsZero() {
		return 0
	}
	return uint64(max(now.Sub(at), 0).Seconds())
}

func described() metrics.Described {
	return metrics.Described{
		"hub_connected":         {"Whether there is a connection to the hub."},
		"unsent_records":        {"Records that the hub does not have yet.", "stream"},
		"oldest_unsent_seconds": {"Age of the oldest record that the hub does not have yet, 0 if there is none.", "stream"},
		"forwarded_total":       {"Records stored on the hub since the connection was made first.", "stream"},
		"duplicates_total":      {"Records that the hub was found to have already.", "stream"},
		"hub_blocks":            {"Entries of the hub's blocklist."},
	}
}

func (f *Forwarder) collect(sink metrics.Sink) {
	f.mu.Lock()
	defer f.mu.Unlock()
	sink.Bool("hub_connected", f.lost.IsZero())
	blocks := 0
	if f.blocks != nil {
		blocks, _, _ = f.blocks.State()
	}
	sink.Gauge("hub_blocks", float64(blocks))
	for _, q := range f.queues {
		stream, stats := string(q.durable.Stream), bus.PublisherStats{}
		if q.forward != nil {
			stats = q.forward.Stats()
		}
		sink.Gauge("unsent_records", float64(q.unsent), stream)
		sink.Gauge("oldest_unsent_seconds", float64(seconds(time.Now(), q.oldest)), stream)
		sink.Count("forwarded_total", float64(stats.Published), stream)
		sink.Count("duplicates_total", float64(stats.Duplicates), stream)
	}
}

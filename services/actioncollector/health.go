package actioncollector

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/ironpost/ironpost/event"
)

// The things that may be wrong, in the order they are shown.
const (
	reasonBroken = "1 broken"
	reasonOpen   = "2 open"
	reasonWrite  = "3 write"
	reasonHead   = "4 head"
)

// counters are what the module counts since it started.
type counters struct {
	audited, duplicates, rejected, failures, breaks, repairs, head uint64
}

// health is the module's condition; its methods may be called concurrently.
type health struct {
	host string

	mu      sync.Mutex
	since   time.Time
	reasons map[string]string
	counts  counters
}

func newHealth(host string) *health {
	return &health{host: host, since: time.Now(), reasons: make(map[string]string)}
}

// set gives a reason and reports whether there was none of its kind.
func (h *health) set(kind, reason string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.reasons) == 0 {
		h.since = time.Now()
	}
	_, had := h.reasons[kind]
	h.reasons[kind] = reason
	return !had
}

func (h *health) clear(kind string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, had := h.reasons[kind]; !had {
		return
	}
	delete(h.reasons, kind)
	if len(h.reasons) == 0 {
		h.since = time.Now()
	}
}

func (h *health) count(change func(*counters)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	change(&h.counts)
}

func (h *health) report() event.ModuleHealth {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := event.ModuleHealth{
		Name: Name, Host: h.host, Enabled: true, Status: event.Healthy, Since: h.since.UTC(),
		Counters: map[string]uint64{
			"actions_audited": h.counts.audited, "actions_duplicate": h.counts.duplicates,
			"actions_rejected": h.counts.rejected, "write_failures": h.counts.failures,
			"trail_breaks": h.counts.breaks, "trail_repairs": h.counts.repairs, "trail_head": h.counts.head,
		},
	}
	for _, kind := range slices.Sorted(maps.Keys(h.reasons)) {
		out.Status = event.Degraded
		out.Reasons = append(out.Reasons, h.reasons[kind])
	}
	return out
}

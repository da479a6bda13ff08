package containerguard

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/ironpost/ironpost/event"
)

// What may be wrong, in the order it is shown.
const (
	aboutPolicies = "1 policies"
	aboutDocker   = "2 docker"
	aboutLedger   = "3 ledger"
	aboutDamage   = "3 ledger at start"
	aboutEvidence = "4 evidence"
	aboutMemory   = "4 memory"
	aboutLost     = "4 memory at start"
	aboutBlocks   = "5 blocks"
	aboutWaiting  = "6 waiting"
	aboutWebhook  = "7 webhook"
)

// condition is what keeps the module from its work. Its methods may be called
// concurrently.
type condition struct {
	mu      sync.Mutex
	since   time.Time
	reasons map[string]string
}

func newCondition() *condition {
	return &condition{since: time.Now(), reasons: map[string]string{}}
}

// say gives the reason about something, "" for none, and reports whether that is new.
func (c *condition) say(about, reason string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	before := c.reasons[about]
	if reason == before {
		return false
	}
	well := len(c.reasons) == 0
	if reason == "" {
		delete(c.reasons, about)
	} else {
		c.reasons[about] = reason
	}
	if well != (len(c.reasons) == 0) {
		c.since = time.Now()
	}
	return true
}

func (c *condition) report(host string, counters map[string]uint64) event.ModuleHealth {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := event.ModuleHealth{Name: Name, Host: host, Enabled: true, Since: c.since.UTC(), Counters: counters}
	for _, about := range slices.Sorted(maps.Keys(c.reasons)) {
		h.Status = event.Degraded
		h.Reasons = append(h.Reasons, c.reasons[about])
	}
	return h
}

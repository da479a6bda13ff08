package containerguard

import (
	"context"
	"sync"
	"time"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/services/containerguard/safety"
)

// capShown is how long the newest block that a cap refused stays a reason.
const capShown = 10 * time.Minute

// cappedBlock is the newest block that a cap refused. Its methods may be called concurrently.
type cappedBlock struct {
	mu     sync.Mutex
	at     time.Time
	reason string
}

func (c *cappedBlock) set(reason string, at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at, c.reason = at, reason
}

// text returns the reason for health, "" if the last one is long ago.
func (c *cappedBlock) text(now time.Time) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.at.IsZero() || now.Sub(c.at) > capShown {
		return ""
	}
	return "addresses were not blocked, at last at " + c.at.UTC().Format(time.RFC3339) + ": " + c.reason
}

// admitBlock counts a block, or returns the cap that forbids it. A weaker block whose place it takes is removed.
func (r *response) admitBlock(ctx context.Context, b bus.Block) (refused string) {
	yields, refused := r.run.blocks.Admit(safety.BlockCandidate{
		Key: b.Key(), Source: evidenceSource(r.alert), Strength: r.alert.Trust.Rank(), Expires: b.Expires,
	}, r.started)
	if refused != "" {
		r.guard.counters.blocksCapped.Add(1)
		r.guard.capped.set(refused, r.started)
		return refused
	}
	if yields == "" {
		return ""
	}
	r.guard.counters.blocksYielded.Add(1)
	list, err := r.guard.deps.Bus.Blocklist(ctx)
	if err == nil {
		err = list.RemoveAutomatic(ctx, yields, Name)
	}
	log := r.guard.log.WithField("key", yields)
	if err != nil {
		log.WithError(err).Warn("a block that gives way to a stronger one cannot be removed, it ends by itself")
		return ""
	}
	log.Info("a block gives way to one with stronger evidence: container.max_blocks, max_blocks_per_source")
	return ""
}

// syncWithBlocklist forgets blocks that someone removed from the blocklist: they leave the caps.
func (s *Service) syncWithBlocklist(ctx context.Context, run *runState) {
	if run.blocks.Count() == 0 {
		return
	}
	since := time.Now()
	list, err := s.deps.Bus.Blocklist(ctx)
	if err != nil {
		return // health says it when an address is to be blocked
	}
	all, _, err := list.List(ctx)
	if err != nil {
		return
	}
	keys := make(map[string]bool, len(all))
	for _, b := range all {
		keys[b.Key()] = true
	}
	run.blocks.KeepOnly(keys, since)
}

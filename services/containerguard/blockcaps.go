package containerguard

import (
	"context"
	"sync"
	"time"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/task"
	"github.com/ironpost/ironpost/services/containerguard/policy"
	"github.com/ironpost/ironpost/services/containerguard/safety"
)

const (
	// capShown is how long the newest block that a cap refused stays a reason.
	capShown = 10 * time.Minute
	// roomInterval is how often the blocks that a cap refused are tried again.
	roomInterval = time.Second
)

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

// blockStrength ranks a block by a policy: one of which the kernel confirmed the address goes before any other.
func blockStrength(a *event.Alert, p *policy.Policy) int {
	confirmed := a.Trust == event.TrustKernel || !p.Require.NoProof
	if confirmed {
		return len(event.Trusts()) + a.Trust.Rank()
	}
	return a.Trust.Rank()
}

// admitBlock counts a block, or returns the cap that forbids it. A weaker block whose place it takes is removed.
func (r *response) admitBlock(ctx context.Context, c safety.BlockCandidate) (refused string) {
	yields, refused := r.run.blocks.Admit(c, r.started)
	if refused != "" {
		r.guard.counters.blocksCapped.Add(1)
		r.guard.capped.set(refused, r.started)
		return refused
	}
	if yields == "" {
		return ""
	}
	r.guard.counters.blocksYielded.Add(1)
	if prefix, _, err := bus.ParseBlockKey(yields); err == nil {
		r.run.guardState.CancelCooldowns("|address:" + prefix.Addr().String()) // its next alert is answered
	}
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

// retryCapped makes the blocks that a cap refused once there is room, the strongest first, until ctx ends.
func (s *Service) retryCapped(ctx context.Context) error {
	for task.Pause(ctx, roomInterval); ctx.Err() == nil; task.Pause(ctx, roomInterval) {
		run, now := s.run.Load(), time.Now()
		type share struct {
			source   string
			strength int
		}
		full := map[share]bool{} // what holds for one block of a source holds for as strong ones
		for _, p := range run.proposals.capped(now) {
			of := share{p.capped.Source, p.capped.Strength}
			full[of] = full[of] || run.blocks.Check(*p.capped, now) != ""
			if !full[of] {
				s.answerWaiting(ctx, p)
			}
		}
	}
	return nil
}

// syncWithBlocklist forgets blocks that someone removed from the blocklist: they leave the caps.
func (s *Service) syncWithBlocklist(ctx context.Context, run *runState) {
	if run.blocks.Count() == 0 {
		return
	}
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
	run.blocks.KeepOnly(keys, time.Now())
}

package containerguard

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/services/containerguard/policy"
	"github.com/ironpost/ironpost/services/containerguard/safety"
)

// capShown is how long the newest block that a cap refused stays a reason.
const capShown = 10 * time.Minute

// cappedBlock is the newest block that a cap refused, and how many were since there was none for capShown. Its methods may be called concurrently.
type cappedBlock struct {
	mu     sync.Mutex
	at     time.Time
	reason string
	count  int
}

func (c *cappedBlock) set(reason string, at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if at.Sub(c.at) > capShown {
		c.count = 0
	}
	c.at, c.reason = at, reason
	c.count++
}

// text returns the reason for health, "" if the last one is long ago.
func (c *cappedBlock) text(now time.Time) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.at.IsZero() || now.Sub(c.at) > capShown {
		return ""
	}
	return fmt.Sprintf("%d blocks were refused, at last at %s: %s", c.count, c.at.UTC().Format(time.RFC3339), c.reason)
}

// blockStrength ranks a block by a policy: one of which the kernel confirmed the address goes before any other.
func blockStrength(a *event.Alert, p *policy.Policy) int {
	confirmed := a.Trust == event.TrustKernel || !p.Require.NoProof
	if confirmed {
		return len(event.Trusts()) + a.Trust.Rank()
	}
	return a.Trust.Rank()
}

// skipRefused reports why nothing is done. What was refused for want of room waits; a block is a reason of health.
func (r *response) skipRefused(ctx context.Context, d decision, s step, v verdict) {
	if v.capped != nil {
		r.guard.counters.blocksCapped.Add(1)
		r.guard.capped.set(v.reason, r.now)
	}
	if v.noRoom {
		r.addRefused(cooldownKey(d, s), v)
	}
	r.skip(ctx, d, s, v.reason)
}

// giveWay removes the weaker block whose place another takes, if there is one.
func (r *response) giveWay(ctx context.Context, yields string) {
	if yields == "" {
		return
	}
	r.guard.counters.blocksYielded.Add(1)
	list, err := r.guard.deps.Bus.Blocklist(ctx)
	if err == nil {
		err = list.RemoveAutomatic(ctx, yields, Name, r.guard.deps.Host)
	}
	log := r.guard.log.WithField("key", yields)
	if err != nil {
		log.WithError(err).Warn("a block that gives way to a stronger one cannot be removed, it ends by itself")
		return
	}
	log.Info("a block gives way to one with stronger evidence: container.max_blocks, max_blocks_per_source")
}

// networkOf returns the network that counts as one attacker's: the /24 or /64 of a prefix, or the prefix if that is wider.
func networkOf(p netip.Prefix) netip.Prefix {
	const bits4, bits6 = 24, 64
	bits := bits6
	if p.Addr().Is4() {
		bits = bits4
	}
	network, _ := p.Addr().Prefix(min(bits, p.Bits()))
	return network
}

// syncWithBlocklist makes the counted blocks those of this guard that the blocklist has: one that someone removed leaves the caps, and one that
// is not known, after a crash or with a damaged file, counts.
func (s *Service) syncWithBlocklist(ctx context.Context, run *runState) {
	ctx, cancel := context.WithTimeout(ctx, resolveTimeout)
	defer cancel()
	list, err := s.deps.Bus.Blocklist(ctx)
	if err != nil {
		return // health says it when an address is to be blocked
	}
	all, _, err := list.List(ctx)
	if err != nil {
		return
	}
	keys := make(map[string]bool, len(all))
	var own []safety.BlockCandidate
	for _, b := range all {
		keys[b.Key()] = true
		if b.Source == Name && b.MadeOn == s.deps.Host && !b.Hub {
			own = append(own, safety.BlockCandidate{
				Key: b.Key(), Network: networkOf(b.Prefix).String(), Strength: s.strengthOf(b), Expires: b.Expires,
			})
		}
	}
	run.blocks.Sync(keys, own, time.Now())
}

// strengthOf returns the rank of a block in the blocklist, by the policy that made it; by its trust alone if there is none any more.
func (s *Service) strengthOf(b bus.Block) int {
	for _, p := range s.policies.Load().Policies {
		if p.ID == b.Policy {
			return blockStrength(&event.Alert{Trust: b.Trust}, p)
		}
	}
	return b.Trust.Rank()
}

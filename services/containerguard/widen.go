package containerguard

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/services/containerguard/policy"
)

const (
	// An attacker with an IPv6 /64, which every subscriber has, changes the address at will. widenFrom of
	// them blocked, whose packets are known not to be forged, block the network, for maxWidened at most.
	widenedBits = 64
	widenFrom   = 3
	maxWidened  = time.Hour
	// evidenceTimeout bounds how long the packet engine may take to say what it knows.
	evidenceTimeout = 2 * time.Second
)

// widen blocks the IPv6 /64 of an address that was just blocked, if enough of its addresses are and the packet
// engine of this host knows nothing against it. Networks of IPv4, and larger ones of IPv6, belong to
// many subscribers and are never blocked automatically.
func (r *response) widen(ctx context.Context, d decision, s step) {
	if !s.address.Is6() || !d.policy.Widen || d.policy.BlockRate > 0 {
		return
	}
	network, _ := s.address.Prefix(widenedBits)
	evidence, err := r.networkEvidence(ctx, network, s.address)
	if err != nil {
		if !errors.Is(err, bus.ErrUnreachable) { // no packet engine runs here
			r.guard.log.WithError(err).WithField("network", network).Warn("the block of an address is not widened to its network")
		}
		return
	}
	if len(evidence.Proven) < widenFrom {
		return
	}
	w := step{
		kind: policy.BlockSource, target: "network:" + network.String(),
		reason: fmt.Sprintf("%d of its addresses are blocked, and none is forged", len(evidence.Proven)),
	}
	if refused := cmp.Or(evidence.Refused, r.refuseNetwork(network)); refused != "" {
		r.skip(ctx, d, w, "not widened: "+refused)
		return
	}
	ttl := min(d.policy.BlockTTL, maxWidened)
	// An operator who removes the block does so until it would have ended.
	if until := r.cooldown(w.target, ttl); !until.IsZero() {
		return
	}
	if v := r.admitBlock(d, w, network, ttl); v.outcome == outcomeSkip {
		r.skipRefused(ctx, d, w, v)
	} else {
		r.block(ctx, d, w, v)
	}
}

// networkEvidence asks the packet engine of this host about the network of an address.
func (r *response) networkEvidence(ctx context.Context, network netip.Prefix, blocked netip.Addr) (evidence bus.NetworkEvidence, err error) {
	ctx, cancel := context.WithTimeout(ctx, evidenceTimeout)
	defer cancel()
	subject := bus.VerbSubject(bus.EBPFEngine, r.guard.deps.Host, bus.VerbNetworkEvidence)
	err = r.guard.deps.Bus.Request(ctx, subject, bus.NetworkEvidenceRequest{Network: network, Address: blocked}, &evidence)
	return evidence, err
}

// refuseNetwork returns why the guard blocks no such network, "" if it may.
func (r *response) refuseNetwork(network netip.Prefix) string {
	if dependency := r.guard.protections.Load().Dependency(network); dependency != "" {
		return "the guard depends on " + dependency + " in it"
	}
	return r.guard.config().blockFilter().RefuseNetwork(network)
}

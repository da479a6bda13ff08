package ebpfengine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/services/ebpfengine/blocklist"
)

// acts returns what operators may have done.
func (s *Service) acts(k *kernel) map[string]bus.Act {
	return map[string]bus.Act{
		blocklist.VerbAccept: func(ctx context.Context, by string, body []byte) (any, error) {
			var req blocklist.AcceptFeedRequest
			if err := json.Unmarshal(body, &req); err != nil {
				return nil, fmt.Errorf("request: %w", err)
			}
			return s.acceptFeed(ctx, k, bus.OperatorName(by, s.deps.Host), req)
		},
	}
}

// verbs returns the verbs of the blocklist.
func (s *Service) verbs(k *kernel) map[string]bus.Verb {
	return map[string]bus.Verb{
		blocklist.VerbList: k.reconciler.Verb(s.deps.Host),
		blocklist.VerbCheck: func(_ context.Context, body []byte) (any, error) {
			var req blocklist.CheckRequest
			if err := json.Unmarshal(body, &req); err != nil {
				return nil, fmt.Errorf("request: %w", err)
			}
			if !req.Address.IsValid() {
				return nil, errors.New("request: no address")
			}
			answer, err := k.reconciler.Check(req.Address, s.watchedNames())
			answer.Host = s.deps.Host
			return answer, err
		},
		bus.VerbNetworkEvidence: func(_ context.Context, body []byte) (any, error) {
			var req bus.NetworkEvidenceRequest
			if err := json.Unmarshal(body, &req); err != nil {
				return nil, fmt.Errorf("request: %w", err)
			}
			return s.networkEvidence(k, req)
		},
	}
}

// networkEvidence returns what is known about an IPv6 /64.
func (s *Service) networkEvidence(k *kernel, req bus.NetworkEvidenceRequest) (bus.NetworkEvidence, error) {
	const bits, most = 64, 64
	if req.Network.Bits() != bits || !req.Network.Addr().Is6() || req.Network != req.Network.Masked() {
		return bus.NetworkEvidence{}, errors.New("request: the network must be an IPv6 /64")
	}
	blocked := k.reconciler.AutomaticallyBlocked(req.Network)
	if req.Network.Contains(req.Address) && !slices.Contains(blocked, req.Address) {
		blocked = append(blocked, req.Address)
	}
	out := bus.NetworkEvidence{Proven: []netip.Addr{}}
	for _, addr := range blocked {
		proven := slices.ContainsFunc(s.interfaces.watching(), func(w *watcher) bool { return w.hasCompletedHandshake(addr) })
		if proven && len(out.Proven) < most {
			out.Proven = append(out.Proven, addr)
		}
	}
	refused, err := k.reconciler.NotToBlock(req.Network, blocked)
	out.Refused = refused
	return out, err
}

// acceptFeed accepts a feed and publishes that as an action, which the audit trail keeps.
func (s *Service) acceptFeed(ctx context.Context, k *kernel, by string, req blocklist.AcceptFeedRequest) (blocklist.AcceptedFeed, error) {
	feed, err := k.reconciler.AcceptFeed(ctx, req.File)
	if err != nil {
		return feed, err
	}
	id := event.ID(Name, s.deps.Host, uuid.NewString())
	action := &event.Action{
		ID: id, Schema: event.Schema, TraceID: id, Time: time.Now().UTC(), Module: Name, Host: s.deps.Host, Policy: bus.Operator, Operator: by,
		Kind: "accept-feed", Target: feed.File, Phase: event.Done,
		Reason: event.Printable(fmt.Sprintf("%d prefixes in place of %d: %s", feed.Now, feed.Before, req.Reason), bus.MaxBlockReason),
	}
	pub, err := s.deps.Bus.Publisher(bus.PublisherConfig{Stream: bus.Actions, Module: Name, Host: s.deps.Host})
	if err != nil {
		return feed, err
	}
	defer pub.Close()
	if err := pub.Send(ctx, action); err != nil {
		return feed, fmt.Errorf("accepted, but not recorded in the audit trail: %w", err)
	}
	return feed, pub.Flush(ctx)
}

package ebpfengine

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/ironpost/ironpost/bpf"
	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/task"
	"github.com/ironpost/ironpost/services/ebpfengine/blocklist"
)

const (
	// dropsInterval is how often the entries of the blocklist are read for what they dropped, if anything was dropped.
	dropsInterval = 5 * time.Second
	// dropsShare bounds the time spent on that to a thirtieth: reading a million entries takes a second.
	dropsShare = 30
)

func (s *Service) newReconciler(filter *bpf.Filter) *blocklist.Reconciler {
	peers := func() []netip.Addr {
		all := s.deps.Bus.Peers()
		if s.deps.Peers != nil {
			all = append(all, s.deps.Peers()...)
		}
		return all
	}
	return blocklist.New(
		blocklist.Config{MaxEntries: s.cfg.BlocklistMaxEntries, Files: s.cfg.BlocklistFiles, Allow: s.cfg.Allow, StateDir: s.deps.DataDir},
		blocklist.Deps{Kernel: filter, Bus: s.deps.Bus, Host: s.deps.Host, Peers: peers, Log: s.log, Trusted: s.deps.Trusted},
	)
}

// reconcileBlocklist runs the reconciler and serves its verbs until ctx ends.
func (s *Service) reconcileBlocklist(ctx context.Context, k *kernel) error {
	stop, err := s.deps.Bus.Serve(ctx, bus.ServiceConfig{
		Module: Name, Host: s.deps.Host, Verbs: s.verbs(k), Acts: s.acts(k),
	})
	if err != nil {
		return fmt.Errorf("packet engine: %w", err)
	}
	defer stop()
	return k.reconciler.Run(ctx)
}

// publishDropped publishes what the entries of the blocklist drop until ctx ends. What adopted entries had dropped before the
// start has been published by an earlier process.
func (s *Service) publishDropped(ctx context.Context, k *kernel) error {
	total := s.droppedPackets()
	began := time.Now()
	_, err := k.reconciler.TakeDropped()
	took := time.Since(began)
	for {
		s.setReason(topicDropped, withPrefix("cannot read what the blocklist dropped: ", err))
		task.Pause(ctx, max(dropsInterval, dropsShare*took))
		if ctx.Err() != nil {
			return nil
		}
		now := s.droppedPackets()
		if now == total {
			continue
		}
		var dropped []event.BlockedTraffic
		began = time.Now()
		dropped, err = k.reconciler.TakeDropped()
		took = time.Since(began)
		if err == nil {
			total = now
			s.box.Blocked(s.watchedInterfaces(), dropped)
		}
	}
}

// droppedPackets returns how many packets met an entry of the blocklist on any interface.
func (s *Service) droppedPackets() uint64 {
	var n uint64
	interfaces, _ := s.interfaces.all()
	for _, i := range interfaces {
		n += i.totals.Dropped.Packets + i.totals.Monitored.Packets
	}
	return n
}

// watchedInterfaces returns the names of the watched interfaces, which share the blocklist.
func (s *Service) watchedInterfaces() string { return strings.Join(s.watchedNames(), ",") }

// watchedNames returns the names of the watched interfaces, sorted.
func (s *Service) watchedNames() []string {
	interfaces, _ := s.interfaces.all() // sorted
	names := []string{}
	for _, i := range interfaces {
		if i.attached.mode != "" {
			names = append(names, i.name)
		}
	}
	return names
}

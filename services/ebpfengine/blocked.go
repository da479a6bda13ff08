package ebpfengine

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/ironpost/ironpost/bpf"
	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/services/ebpfengine/blocklist"
)

const (
	// countEvery is how often the hits of the blocklist are read, if anything was dropped.
	countEvery = 5 * time.Second
	// countShare bounds the time spent on that to a part of all: reading a million entries takes a second.
	countShare = 30
)

// peers are the machines at either end of the bus.
func (s *Service) peers() []netip.Addr {
	all := s.deps.Bus.Peers()
	if s.deps.Peers != nil {
		all = append(all, s.deps.Peers()...)
	}
	return all
}

// newKeeper returns who makes the kernel's blocklist equal to what is wanted.
func (s *Service) newKeeper(filter *bpf.Filter) *blocklist.Reconciler {
	return blocklist.New(
		blocklist.Config{MaxEntries: s.cfg.BlocklistMaxEntries, Files: s.cfg.BlocklistFiles},
		blocklist.Deps{Kernel: filter, Bus: s.deps.Bus, Peers: s.peers, Log: s.log},
	)
}

// keepBlocked has the keeper work, and answer operators, until ctx ends.
func (s *Service) keepBlocked(ctx context.Context, k *kernel) error {
	stop, err := s.deps.Bus.Serve(ctx, bus.ServiceConfig{
		Module: Name, Host: s.deps.Host, Verbs: map[string]bus.Verb{"blocklist": k.keeper.Verb(s.deps.Host)},
	})
	if err != nil {
		return fmt.Errorf("packet engine: %w", err)
	}
	defer stop()
	return k.keeper.Run(ctx)
}

// countBlocked publishes what the entries of the blocklist dropped. What they had when they were adopted was told
// before.
func (s *Service) countBlocked(ctx context.Context, k *kernel) error {
	seen := s.dropped()
	_, took, err := k.hits()
	for {
		s.note(troubleHits, told("hits of the blocklist cannot be read: ", err))
		if !pause(ctx, max(countEvery, countShare*took), false) {
			return nil
		}
		now := s.dropped()
		if now == seen {
			continue
		}
		var list []event.BlockedTraffic
		if list, took, err = k.hits(); err == nil {
			seen = now
			s.box.Blocked(s.watched(), list)
		}
	}
}

// hits returns what the entries dropped since the last call, and how long it took to tell.
func (k *kernel) hits() ([]event.BlockedTraffic, time.Duration, error) {
	began := time.Now()
	list, err := k.keeper.TakeDropped()
	return list, time.Since(began), err
}

// dropped counts the packets that met the blocklist on any interface.
func (s *Service) dropped() uint64 {
	var n uint64
	for _, v := range s.shown() {
		n += v.totals.Dropped.Packets + v.totals.Monitored.Packets
	}
	return n
}

// watched names the interfaces, which share the blocklist.
func (s *Service) watched() string {
	var names []string
	for _, v := range s.shown() {
		if v.mode != "" {
			names = append(names, v.name)
		}
	}
	slices.Sort(names)
	return strings.Join(names, ",")
}

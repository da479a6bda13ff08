package containerguard

import (
	"context"
	"errors"
	"time"

	"github.com/ironpost/ironpost/services/containerguard/safety"
)

const (
	maintainInterval = 2 * time.Second
	resolveEvery     = 30 // maintenance rounds: a minute
	resolveTimeout   = 5 * time.Second
)

// maintain keeps the guard state equal to the ledger and the addresses of what the
// guard depends on up to date, until ctx ends.
func (s *Service) maintain(ctx context.Context, run *runState) error {
	tick := time.NewTicker(maintainInterval)
	defer tick.Stop()
	for n := 1; ; n++ {
		s.syncWithLedger(ctx, run)
		select {
		case <-ctx.Done():
			s.syncWithLedger(ctx, run)
			return nil
		case <-tick.C:
		}
		if n%resolveEvery == 0 {
			s.resolveDependencies(ctx)
			s.syncWithBlocklist(ctx, run)
		}
	}
}

func (s *Service) resolveDependencies(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, resolveTimeout)
	defer cancel()
	s.protections.Load().Resolve(ctx)
}

func (s *Service) syncWithLedger(ctx context.Context, run *runState) {
	var ledger []safety.LedgerEntry
	for _, e := range run.quarantine.List() {
		if found, err := run.inventory.ByID(e.Before.ID); !e.Gone.IsZero() || err == nil && found.Gone {
			continue // removed: its replacement counts instead
		}
		if e.Unrestored != "" {
			continue // it runs, without all that it had
		}
		ledger = append(ledger, safety.LedgerEntry{Container: e.Before.ID, Project: e.Before.Project, Since: e.Since, Replaces: e.Replaces != ""})
	}
	for _, id := range run.guardState.SyncWithLedger(ledger, time.Now()) {
		ended := run.release(id, time.Now()) // by its end, such as an expiry
		s.reportUnanswered(ctx, run, ended, "the container was released")
	}
	err := run.blocks.Save() // after a crash, blocks of the last two seconds do not count
	run.blocksUnsaved.Store(&err)
	s.saveState(run)
}

// saveState saves the guard state, the corroboration, and the signs. If that fails, or the blocks could not be saved, they are kept
// in memory until a restart, and health says so.
func (s *Service) saveState(run *runState) {
	var blocks error
	if last := run.blocksUnsaved.Load(); last != nil {
		blocks = *last
	}
	reason := ""
	if err := errors.Join(run.guardState.Save(), run.corroboration.Save(), run.waiting.save(), run.signs.Save(), run.destinations.Save(), blocks); err != nil {
		reason = err.Error()
	}
	if s.health.Set(topicState, reason) && reason != "" {
		s.log.WithField("reason", reason).Error("cannot save cooldowns, caps, corroboration, signs, waiting answers and blocks: a restart will lose them")
	}
}

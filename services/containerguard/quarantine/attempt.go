package quarantine

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/docker"
)

// attempt is one pass through the steps for one container, whose slot is locked.
type attempt struct {
	m       *Manager
	slot    *slot
	e       *Entry  // a copy; commit makes it the slot's
	actions actions // to be reported

	observation        // the newest
	firstFrozen []byte // Docker's first answer after the freeze
	refused     []error
	remark      string   // what a step that was done lacks
	differs     []string // of a release that has ended: in what the container is not as before
	freezeDone  func()   // of the freeze barrier; nil if no freeze was announced
	fresh       bool     // the order was given, and checked, a moment ago
	unsaved     bool     // e is not what the ledger has: enforcePrevious
}

// proceed isolates or releases, as the entry says. An error means: try again later.
func (a *attempt) proceed(ctx context.Context) error {
	if a.e.State == Releasing {
		return a.release(ctx)
	}
	return a.isolate(ctx)
}

// inspect asks Docker about the container.
func (a *attempt) inspect(ctx context.Context) error {
	now, raw, err := a.m.options.Docker.Inspect(ctx, a.e.Before.ID)
	if err == nil {
		a.now, a.raw = now, raw
	}
	return err
}

// beginStep writes a step to the ledger before it is done.
func (a *attempt) beginStep(s Step) error {
	a.e.Step = s
	if err := a.commit(); err != nil {
		return err
	}
	a.m.onStep(a.e.Before.ID, s)
	return nil
}

// commit writes the entry to the ledger and makes it the slot's.
func (a *attempt) commit() error {
	if a.unsaved {
		return nil
	}
	saved := a.e.clone()
	return a.m.save(a.slot, &saved)
}

// fail records an error, and returns it if a later attempt may succeed. Otherwise the
// entry becomes Partial and the failure is reported.
func (a *attempt) fail(err error) error {
	class := docker.ClassOf(err)
	if class == docker.Canceled {
		return err
	}
	if class.Retryable() || errors.Is(err, docker.ErrNotFound) || a.e.State == Releasing {
		if text := err.Error(); a.e.Error != text {
			a.e.Error = text
			return errors.Join(err, a.commit())
		}
		return err
	}
	a.e.State, a.e.Error = Partial, err.Error()
	a.reportOrder(event.Failed, time.Now(), err)
	return a.commit()
}

// removeEntry takes the entry out of the ledger.
func (a *attempt) removeEntry() error {
	a.m.evidence.markReleased(slices.Concat(a.e.ActionIDs, a.e.OriginActionIDs))
	if err := a.m.ledger.remove(a.e); err != nil {
		return err
	}
	a.m.put(a.slot, nil, nil)
	return nil
}

// sendActions reports the actions collected so far.
func (a *attempt) sendActions(ctx context.Context) {
	for _, r := range a.actions.list {
		a.m.options.Report(ctx, r)
	}
	a.actions.list = nil
}

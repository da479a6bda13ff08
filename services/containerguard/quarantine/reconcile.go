package quarantine

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/ironpost/ironpost/internal/task"
	"github.com/ironpost/ironpost/services/containerguard/inventory"
)

type change = inventory.Change

// Observe takes a change of a container from the inventory. It never blocks; Run acts
// on the change.
func (m *Manager) Observe(c inventory.Change) {
	select {
	case m.changes <- c:
	default:
		m.changeLost.Store(true)
	}
}

// Run finishes what an earlier run left undone, then keeps every container as the ledger
// says: after each change that Observe takes, when a failed attempt is due again, and
// when a quarantine expires. It returns nil when ctx ends and everything under way has ended.
func (m *Manager) Run(ctx context.Context) error {
	r := &reconciler{m: m, group: task.New(ctx), replacements: newReplacements()}
	tick := time.NewTicker(reconcileInterval)
	defer tick.Stop()
	r.reconcileAll()
	r.refillReserve(time.Now())
	for {
		select {
		case <-r.group.Context().Done():
			return r.group.Wait()
		case c := <-m.changes:
			r.handleChange(r.group.Context(), c)
		case now := <-tick.C:
			if m.changeLost.Swap(false) {
				r.recordAll()
				r.reconcileAll()
			}
			r.reconcileDue(now)
			r.reconcileUnwritten()
			r.sweepEvidence(now)
			r.refillReserve(now)
		}
	}
}

// reconciler is the state of one Run.
type reconciler struct {
	m            *Manager
	group        *task.Group
	replacements *replacements

	lastEgressCheck time.Time

	lastSweep time.Time
	sweeping  atomic.Bool
	lastFill  time.Time
	filling   atomic.Bool
}

// handleChange reconciles a container if the change undoes its quarantine, and
// quarantines replacements.
func (r *reconciler) handleChange(ctx context.Context, c change) {
	id := c.Container.ID
	e, quarantined := r.m.Get(id)
	r.replacements.record(c, quarantined)
	if quarantined && e.State != Releasing && (c.Gone || e.State == Applying || unmet(ctx, c.Container, &e, true) != "") {
		r.reconcile(id)
	}
	r.quarantineReplacements()
}

// recordAll tells the replacements of every existing container, after changes were lost.
func (r *reconciler) recordAll() {
	if r.m.options.Containers == nil {
		return
	}
	for _, c := range r.m.options.Containers() {
		_, quarantined := r.m.Get(c.ID)
		r.replacements.record(change{Container: c}, quarantined)
	}
}

func (r *reconciler) quarantineReplacements() {
	same, redeployed := r.replacements.find(r.m.List())
	for _, x := range same {
		r.quarantine(x)
	}
	for _, x := range redeployed {
		r.endRedeployed(x)
	}
}

// reconcileDue releases what has expired and reconciles what is not as it should be.
func (r *reconciler) reconcileDue(now time.Time) {
	r.quarantineReplacements()
	checkEgress := now.Sub(r.lastEgressCheck) >= egressCheckInterval
	if checkEgress {
		r.lastEgressCheck = now
	}
	entries := r.m.List()
	for _, e := range entries {
		switch {
		case e.State != Releasing && !e.Order.Expires.IsZero() && now.After(e.Order.Expires):
			r.goOrLog("expire quarantine", e.Before.ID, "cannot release a quarantine that has expired", func(ctx context.Context) error {
				_, err := r.m.releaseOne(ctx, e.Before.ID, "expired", "")
				return err
			})
		case !e.Gone.IsZero() && e.State != Releasing:
			switch {
			case e.isReplaced(entries):
				r.reconcile(e.Before.ID)
			case e.Before.Service == "" && now.Sub(e.Gone) > vacancyTime:
				r.end(e, fmt.Sprintf("no container was made in its place within %s", vacancyTime))
			}
		case checkEgress && e.State == Held && e.Want.cutsEgress(): // Docker does not tell who changes it
			r.reconcile(e.Before.ID)
		case e.State == Applying || e.State == Releasing || e.Error != "" && e.State == Held:
			r.reconcile(e.Before.ID)
		}
	}
}

// reconcileUnwritten tries again to write what the ledger does not have.
func (r *reconciler) reconcileUnwritten() {
	for _, id := range r.m.unwritten() {
		r.reconcile(id)
	}
}

// goOrLog runs fn in the group and logs its error.
func (r *reconciler) goOrLog(task, id, failure string, fn func(context.Context) error) {
	r.group.Go(task, func(ctx context.Context) error {
		if err := fn(ctx); err != nil && ctx.Err() == nil {
			r.m.options.Log.WithError(err).WithField("container_id", id).Error(failure)
		}
		return nil
	})
}

func (r *reconciler) reconcileAll() {
	for _, e := range r.m.List() {
		r.reconcile(e.Before.ID)
	}
}

// reconcile attempts one entry, unless an attempt is waiting already.
func (r *reconciler) reconcile(id string) {
	s := r.m.enter(id)
	if !s.reconcileQueued.CompareAndSwap(false, true) {
		r.m.leave(id, s)
		return
	}
	r.group.Go("quarantine", func(ctx context.Context) error {
		defer r.m.leave(id, s)
		if s.acquire(ctx) != nil {
			s.reconcileQueued.Store(false)
			return nil
		}
		defer s.unlock()
		s.reconcileQueued.Store(false) // later changes need another attempt
		if s.entry != nil && !time.Now().Before(s.retryAt) {
			r.m.run(ctx, s, &attempt{})
		}
		return nil
	})
}

// sweepEvidence applies the limits on evidence every minute, and after they changed. It
// does not wait for that.
func (r *reconciler) sweepEvidence(now time.Time) {
	if r.m.limitsChanged.Swap(false) {
		r.lastSweep = time.Time{}
	}
	if now.Sub(r.lastSweep) < sweepInterval || !r.sweeping.CompareAndSwap(false, true) {
		return
	}
	r.lastSweep = now
	r.group.Go("evidence sweep", func(ctx context.Context) error {
		defer r.sweeping.Store(false)
		r.m.evidence.sweep(ctx, now)
		return nil
	})
}

// refillReserve reserves the room again that the ledger used. It does not wait for that.
func (r *reconciler) refillReserve(now time.Time) {
	reserve := &r.m.ledger.reserve
	if missing, _ := reserve.missing(); missing == 0 || now.Sub(r.lastFill) < reserveRefresh || !r.filling.CompareAndSwap(false, true) {
		return
	}
	r.lastFill = now
	r.group.Go("reserve", func(context.Context) error {
		defer r.filling.Store(false)
		reserve.fill()
		return nil
	})
}

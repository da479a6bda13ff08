package quarantine

import (
	"context"
	"fmt"
	"time"

	"github.com/ironpost/ironpost/internal/docker"
)

// An order is pending until something is done for it; it waits while Docker is away.
// Until then Entry.Previous keeps what was in force before: that is what the container
// is kept in meanwhile, and what remains if the pending order is dropped, because its
// deadline has passed or Options.Recheck refuses it. A further order may arrive while
// one is pending, so Previous may have a Previous; each asks for more restrictions than
// the one before, so there are few.

// maxActionIDs bounds the orders remembered for one container.
const maxActionIDs = 256

// addOrder takes a further order and reports whether there is something to do for it:
// restrictions only grow, and the later expiry counts.
func (e *Entry) addOrder(o Order) bool {
	want, _ := o.Kind.Restrictions()
	grown := e.Want.union(want)
	expires := laterExpiry(e.Order.Expires, o.Expires)
	previous := e.clone()
	e.ActionIDs = append(e.ActionIDs, o.ActionID)
	e.ActionIDs = e.ActionIDs[max(0, len(e.ActionIDs)-maxActionIDs):]
	more := grown != e.Want || e.State == Releasing
	if more {
		previous.Before = docker.Container{}
		e.Previous = &previous
		e.Want, e.Order = grown, o
		e.State, e.Step, e.HeldAt = Applying, StepIntent, time.Time{}
		e.Restoration = Restoration{}
	}
	e.Order.Expires = expires
	return more
}

// laterExpiry returns the later of two expiries; zero is never.
func laterExpiry(a, b time.Time) time.Time {
	if a.IsZero() || b.IsZero() {
		return time.Time{}
	}
	if a.After(b) {
		return a
	}
	return b
}

// pending tells that nothing was done for the newest order.
func (e *Entry) pending() bool { return e.State == Applying && (!e.Begun || e.Previous != nil) }

// markBegun records that something is done for the newest order.
func (e *Entry) markBegun() { e.Begun, e.Previous = true, nil }

// frozenUnrecorded tells that the freeze was done, but the guard ended before it recorded that.
func (e *Entry) frozenUnrecorded(now docker.Container) bool {
	return e.pending() && e.Step == StepFreeze && now.Paused && !e.Before.Paused
}

// dropOrder removes the newest order and reports whether there was one before it.
func (e *Entry) dropOrder() bool {
	if e.Previous == nil {
		return false
	}
	before, actions := e.Before, e.ActionIDs
	*e = *e.Previous
	e.Before, e.Order.Container, e.ActionIDs = before, before, actions
	return true
}

// overdue tells that a pending order's deadline has passed.
func (a *attempt) overdue() bool {
	d := a.e.Order.Deadline
	return a.e.pending() && !d.IsZero() && time.Now().After(d)
}

func (a *attempt) skipOverdue(ctx context.Context) error {
	return a.skipOrder(ctx, fmt.Sprintf("not begun by %s: Docker was not reachable", a.e.Order.Deadline.UTC().Format(time.RFC3339)))
}

// enforcePrevious keeps the container as the orders before a pending one ask. It
// writes nothing to the ledger, which has all of that.
func (a *attempt) enforcePrevious(ctx context.Context) error {
	p := a.e.Previous
	for p != nil && p.pending() {
		p = p.Previous
	}
	if p == nil || p.State == Releasing {
		return nil
	}
	inForce := p.clone()
	inForce.Before = a.e.Before
	if unmet(ctx, a.now, &inForce, true) == "" {
		return nil
	}
	previous := attempt{m: a.m, slot: a.slot, e: &inForce, observation: a.observation, unsaved: true}
	return previous.enforce(ctx)
}

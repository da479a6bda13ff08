package quarantine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/backoff"
	"github.com/ironpost/ironpost/internal/docker"
)

// Apply carries out an order. It returns nil once the order is in the ledger and
// everything that is possible at once is done; Report and List tell how that went. What
// is not possible because Docker is away Run does later, until o.Deadline. An order that
// was applied before, or released since, changes nothing. The error is about an invalid
// order, or a ledger that cannot be written: then nothing was done but a freeze, and Run
// does the rest as soon as the ledger can be written. A restart before that forgets the order.
func (m *Manager) Apply(ctx context.Context, o Order) error {
	if err := o.validate(); err != nil {
		return err
	}
	if o.Ordered.IsZero() {
		o.Ordered = time.Now()
	}
	s := m.enter(o.Container.ID)
	defer m.leave(o.Container.ID, s)
	if err := s.acquire(ctx); err != nil {
		return err
	}
	defer s.unlock()
	var freezeDone func()
	if want, _ := o.Kind.Restrictions(); want.Freeze {
		freezeDone = m.freezes.announce()
		defer freezeDone()
	}
	defer func() { s.accepted = nil }()
	if m.accept(ctx, s, o) {
		m.run(ctx, s, &attempt{fresh: true, freezeDone: freezeDone})
	}
	return s.unwritten
}

// accept writes an order to the ledger, if it can be written, and reports whether there is
// something to do for it. A new container is inspected first, so that its first record has
// the snapshot.
func (m *Manager) accept(ctx context.Context, s *slot, o Order) bool {
	if m.ledger.isDone(o.ActionID) {
		return false
	}
	if s.entry != nil {
		return m.acceptFurther(ctx, s, o)
	}
	e := newEntry(o)
	now, raw, err := m.options.Docker.Inspect(ctx, o.Container.ID)
	switch {
	case err == nil:
		e.capture(now)
		s.accepted = &observation{now: now, raw: raw}
	case errors.Is(err, docker.ErrNotFound):
		m.report(ctx, e, event.Failed, func(a *event.Action) { a.Error = err.Error() })
		return false
	}
	e.Step = StepIntent
	if e.Captured && needsFreeze(e, now) { // one record for both: in a burst, a second would delay the last freeze
		e.Step = StepFreeze
	}
	if m.save(s, e) == nil {
		m.onStep(e.Before.ID, StepIntent)
	}
	return true
}

// acceptFurther adds an order to an entry.
func (m *Manager) acceptFurther(ctx context.Context, s *slot, o Order) bool {
	if slices.Contains(s.entry.ActionIDs, o.ActionID) {
		return s.entry.State == Applying
	}
	e := s.entry.clone()
	more := e.addOrder(o)
	_ = m.save(s, &e) // Apply returns the error
	if !more {
		about := e
		about.Order = o
		m.report(ctx, &about, event.Skipped, func(a *event.Action) { a.Reason = "container is in quarantine already" })
	}
	return more
}

// report reports one action about the entry's order.
func (m *Manager) report(ctx context.Context, e *Entry, phase event.Phase, change func(*event.Action)) {
	r := actions{host: m.options.Host}
	r.add(e, string(e.Order.Kind), phase, change)
	m.options.Report(ctx, r.list[0])
}

// Release restores a container and the others of its chain of replacements. It returns
// ErrNotQuarantined for one that is not in the ledger. If Docker is away Run finishes the
// release. The differences say in what the released containers are not as before, such as that
// they were restarted. operator is who asks for it, for people.
func (m *Manager) Release(ctx context.Context, containerID, reason, operator string) (differences []string, err error) {
	ids := m.chain(containerID)
	if len(ids) == 0 {
		return nil, fmt.Errorf("%w: %s", ErrNotQuarantined, containerID)
	}
	var errs []error
	for _, id := range ids {
		found, err := m.releaseOne(ctx, id, reason, operator)
		differences, errs = append(differences, found...), append(errs, err)
	}
	return differences, errors.Join(errs...)
}

func (m *Manager) releaseOne(ctx context.Context, id, reason, operator string) (differences []string, err error) {
	s := m.enter(id)
	defer m.leave(id, s)
	if err := s.acquire(ctx); err != nil {
		return nil, err
	}
	defer s.unlock()
	if s.entry == nil {
		return nil, nil
	}
	if cancel := s.cancelCollection.Load(); cancel != nil {
		(*cancel)()
	}
	if s.entry.State != Releasing {
		e := s.entry.clone()
		e.State, e.Previous = Releasing, nil
		e.ReleaseReason, e.ReleaseOperator, e.ReleaseRequested = reason, operator, time.Now()
		e.ReleaseID = event.ID(e.Order.ActionID, "release", e.ReleaseRequested.String())
		if err := m.ledger.save(&e); err != nil {
			return nil, err
		}
		m.put(s, &e, nil)
	}
	a := &attempt{}
	m.run(ctx, s, a)
	return a.differs, nil
}

// run makes one attempt at the entry of s, whose lock the caller holds.
func (m *Manager) run(ctx context.Context, s *slot, a *attempt) {
	id := s.entry.Before.ID
	working := s.entry.clone()
	a.m, a.slot, a.e, a.actions = m, s, &working, actions{host: m.options.Host}
	err := a.proceed(ctx)
	a.sendActions(ctx)
	if err == nil {
		s.retryAt, s.failures = time.Time{}, 0
		return
	}
	first, limit := firstRetry, maxRetry
	if errors.Is(err, errUnrestored) { // each attempt interrupts the connections of a container that runs
		first, limit = time.Second, maxUnrestoredRetry
	}
	s.retryAt = time.Now().Add(backoff.Delay(s.failures, first, limit))
	s.failures++
	if ctx.Err() == nil {
		m.options.Log.WithError(err).WithField("container_id", id).Warn("quarantine step failed, trying again")
	}
}

func (m *Manager) onStep(id string, s Step) {
	if m.options.OnStep != nil {
		m.options.OnStep(id, s)
	}
}

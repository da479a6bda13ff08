package quarantine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/docker"
)

// Sentinels for callers that branch.
var (
	// ErrNotHeld: the container is not in the ledger.
	ErrNotQuarantined = errors.New("container is not in quarantine")
	// ErrAmbiguous: more than one entry is meant.
	ErrAmbiguous = errors.New("more than one quarantined container is meant")
)

// Options configures a Manager.
type Options struct {
	Docker  *docker.Client
	DataDir string             // the module's own folder
	Host    string             // of the reports
	Log     logrus.FieldLogger // nil: nowhere

	// Report takes every action. It is called between steps that may wait, never
	// between those that may not; several goroutines may call it at once.
	Report func(context.Context, event.Action)

	// Recheck, if not nil, is asked before anything is done for an order that had to
	// wait, with what the container is like now: why it may not be carried out any
	// more, and false if that cannot be said yet.
	Recheck func(Order, docker.Container) (refused string, known bool)

	Evidence EvidenceLimits

	// OnStep, if not nil, is called when a step has been written to the ledger and
	// is about to be done. For tests and traces.
	OnStep func(containerID string, s Step)

	// RestartOnRelease kills and starts containers on release rather than enter
	// their network namespace. That is also done where entering fails.
	RestartOnRelease bool
}

// Manager holds containers as the ledger says. Its methods may be called concurrently.
type Manager struct {
	options Options
	ledger  *ledger
	archive *archive

	mu    sync.Mutex
	slots map[string]*slot // by container id

	rush     rush
	changes  chan change
	overflow atomic.Bool   // a change was lost
	limited  atomic.Bool   // what bounds the evidence was changed
	evidence chan struct{} // how many collect evidence at once
}

// slot is one container's place. lock is held while something is done to it.
type slot struct {
	lock   chan struct{}
	entry  *Entry // written with both lock and the Manager's mu held, and then never changed
	users  int    // guarded by the Manager's mu: who holds or waits for lock
	queued atomic.Bool
	// collecting ends the collection of evidence that is under way without lock.
	collecting atomic.Pointer[context.CancelFunc]
	retry      backoff // guarded by lock
	seen       *sight  // guarded by lock: what the container was like as its order was accepted
}

// sight is an answer of the engine about a container, also as the engine wrote it.
type sight struct {
	now docker.Container
	raw []byte
}

const (
	// changeQueue holds what happened to containers until Run looks at it. When it
	// is full, Run looks at every entry instead.
	changeQueue       = 1024
	evidenceAtOnce    = 2
	reconcileInterval = 250 * time.Millisecond
)

// Open reads the ledger below o.DataDir. Nothing is done until Apply, Release or
// Run. An entry that cannot be read is an error: what it held would be forgotten.
func Open(o Options) (*Manager, error) {
	l, err := openLedger(o.DataDir)
	if err != nil {
		return nil, err
	}
	entries, err := l.load()
	if err != nil {
		return nil, errors.Join(err, l.close())
	}
	if o.Log == nil {
		silent := logrus.New()
		silent.SetOutput(io.Discard)
		o.Log = silent
	}
	m := &Manager{
		options: o, ledger: l, slots: map[string]*slot{},
		changes: make(chan change, changeQueue), evidence: make(chan struct{}, evidenceAtOnce),
	}
	for _, e := range entries {
		m.slots[e.Before.ID] = newSlot(e)
	}
	m.archive = openArchive(o.DataDir, o.Evidence, o.Log, m.heldActions)
	m.archive.spare(l.lost)
	return m, nil
}

// Damaged says, in a sentence each, what of the ledger could not be understood when
// it was opened, and where it was put. It never changes.
func (m *Manager) Damaged() []string { return m.ledger.damaged }

// Close gives the ledger's files up. Nothing may be under way.
func (m *Manager) Close() error { return m.ledger.close() }

func newSlot(e *Entry) *slot { return &slot{lock: make(chan struct{}, 1), entry: e} }

// Apply holds a container as o asks. It returns nil once the order is in the
// ledger and everything that can be done at once has been: how that went is
// told to Report, and by List. What could not be done, because the engine is
// away, is done by Run later, up to o.Deadline. An order that was applied before,
// or released since, changes nothing. The error is about an order that is not
// valid or a ledger that cannot be written; then nothing was done.
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
	defer s.release()
	var froze func()
	if want, _ := o.Kind.Restrictions(); want.Freeze {
		froze = m.rush.enter()
		defer froze()
	}
	defer func() { s.seen = nil }()
	taken, err := m.accept(ctx, s, o)
	if taken && err == nil {
		m.run(ctx, s, &attempt{fresh: true, froze: froze})
	}
	return err
}

// accept writes an order to the ledger and tells whether there is something to
// do. A new container is looked at first, so that the first record says what it
// was like.
func (m *Manager) accept(ctx context.Context, s *slot, o Order) (bool, error) {
	if m.ledger.isDone(o.ActionID) {
		return false, nil
	}
	if s.entry != nil {
		return m.acceptMore(ctx, s, o)
	}
	e := newEntry(o)
	now, raw, err := m.options.Docker.Inspect(ctx, o.Container.ID)
	switch {
	case err == nil:
		e.capture(now)
		s.seen = &sight{now: now, raw: raw}
	case errors.Is(err, docker.ErrNotFound):
		m.refuse(ctx, e, err)
		return false, nil
	}
	e.Step = StepIntent
	if e.Captured && freezes(e, now) { // at once: in a burst, a second record would delay the last freeze
		e.Step = StepFreeze
	}
	if err := m.ledger.save(e); err != nil {
		return false, err
	}
	m.put(s, e)
	m.stepped(e.Before.ID, StepIntent)
	return true, nil
}

// acceptMore adds an order to an entry.
func (m *Manager) acceptMore(ctx context.Context, s *slot, o Order) (bool, error) {
	if s.entry.has(o.ActionID) {
		return s.entry.State == Applying, nil
	}
	e := s.entry.clone()
	grown := e.add(o)
	if err := m.ledger.save(&e); err != nil {
		return false, err
	}
	m.put(s, &e)
	if !grown {
		m.already(ctx, e, o)
	}
	return grown, nil
}

// already reports an order that asks for nothing that is not so.
func (m *Manager) already(ctx context.Context, e Entry, o Order) {
	e.Order = o
	r := reports{host: m.options.Host}
	r.add(&e, string(o.Kind), event.Skipped, func(a *event.Action) { a.Reason = "container is in quarantine already" })
	m.options.Report(ctx, r.list[0])
}

// refuse reports an order about a container that is not there.
func (m *Manager) refuse(ctx context.Context, e *Entry, err error) {
	r := reports{host: m.options.Host}
	r.add(e, string(e.Order.Kind), event.Failed, func(a *event.Action) { a.Error = err.Error() })
	m.options.Report(ctx, r.list[0])
}

// advance brings an entry as far as it can be brought now.
func (m *Manager) advance(ctx context.Context, s *slot) { m.run(ctx, s, &attempt{}) }

// run makes the attempt a at the entry of s.
func (m *Manager) run(ctx context.Context, s *slot, a *attempt) {
	id := s.entry.Before.ID
	working := s.entry.clone()
	a.m, a.slot, a.e, a.reports = m, s, &working, reports{host: m.options.Host}
	err := a.proceed(ctx)
	a.flush(ctx)
	s.retry.note(err)
	if err != nil && ctx.Err() == nil {
		m.options.Log.WithError(err).WithField("container_id", id).Warn("quarantine step failed")
	}
}

// Release gives a container back what was taken from it, and lets go of those
// that replaced it or that it replaced. It returns ErrNotHeld for one that is not
// in the ledger. If the engine is away the release is finished by Run.
func (m *Manager) Release(ctx context.Context, containerID, reason string) error {
	ids := m.family(containerID)
	if len(ids) == 0 {
		return fmt.Errorf("%w: %s", ErrNotQuarantined, containerID)
	}
	var errs []error
	for _, id := range ids {
		errs = append(errs, m.releaseOne(ctx, id, reason))
	}
	return errors.Join(errs...)
}

func (m *Manager) releaseOne(ctx context.Context, id, reason string) error {
	s := m.enter(id)
	defer m.leave(id, s)
	if err := s.acquire(ctx); err != nil {
		return err
	}
	defer s.release()
	if s.entry == nil {
		return nil
	}
	if end := s.collecting.Load(); end != nil {
		(*end)()
	}
	if s.entry.State != Releasing {
		e := s.entry.clone()
		e.State, e.ReleaseReason, e.ReleaseRequested, e.Previous = Releasing, reason, time.Now(), nil
		e.ReleaseID = actionRecordID(e.Order.ActionID, "release", e.ReleaseRequested.String())
		if err := m.ledger.save(&e); err != nil {
			return err
		}
		m.put(s, &e)
	}
	m.advance(ctx, s)
	return nil
}

// List returns every entry, oldest first.
func (m *Manager) List() []Entry {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []Entry
	for _, s := range m.slots {
		if s.entry != nil {
			out = append(out, s.entry.clone())
		}
	}
	slices.SortFunc(out, func(a, b Entry) int {
		if n := a.Since.Compare(b.Since); n != 0 {
			return n
		}
		return strings.Compare(a.Before.ID, b.Before.ID)
	})
	return out
}

// Get returns one entry.
func (m *Manager) Get(containerID string) (Entry, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.slots[containerID]
	if s == nil || s.entry == nil {
		return Entry{}, false
	}
	return s.entry.clone(), true
}

// enter returns the place of a container, making one if needed. The caller
// leaves it when done.
func (m *Manager) enter(id string) *slot {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.slots[id]
	if s == nil {
		s = newSlot(nil)
		m.slots[id] = s
	}
	s.users++
	return s
}

// leave forgets a place that nobody uses and that has no entry.
func (m *Manager) leave(id string, s *slot) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s.users--
	if s.users == 0 && s.entry == nil {
		delete(m.slots, id)
	}
}

// put replaces the entry of a slot whose lock the caller holds.
func (m *Manager) put(s *slot, e *Entry) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s.entry = e
}

func (s *slot) acquire(ctx context.Context) error {
	select {
	case s.lock <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *slot) release() { <-s.lock }

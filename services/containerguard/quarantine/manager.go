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

// Errors that callers branch on.
var (
	// ErrNotQuarantined means that the container is not in the ledger.
	ErrNotQuarantined = errors.New("container is not in quarantine")
	// ErrAmbiguous means that a name or prefix matches containers that do not replace each other.
	ErrAmbiguous = errors.New("more than one quarantined container matches")
)

// Options configures a Manager.
type Options struct {
	Docker   *docker.Client
	DataDir  string             // the module's own folder
	Host     string             // of the reported actions
	Log      logrus.FieldLogger // nil: no log
	Evidence EvidenceLimits

	// Report takes every action. It is called between steps that may wait, never
	// between urgent ones, and by several goroutines at once.
	Report func(context.Context, event.Action)

	// Recheck, if not nil, is asked before an order that was pending is carried out,
	// with what the container is like now. It returns why the order must not be carried
	// out any more, and false if that cannot be told yet.
	Recheck func(Order, docker.Container) (refused string, known bool)

	// Containers, if not nil, returns the existing containers that may replace a
	// quarantined one. It is asked when changes were lost because too many came at once.
	Containers func() []docker.Container

	// OnStep, if not nil, is called when a step is in the ledger and about to be done.
	// It is for tests and traces.
	OnStep func(containerID string, s Step)

	// restartOnRelease kills and starts containers on release instead of entering
	// their network namespace. That also happens where entering it fails.
	restartOnRelease bool
}

// Manager keeps containers as the ledger says. Its methods may be called concurrently.
type Manager struct {
	options  Options
	ledger   *ledger
	evidence *evidenceStore

	mu    sync.Mutex
	slots map[string]*slot // by container id

	freezes       freezeBarrier
	changes       chan change
	changeLost    atomic.Bool   // changes was full
	limitsChanged atomic.Bool   // of the evidence
	collectors    chan struct{} // bounds how many collect evidence at once
}

// slot serialises what is done to one container: its lock is held meanwhile.
type slot struct {
	lock  chan struct{}
	entry *Entry // written with lock and Manager.mu held, then never changed
	users int    // goroutines that hold or wait for lock; guarded by Manager.mu

	reconcileQueued  atomic.Bool
	cancelCollection atomic.Pointer[context.CancelFunc] // of evidence that is collected without lock

	// Guarded by lock: when to try again what failed, after how many failures, and the
	// container as an order was accepted.
	retryAt  time.Time
	failures int
	accepted *observation

	// unwritten is why the ledger does not have entry, nil if it has. It is written with lock
	// and Manager.mu held.
	unwritten error
}

// observation is what Docker says about a container: read, and as it was sent.
type observation struct {
	now docker.Container
	raw []byte
}

const (
	// changeQueue bounds the container changes that wait for Run. When it is full, Run
	// reconciles every entry instead, and looks for replacements among all containers.
	changeQueue        = 1024
	concurrentEvidence = 2
	reconcileInterval  = 250 * time.Millisecond

	egressCheckInterval = time.Second

	firstRetry = 100 * time.Millisecond
	maxRetry   = 5 * time.Second

	maxUnrestoredRetry = 30 * time.Second
)

// Open reads the ledger below o.DataDir. Nothing is done to containers until Apply,
// Release or Run. The error is about an entry that cannot be read: skipping it would
// lose a quarantine. A damaged entry is moved aside, see Damaged.
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
		changes: make(chan change, changeQueue), collectors: make(chan struct{}, concurrentEvidence),
	}
	for _, e := range entries {
		m.slots[e.Before.ID] = newSlot(e)
	}
	m.evidence = openEvidenceStore(o.DataDir, o.Evidence, o.Log, m.actionsInUse, l.damagedIDs)
	return m, nil
}

// Damaged describes, in a sentence each, the ledger files that could not be understood
// when the ledger was opened, and where they are now. It never changes.
func (m *Manager) Damaged() []string { return m.ledger.damaged }

// LedgerReason says why the ledger cannot be written, or will soon be unable to, empty if
// all is well.
func (m *Manager) LedgerReason() string { return m.ledger.reason() }

// Close closes the ledger. No other method may be running.
func (m *Manager) Close() error { return m.ledger.close() }

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

// Get returns the entry of a container, and false if there is none.
func (m *Manager) Get(containerID string) (Entry, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.slots[containerID]
	if s == nil || s.entry == nil {
		return Entry{}, false
	}
	return s.entry.clone(), true
}

// minPrefix is the shortest prefix of an id that Find takes.
const minPrefix = 4

// Find returns the container id of the entry that text names: the container's name, or
// a prefix of its id, of the id of the container it replaces, or of the first of that
// chain. One that exists goes before those that were removed, and of several replacements
// it is the newest. It returns ErrNotQuarantined or ErrAmbiguous.
func (m *Manager) Find(text string) (string, error) {
	var found []Entry
	for _, e := range m.List() {
		if e.Before.Name == text || len(text) >= minPrefix && e.matchesPrefix(text) {
			found = append(found, e)
		}
	}
	if len(found) == 0 {
		return "", fmt.Errorf("%w: %s", ErrNotQuarantined, text)
	}
	existing := slices.DeleteFunc(slices.Clone(found), func(e Entry) bool { return !e.Gone.IsZero() })
	if len(existing) > 0 {
		found = existing
	}
	newest := found[len(found)-1]
	if slices.ContainsFunc(found, func(e Entry) bool { return e.originID() != newest.originID() }) {
		return "", fmt.Errorf("%w: %s", ErrAmbiguous, text)
	}
	return newest.Before.ID, nil
}

func newSlot(e *Entry) *slot { return &slot{lock: make(chan struct{}, 1), entry: e} }

// enter returns the slot of a container, making one if needed. The caller calls leave
// when done.
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

// leave removes a slot that nothing uses and that has no entry.
func (m *Manager) leave(id string, s *slot) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s.users--
	if s.users == 0 && s.entry == nil {
		delete(m.slots, id)
	}
}

// save writes an entry to the ledger and makes it the slot's, whose lock the caller holds.
// It becomes the slot's also if it cannot be written: Run tries that again.
func (m *Manager) save(s *slot, e *Entry) error {
	err := m.ledger.save(e)
	m.put(s, e, err)
	return err
}

// unwritten returns the containers whose entries the ledger does not have as they are.
func (m *Manager) unwritten() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []string
	for id, s := range m.slots {
		if s.unwritten != nil {
			out = append(out, id)
		}
	}
	return out
}

// put replaces the entry of a slot whose lock the caller holds; nil removes it. unwritten
// is why the ledger does not have it.
func (m *Manager) put(s *slot, e *Entry, unwritten error) {
	m.mu.Lock()
	from, to := absent, absent
	if s.entry != nil {
		from = s.entry.State
	}
	if e != nil {
		to = e.State
	}
	s.entry, s.unwritten = e, unwritten
	m.mu.Unlock()
	if !allowed(from, to) {
		m.options.Log.WithFields(logrus.Fields{"from": from, "to": to}).Error("quarantine state change that is not in the table, please report it")
	}
}

func (s *slot) acquire(ctx context.Context) error {
	select {
	case s.lock <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *slot) unlock() { <-s.lock }

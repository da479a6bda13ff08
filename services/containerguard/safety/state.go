package safety

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/ironpost/ironpost/services/containerguard/folder"
)

// Limits bound what the guard does to containers: how many are newly acted on in
// any minute, how many of one compose project and which share, in percent, of the
// running ones may be held at a time. At least one may always be.
type Limits struct {
	PerMinute  int
	PerProject int
	Share      int
}

// minute is what PerMinute counts over.
const minute = time.Minute

// maxCooldowns bounds the memory of cooldowns; beyond it the one that ends first goes.
const maxCooldowns = 2_000

// Candidate is a container that shall be acted on. Running counts all running containers.
type Candidate struct {
	Container string // id
	Project   string // of compose; empty if none
	Running   int
}

// State is what was done: the containers that are held, the recent takes, and the
// cooldowns. It is exact at once, and on disk when Save returns; what a crash loses
// in between stands in the ledger, and Keep takes it from there. Its methods may be
// called concurrently.
type State struct {
	file stateFile

	mu      sync.Mutex
	limits  Limits
	version uint64
	data    stateData
}

// stateData is the content of the file.
type stateData struct {
	Held      map[string]isolated `json:"held"`      // by container
	Recent    []time.Time         `json:"recent"`    // takes of the last minute
	Cooldowns map[string]cooldown `json:"cooldowns"` // by key
}

// cooldown leaves a key alone but for the alert that began it: that one may come again.
type cooldown struct {
	Until time.Time `json:"until"`
	Alert string    `json:"alert"`
}

type isolated struct {
	Project string    `json:"project,omitempty"`
	Since   time.Time `json:"since"`
}

// OpenState reads the memory in files, which need not be there. trouble says what was
// wrong with it and is for people; the error is for a file that can be neither read
// nor moved aside.
func OpenState(files *folder.Folder, limits Limits) (m *State, trouble string, err error) {
	m = &State{file: stateFile{folder: files, name: "memory.json"}, limits: limits}
	trouble, err = m.file.load(&m.data)
	if trouble != "" {
		m.data = stateData{}
	}
	if m.data.Held == nil {
		m.data.Held = map[string]isolated{}
	}
	if m.data.Cooldowns == nil {
		m.data.Cooldowns = map[string]cooldown{}
	}
	return m, trouble, err
}

// SetLimits changes the limits; what is held stays.
func (m *State) SetLimits(l Limits) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.limits = l
}

// Take asks for one container to be acted on now. It returns "" if that may be, and
// then counts it; else why not. A container that is held already may always be
// acted on and is not counted again.
func (m *State) Admit(a Candidate, now time.Time) (refused string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, again := m.data.Held[a.Container]; again {
		return ""
	}
	if refused = m.capReason(a, now); refused != "" {
		return refused
	}
	m.add(a.Container, a.Project, now)
	m.data.Recent = append(m.data.Recent, now.UTC())
	return ""
}

// hold is called with mu held.
func (m *State) add(container, project string, since time.Time) {
	m.data.Held[container] = isolated{Project: project, Since: since.UTC()}
	m.version++
}

// Save returns when all that was remembered before it was called is on disk. An
// error means that it holds in memory only, until a restart.
func (m *State) Save() error {
	m.mu.Lock()
	version := m.version
	m.mu.Unlock()
	return m.file.commit(version, m.snapshot)
}

// Would is Take without its effect.
func (m *State) Check(a Candidate, now time.Time) (refused string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, again := m.data.Held[a.Container]; again {
		return ""
	}
	return m.capReason(a, now)
}

// refuse is called with mu held.
func (m *State) capReason(a Candidate, now time.Time) string {
	m.data.Recent = slices.DeleteFunc(m.data.Recent, func(at time.Time) bool { return now.Sub(at) >= minute })
	project := 0
	for _, h := range m.data.Held {
		if a.Project != "" && h.Project == a.Project {
			project++
		}
	}
	share := max(1, a.Running*m.limits.Share/100)
	switch {
	case len(m.data.Recent) >= m.limits.PerMinute:
		return fmt.Sprintf("cap: %d containers were acted on within a minute, container.max_per_minute", len(m.data.Recent))
	case a.Project != "" && project >= m.limits.PerProject:
		return fmt.Sprintf("cap: %d containers of project %q are held, container.max_per_project", project, a.Project)
	case len(m.data.Held) >= share:
		return fmt.Sprintf("cap: %d containers are held, %d%% of %d running, container.max_share_percent", len(m.data.Held), m.limits.Share, a.Running)
	}
	return ""
}

// LedgerEntry is a container that the ledger holds.
type LedgerEntry struct {
	Container string
	Project   string
	Since     time.Time
	Replaces  bool // it was made in place of one that was held: nobody is newly acted on
}

// Keep makes the containers that are held those of the ledger: it takes in what a
// person isolated or a crash made forget, and lets go of what was released or removed.
func (m *State) SyncWithLedger(ledger []LedgerEntry, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	there := make(map[string]bool, len(ledger))
	for _, s := range ledger {
		there[s.Container] = true
		if _, known := m.data.Held[s.Container]; !known {
			m.add(s.Container, s.Project, s.Since)
			if !s.Replaces {
				m.data.Recent = append(m.data.Recent, s.Since.UTC())
			}
		}
	}
	maps.DeleteFunc(m.data.Held, func(id string, h isolated) bool {
		gone := !there[id] && now.Sub(h.Since) > ledgerLag
		if gone {
			m.version++
		}
		return gone
	})
}

// ledgerLag is how long a take may be ahead of the ledger.
const ledgerLag = time.Minute

// Free lets a container go: it was released, or nothing was done to it after all.
// The take still counts towards the minute.
func (m *State) Remove(container string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, is := m.data.Held[container]; is {
		delete(m.data.Held, container)
		m.version++
	}
}

// Held returns how many containers are held.
func (m *State) Count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.data.Held)
}

// Enter begins a cooldown of key and returns the zero time, or the end of the one
// that another alert began.
func (m *State) StartCooldown(key, alert string, span time.Duration, now time.Time) (until time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if c, is := m.data.Cooldowns[key]; is && c.Until.After(now) {
		if c.Alert == alert {
			return time.Time{}
		}
		return c.Until
	}
	if span <= 0 {
		return time.Time{}
	}
	m.dropExpiredCooldowns(now)
	m.data.Cooldowns[key] = cooldown{Until: now.Add(span).UTC(), Alert: alert}
	m.version++
	return time.Time{}
}

// Leave takes back the cooldown of key that alert began: nothing was done after all,
// so the next alert shall be heard.
func (m *State) CancelCooldown(key, alert string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if c, is := m.data.Cooldowns[key]; is && c.Alert == alert {
		delete(m.data.Cooldowns, key)
		m.version++
	}
}

func (m *State) dropExpiredCooldowns(now time.Time) {
	maps.DeleteFunc(m.data.Cooldowns, func(_ string, c cooldown) bool { return !c.Until.After(now) })
	if len(m.data.Cooldowns) < maxCooldowns {
		return
	}
	first := ""
	for key, c := range m.data.Cooldowns {
		if first == "" || c.Until.Before(m.data.Cooldowns[first].Until) {
			first = key
		}
	}
	delete(m.data.Cooldowns, first)
}

// snapshot copies the state for the file.
func (m *State) snapshot() (any, uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return stateData{
		Held: maps.Clone(m.data.Held), Recent: slices.Clone(m.data.Recent), Cooldowns: maps.Clone(m.data.Cooldowns),
	}, m.version
}

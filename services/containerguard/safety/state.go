package safety

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ironpost/ironpost/internal/folder"
)

// Limits are the caps: how many containers may be newly isolated in any minute, how many
// of one compose project, and which share, in percent, of the running ones may be
// isolated at a time. One always may be.
type Limits struct {
	PerMinute  int
	PerProject int
	Share      int
}

const (
	admissionWindow = time.Minute // what PerMinute counts over
	maxCooldowns    = 2_000       // beyond it the weakest is dropped, or not begun, then the one that ends first: its target may be acted on again
	// ledgerLag is how long an admitted container may be missing in the ledger.
	ledgerLag = time.Minute
)

// Candidate is a container to be isolated. Running counts all running containers.
type Candidate struct {
	Container string // id
	Project   string // of compose, "" if none
	Running   int
}

// State is the guard state: the isolated containers, the recent admissions, and the
// cooldowns. It is exact at once, and on disk when Save returns. SyncWithLedger restores from
// the ledger changes that a crash lost in between. Its methods may be
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
	Held      map[string]isolated `json:"held"`              // by container; as many as the caps allow, and the ledger
	Recent    []time.Time         `json:"recent"`            // admissions of the last minute
	Cooldowns map[string]cooldown `json:"cooldowns"`         // by key
	Answers   map[string]answer   `json:"answers,omitempty"` // by series
}

type isolated struct {
	Project string    `json:"project,omitempty"`
	Since   time.Time `json:"since"`
}

// cooldown blocks a key for every alert but the one that began it, which may be
// delivered again, and stronger ones.
type cooldown struct {
	Until    time.Time `json:"until"`
	Alert    string    `json:"alert"`
	Strength int       `json:"strength,omitempty"` // of its evidence; missing, as in files of earlier versions: the least
}

// NewState returns a guard state in memory only. Save must not be called.
func NewState(limits Limits) *State {
	return &State{limits: limits, data: stateData{Held: map[string]isolated{}, Cooldowns: map[string]cooldown{}, Answers: map[string]answer{}}}
}

// OpenState reads the guard state in files, which need not exist. damage says that the
// file was damaged and moved aside. The error is for a file that can be neither read nor
// moved aside.
func OpenState(files *folder.Folder, limits Limits) (s *State, damage string, err error) {
	s = &State{file: stateFile{folder: files, name: "state.json"}, limits: limits}
	damage, err = s.file.load(&s.data)
	if damage != "" {
		s.data = stateData{}
	}
	if s.data.Held == nil {
		s.data.Held = map[string]isolated{}
	}
	if s.data.Cooldowns == nil {
		s.data.Cooldowns = map[string]cooldown{}
	}
	if s.data.Answers == nil {
		s.data.Answers = map[string]answer{}
	}
	return s, damage, err
}

// SetLimits changes the caps. Containers beyond the new ones stay isolated.
func (s *State) SetLimits(l Limits) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.limits = l
}

// Admit counts c as isolated from now and returns "", or the cap that forbids it. A
// container that is isolated already is always admitted, and not counted again.
func (s *State) Admit(c Candidate, now time.Time) (refused string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if refused = s.capReason(c, now); refused != "" {
		return refused
	}
	if _, already := s.data.Held[c.Container]; !already {
		s.add(c.Container, c.Project, now)
		s.data.Recent = append(s.data.Recent, now.UTC())
	}
	return ""
}

// Check is Admit without its effect.
func (s *State) Check(c Candidate, now time.Time) (refused string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.capReason(c, now)
}

// capReason returns the cap that forbids c, or "". mu is held.
func (s *State) capReason(c Candidate, now time.Time) string {
	if _, already := s.data.Held[c.Container]; already {
		return ""
	}
	s.dropOldAdmissions(now)
	project := 0
	for _, other := range s.data.Held {
		if c.Project != "" && other.Project == c.Project {
			project++
		}
	}
	share := max(1, c.Running*s.limits.Share/100)
	switch {
	case len(s.data.Recent) >= s.limits.PerMinute:
		return fmt.Sprintf("cap: %d containers were acted on within a minute, container.max_per_minute", len(s.data.Recent))
	case c.Project != "" && project >= s.limits.PerProject:
		return fmt.Sprintf("cap: %d containers of project %q are isolated, container.max_per_project", project, c.Project)
	case len(s.data.Held) >= share:
		return fmt.Sprintf("cap: %d containers are isolated, %d%% of %d running, container.max_share_percent", len(s.data.Held), s.limits.Share, c.Running)
	}
	return ""
}

func (s *State) dropOldAdmissions(now time.Time) {
	s.data.Recent = slices.DeleteFunc(s.data.Recent, func(at time.Time) bool { return now.Sub(at) >= admissionWindow })
}

func (s *State) add(container, project string, since time.Time) {
	s.data.Held[container] = isolated{Project: project, Since: since.UTC()}
	s.version++
}

// Save returns nil when everything before the call is on disk. After an error it holds
// in memory only, until a restart.
func (s *State) Save() error {
	s.mu.Lock()
	version := s.version
	s.mu.Unlock()
	return s.file.save(version, func() (any, uint64) {
		s.mu.Lock()
		defer s.mu.Unlock()
		return stateData{
			Held: maps.Clone(s.data.Held), Recent: slices.Clone(s.data.Recent), Cooldowns: maps.Clone(s.data.Cooldowns),
			Answers: maps.Clone(s.data.Answers),
		}, s.version
	})
}

// LedgerEntry is a container that the ledger has.
type LedgerEntry struct {
	Container string
	Project   string
	Since     time.Time
	Replaces  bool // it replaces one that was isolated, so it is no new admission
}

// SyncWithLedger makes the isolated containers those of the ledger: it adds those
// that an operator isolated or a crash lost, and removes those released or removed, which it returns.
func (s *State) SyncWithLedger(ledger []LedgerEntry, now time.Time) (removed []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dropOldAdmissions(now)
	inLedger := make(map[string]bool, len(ledger))
	for _, e := range ledger {
		inLedger[e.Container] = true
		if _, known := s.data.Held[e.Container]; !known {
			s.add(e.Container, e.Project, e.Since)
			if !e.Replaces {
				s.data.Recent = append(s.data.Recent, e.Since.UTC())
			}
		}
	}
	maps.DeleteFunc(s.data.Held, func(id string, c isolated) bool {
		gone := !inLedger[id] && now.Sub(c.Since) > ledgerLag
		if gone {
			s.version++
			removed = append(removed, id)
		}
		return gone
	})
	return removed
}

// Remove removes a container that was released, or no longer exists. Its admission still counts for a minute.
func (s *State) Remove(container string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.data.Held[container]; known {
		delete(s.data.Held, container)
		s.version++
	}
}

// Cooldown returns the end of the cooldown of key that another alert began whose evidence was as strong, or the zero time.
func (s *State) Cooldown(key, alert string, strength int, now time.Time) (until time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.data.Cooldowns[key]; c.Until.After(now) && c.Strength >= strength && c.Alert != alert {
		return c.Until
	}
	return time.Time{}
}

// StartCooldown begins a cooldown of key for an alert and returns the zero time, or the
// end of the cooldown that another alert began whose evidence was as strong. A span of 0 is none.
func (s *State) StartCooldown(key, alert string, strength int, span time.Duration, now time.Time) (until time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c, known := s.data.Cooldowns[key]; known && c.Until.After(now) && c.Strength >= strength {
		if c.Alert == alert {
			return time.Time{}
		}
		return c.Until
	}
	if span <= 0 {
		return time.Time{}
	}
	if !s.makeCooldownRoom(strength, now) {
		return time.Time{}
	}
	s.data.Cooldowns[key] = cooldown{Until: now.Add(span).UTC(), Alert: alert, Strength: strength}
	s.version++
	return time.Time{}
}

// CancelCooldown ends the cooldown of key if alert began it: nothing was done, so the
// next alert must not be skipped.
func (s *State) CancelCooldown(key, alert string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c, known := s.data.Cooldowns[key]; known && c.Alert == alert {
		delete(s.data.Cooldowns, key)
		s.version++
	}
}

// CancelCooldowns ends the cooldowns whose keys end with suffix.
func (s *State) CancelCooldowns(suffix string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.data.Cooldowns, func(key string, _ cooldown) bool {
		ends := strings.HasSuffix(key, suffix)
		if ends {
			s.version++
		}
		return ends
	})
}

// makeCooldownRoom drops the cooldowns that are over and, at the limit, the weakest, of several
// the one that ends first. It returns false if that is stronger than one of strength.
func (s *State) makeCooldownRoom(strength int, now time.Time) bool {
	maps.DeleteFunc(s.data.Cooldowns, func(_ string, c cooldown) bool { return !c.Until.After(now) })
	if len(s.data.Cooldowns) < maxCooldowns {
		return true
	}
	first := ""
	for key, c := range s.data.Cooldowns {
		f := s.data.Cooldowns[first]
		if first == "" || c.Strength < f.Strength || c.Strength == f.Strength && c.Until.Before(f.Until) {
			first = key
		}
	}
	if s.data.Cooldowns[first].Strength > strength {
		return false
	}
	delete(s.data.Cooldowns, first)
	return true
}

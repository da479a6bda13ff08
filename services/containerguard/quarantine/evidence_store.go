package quarantine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"time"

	"github.com/sirupsen/logrus"
)

// EvidenceLimits bound the evidence on the disk. Zero is no limit. Evidence of a
// quarantined container is never removed, whatever the limits say.
type EvidenceLimits struct {
	MaxBytes  int64         // beyond it the oldest directories are removed
	Retention time.Duration // directories older than that are removed
}

// EvidenceStats describes the evidence on the disk.
type EvidenceStats struct {
	Bytes   int64  // used on the disk
	Actions int    // actions with evidence
	Removed uint64 // directories removed since the start, for age or room
	Refused uint64 // collections since the start that are missing or cut for want of room
}

const (
	diskBlock     = 4096          // files are counted in whole blocks, as file systems store them
	directoryCost = diskBlock     // of a directory itself
	manifestCost  = 2 * diskBlock // of a manifest; only very long errors make a larger one
	sweepInterval = time.Minute
)

// errNoRoom says that everything that could be removed is still in use.
var errNoRoom = errors.New("no room within container.evidence_max_bytes: all evidence there is of quarantined containers")

// evidenceStore is the evidence folder: one directory per action. It keeps the
// folder within its limits by removing directories that are too old, then the oldest;
// a write for which no room can be made fails. It is safe for concurrent use.
type evidenceStore struct {
	path  string
	log   logrus.FieldLogger
	inUse func() map[string]bool // actions whose containers are in quarantine

	mu         sync.Mutex // guards the fields below. Health takes it, so never held during file operations
	limits     EvidenceLimits
	dirs       map[string]*evidenceDir // by action
	stats      EvidenceStats
	full       bool  // a write was refused and there is still no room
	unreadable error // why the folder could not be listed at the start
}

// evidenceDir is the evidence of one action.
type evidenceDir struct {
	bytes    int64
	modified time.Time
	spared   bool // being written, not ours, not measured, or of a container whose ledger entry is damaged
}

// openEvidenceStore measures the evidence below dataDir. What cannot be read is left
// alone and counted as it is. Evidence of damaged containers, those whose ledger
// entries cannot be read, is spared: they may still be in quarantine.
func openEvidenceStore(dataDir string, limits EvidenceLimits, log logrus.FieldLogger, inUse func() map[string]bool, damaged map[string]bool) *evidenceStore {
	s := &evidenceStore{path: filepath.Join(dataDir, evidenceFolder), log: log, inUse: inUse, limits: limits, dirs: map[string]*evidenceDir{}}
	entries, err := os.ReadDir(s.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.unreadable = err
		s.log.WithError(err).Error("cannot list evidence: what is there is not counted until the next start")
	}
	for _, entry := range entries {
		d, err := measure(filepath.Join(s.path, entry.Name()))
		if err != nil {
			s.log.WithError(err).WithField("action_id", entry.Name()).Error("cannot measure evidence, leaving it alone")
		}
		m := s.manifest(entry.Name())
		ours := entry.IsDir() && (actionDirectory.MatchString(entry.Name()) || m.Action == entry.Name())
		d.spared = err != nil || !ours || damaged[m.Container]
		s.dirs[entry.Name()] = d
		s.stats.Bytes += d.bytes
	}
	return s
}

// actionDirectory matches the directory of an action of the guard, also before it has a manifest.
var actionDirectory = regexp.MustCompile(`^[0-9a-f]{32}$`)

// manifest returns the manifest of an action, empty if there is none that can be read.
func (s *evidenceStore) manifest(action string) (m Manifest) {
	root, err := os.OpenRoot(filepath.Join(s.path, action))
	if err != nil {
		return m
	}
	defer func() { _ = root.Close() }() // only read
	info, err := root.Lstat(manifestFile)
	if err != nil || !info.Mode().IsRegular() || info.Size() > maxPiece {
		return m
	}
	raw, err := root.ReadFile(manifestFile)
	if err != nil || json.Unmarshal(raw, &m) != nil {
		return Manifest{}
	}
	return m
}

// measure adds up everything below path, as far as it can be read.
func measure(path string) (*evidenceDir, error) {
	d := &evidenceDir{}
	var errs []error
	_ = filepath.WalkDir(path, func(_ string, entry fs.DirEntry, err error) error { // failures are in errs
		var info fs.FileInfo
		if err == nil {
			info, err = entry.Info()
		}
		if errors.Is(err, fs.ErrNotExist) { // removed meanwhile
			return nil
		}
		if err != nil {
			errs = append(errs, err)
			return nil
		}
		if info.IsDir() {
			d.bytes += directoryCost
		} else {
			d.bytes += onDisk(info.Size())
		}
		if info.ModTime().After(d.modified) {
			d.modified = info.ModTime()
		}
		return nil
	})
	return d, errors.Join(errs...)
}

// onDisk rounds a file's size up to whole blocks.
func onDisk(size int64) int64 { return (size + diskBlock - 1) / diskBlock * diskBlock }

// create makes an empty directory for the evidence of an action, in place of an
// interrupted collection's. The caller closes root and calls finish afterwards.
func (s *evidenceStore) create(action string) (root *os.Root, err error) {
	if _, err := s.removeDir(action); err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.dirs[action] = &evidenceDir{modified: time.Now(), spared: true}
	s.mu.Unlock()
	path := filepath.Join(s.path, action)
	if err = s.reserve(action, directoryCost+manifestCost); err == nil {
		err = os.MkdirAll(path, 0o700)
	}
	if err == nil {
		root, err = os.OpenRoot(path)
	}
	if err != nil {
		_, failed := s.removeDir(action)
		return nil, errors.Join(err, failed)
	}
	return root, nil
}

// finish ends the writing of an action's evidence.
func (s *evidenceStore) finish(action string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dirs[action].spared = false
}

// reserve counts n more bytes for action, whose evidence is being written. It
// removes the oldest evidence if there is no room; if that cannot make enough room,
// it removes nothing and returns errNoRoom.
func (s *evidenceStore) reserve(action string, n int64) error {
	for {
		victims, err := s.tryReserve(action, n)
		if err != nil || len(victims) == 0 {
			return err
		}
		for _, v := range victims { // afterwards another collection may be faster: then more is removed
			if err := s.evict(v); err != nil {
				return err
			}
		}
	}
}

// tryReserve counts n bytes if they fit, else returns what has to be removed first.
func (s *evidenceStore) tryReserve(action string, n int64) (victims []string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n > 0 && s.limits.MaxBytes > 0 && s.stats.Bytes+n > s.limits.MaxBytes {
		victims, enough := s.victims(n, time.Now())
		if !enough {
			s.full = true
			return nil, errNoRoom
		}
		return victims, nil
	}
	s.dirs[action].bytes += n
	s.stats.Bytes += n
	return nil, nil
}

// victims lists what has to be removed, oldest first: what is older than the retention, and
// until n more bytes fit. It reports whether they fit then. s.mu is held.
func (s *evidenceStore) victims(n int64, now time.Time) (list []string, enough bool) {
	inUse := s.inUse()
	for action, d := range s.dirs {
		if !d.spared && !inUse[action] {
			list = append(list, action)
		}
	}
	slices.SortFunc(list, func(a, b string) int { return s.dirs[a].modified.Compare(s.dirs[b].modified) })
	excess := s.stats.Bytes + n - s.limits.MaxBytes
	if s.limits.MaxBytes == 0 {
		excess = 0
	}
	for i, action := range list {
		d := s.dirs[action]
		if excess <= 0 && (s.limits.Retention == 0 || now.Sub(d.modified) <= s.limits.Retention) {
			return list[:i], true
		}
		excess -= d.bytes
	}
	return list, excess <= 0
}

// sweep applies the limits.
func (s *evidenceStore) sweep(ctx context.Context, now time.Time) {
	s.mu.Lock()
	victims, _ := s.victims(0, now)
	s.mu.Unlock()
	for _, action := range victims {
		if ctx.Err() != nil {
			return // the next start goes on
		}
		if err := s.evict(action); err != nil {
			s.log.WithError(err).WithField("action_id", action).Error("cannot remove evidence, trying again in a minute")
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, fits := s.victims(directoryCost+manifestCost+diskBlock, now); fits {
		s.full = false
	}
}

// evict removes evidence to keep the limits, and logs and counts it.
func (s *evidenceStore) evict(action string) error {
	removed, err := s.removeDir(action)
	if err != nil || removed == nil {
		return err
	}
	s.mu.Lock()
	s.stats.Removed++
	s.mu.Unlock()
	s.log.WithFields(logrus.Fields{"action_id": action, "modified": removed.modified, "bytes": removed.bytes}).Warn("evidence removed to keep the limits on age and size")
	return nil
}

// removeDir deletes the evidence of an action and returns what it was, nil if there
// was none. Its bytes count until they are gone.
func (s *evidenceStore) removeDir(action string) (*evidenceDir, error) {
	s.mu.Lock()
	d := s.dirs[action]
	s.mu.Unlock()
	if d == nil {
		return nil, nil
	}
	if err := os.RemoveAll(filepath.Join(s.path, action)); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dirs[action] != d { // another collection was faster
		return nil, nil
	}
	delete(s.dirs, action)
	s.stats.Bytes -= d.bytes
	return d, nil
}

// countRefused counts a collection that is missing or cut for want of room.
func (s *evidenceStore) countRefused() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.Refused++
}

// markReleased lets the age of the evidence of actions count from now, the release.
func (s *evidenceStore) markReleased(actions []string) {
	now := time.Now()
	for _, action := range actions {
		s.mu.Lock()
		d := s.dirs[action]
		if d != nil {
			d.modified = now
		}
		s.mu.Unlock()
		if d == nil {
			continue
		}
		if err := os.Chtimes(filepath.Join(s.path, action), now, now); err != nil { // for the next start
			s.log.WithError(err).WithField("action_id", action).Warn("cannot date evidence: a restart may remove it early")
		}
	}
}

// SetEvidenceLimits changes the limits. Run applies them soon.
func (m *Manager) SetEvidenceLimits(l EvidenceLimits) {
	m.evidence.mu.Lock()
	defer m.evidence.mu.Unlock()
	m.evidence.limits = l
	m.limitsChanged.Store(true)
}

// Evidence describes the evidence on the disk.
func (m *Manager) Evidence() EvidenceStats {
	m.evidence.mu.Lock()
	defer m.evidence.mu.Unlock()
	stats := m.evidence.stats
	stats.Actions = len(m.evidence.dirs)
	return stats
}

// EvidenceReason returns the health reason about evidence, empty if all is well.
func (m *Manager) EvidenceReason() string {
	m.evidence.mu.Lock()
	defer m.evidence.mu.Unlock()
	switch {
	case m.evidence.unreadable != nil:
		return fmt.Sprintf("evidence: cannot be listed, what is there is not counted until the next start: %v", m.evidence.unreadable)
	case m.evidence.full:
		return fmt.Sprintf("evidence is missing or cut: %v (%d bytes used); release containers or raise the limit", errNoRoom, m.evidence.stats.Bytes)
	}
	return ""
}

// actionsInUse returns the actions whose evidence is spared: those of every ledger
// entry, and those of the first container of each chain of replacements.
func (m *Manager) actionsInUse() map[string]bool {
	out := map[string]bool{}
	for _, e := range m.List() {
		for _, action := range slices.Concat(e.ActionIDs, e.OriginActionIDs) {
			out[action] = true
		}
	}
	return out
}

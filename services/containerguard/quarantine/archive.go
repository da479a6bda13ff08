package quarantine

import (
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

// EvidenceLimits bound the evidence on the disk. What is of a container that is held
// is never removed. Zero is no limit.
type EvidenceLimits struct {
	MaxBytes  int64         // when they are used, the oldest goes
	Retention time.Duration // what is older goes
}

// EvidenceStats is what the archive holds, and did since it was opened.
type EvidenceStats struct {
	Bytes   int64  // on the disk
	Actions int    // with evidence
	Removed uint64 // to make room, or too old
	Refused uint64 // not kept, or not whole, because there was no room
}

const (
	block        = 4096      // how file systems round
	folderCost   = block     // of a folder itself
	manifestCost = 2 * block // of a manifest, above what is ever written but for long errors
)

// errNoRoom says that what is there may not be removed.
var errNoRoom = errors.New("no room within container.evidence_max_bytes: what is there is of containers that are held")

// archive is the folder of evidence, one below it for each action. It makes room by
// removing the oldest. It is safe for concurrent use.
type archive struct {
	path string
	log  logrus.FieldLogger
	held func() map[string]bool // actions whose evidence stays

	mu      sync.Mutex
	limits  EvidenceLimits
	shelves map[string]*shelf // by action
	stats   EvidenceStats
	full    bool  // something was refused since the last sweep that found room
	unread  error // why the folder could not be listed as it was opened
}

// shelf is the evidence of one action.
type shelf struct {
	bytes int64
	since time.Time
	open  bool // not to be removed: it is being written, a person's, was not measured, or is spared
}

// openArchive measures what is below dataDir. What cannot be read is left alone, and
// keeps nobody from holding containers.
func openArchive(dataDir string, limits EvidenceLimits, log logrus.FieldLogger, held func() map[string]bool) *archive {
	a := &archive{path: filepath.Join(dataDir, evidenceFolder), log: log, held: held, limits: limits, shelves: map[string]*shelf{}}
	folders, err := os.ReadDir(a.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		a.unread = err
		a.log.WithError(err).Error("evidence not listed")
	}
	for _, f := range folders {
		s, err := measure(filepath.Join(a.path, f.Name()))
		if err != nil {
			a.log.WithError(err).WithField("action_id", f.Name()).Error("evidence not measured")
		}
		s.open = err != nil || !f.IsDir() || !a.ours(f.Name())
		a.shelves[f.Name()] = s
		a.stats.Bytes += s.bytes
	}
	return a
}

// actionName is that of an action's folder, also before it has a manifest.
var actionName = regexp.MustCompile(`^[0-9a-f]{32}$`)

// ours tells that a folder was made by a guard: not by a person, or with a file system.
func (a *archive) ours(name string) bool {
	return actionName.MatchString(name) || a.manifest(name).Action == name
}

// manifest returns that of an action, empty if there is none that can be read.
func (a *archive) manifest(name string) (m Manifest) {
	root, err := os.OpenRoot(filepath.Join(a.path, name))
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

// spare keeps the evidence of containers that may be held though the ledger cannot
// say so any more.
func (a *archive) spare(containers map[string]bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for action, s := range a.shelves {
		s.open = s.open || len(containers) > 0 && containers[a.manifest(action).Container]
	}
}

// measure adds up a folder, or a file that is there though it should not, as far as it
// can be read. What goes meanwhile is not there.
func measure(path string) (*shelf, error) {
	s := &shelf{}
	var errs []error
	_ = filepath.WalkDir(path, func(_ string, d fs.DirEntry, err error) error { // what failed is in errs
		var info fs.FileInfo
		if err == nil {
			info, err = d.Info()
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			errs = append(errs, err)
			return nil
		}
		if info.IsDir() {
			s.bytes += folderCost
		} else {
			s.bytes += blocks(info.Size())
		}
		if info.ModTime().After(s.since) {
			s.since = info.ModTime()
		}
		return nil
	})
	return s, errors.Join(errs...)
}

func blocks(size int64) int64 { return (size + block - 1) / block * block }

// begin makes an empty folder for the evidence of an action. done is called when it
// is written.
func (a *archive) begin(action string) (root *os.Root, done func(), err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.remove(action); err != nil { // what a guard that was killed had written
		return nil, nil, err
	}
	s := &shelf{since: time.Now(), open: true}
	if err := a.take(s, folderCost+manifestCost); err != nil {
		return nil, nil, err
	}
	a.shelves[action] = s
	if root, err = makeFolder(filepath.Join(a.path, action)); err != nil {
		s.open = false
		return nil, nil, err
	}
	return root, func() { a.close(s) }, nil
}

func makeFolder(path string) (*os.Root, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, err
	}
	return os.OpenRoot(path)
}

func (a *archive) close(s *shelf) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s.open = false
}

// grow takes the room that a file of action needs to become larger.
func (a *archive) grow(action string, from, to int64) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.take(a.shelves[action], blocks(to)-blocks(from))
}

// take is called with mu held.
func (a *archive) take(s *shelf, n int64) error {
	if err := a.shrink(n); err != nil {
		a.full = true
		return err
	}
	s.bytes += n
	a.stats.Bytes += n
	return nil
}

// shrink removes the oldest until n more bytes have room. If that cannot be, nothing
// is removed.
func (a *archive) shrink(n int64) error {
	if n <= 0 {
		return nil
	}
	gone, enough := a.oldest(n)
	if !enough {
		return errNoRoom
	}
	for _, action := range gone {
		if err := a.discard(action); err != nil {
			return err
		}
	}
	return nil
}

// oldest lists what must go until n more bytes have room, and tells whether they have then.
func (a *archive) oldest(n int64) (gone []string, enough bool) {
	over := a.stats.Bytes + n - a.limits.MaxBytes
	if a.limits.MaxBytes == 0 || over <= 0 {
		return nil, true
	}
	for _, action := range a.removable() {
		if over <= 0 {
			break
		}
		over -= a.shelves[action].bytes
		gone = append(gone, action)
	}
	return gone, over <= 0
}

// removable lists the actions whose containers are not held, oldest first.
func (a *archive) removable() []string {
	held := a.held()
	var out []string
	for action, s := range a.shelves {
		if !s.open && !held[action] {
			out = append(out, action)
		}
	}
	slices.SortFunc(out, func(x, y string) int { return a.shelves[x].since.Compare(a.shelves[y].since) })
	return out
}

// discard removes what nobody needs, and says so.
func (a *archive) discard(action string) error {
	s := a.shelves[action]
	if err := a.remove(action); err != nil {
		return err
	}
	a.stats.Removed++
	a.log.WithFields(logrus.Fields{"action_id": action, "since": s.since, "bytes": s.bytes}).Warn("evidence removed to make room")
	return nil
}

func (a *archive) remove(action string) error {
	s := a.shelves[action]
	if s == nil {
		return nil
	}
	if err := os.RemoveAll(filepath.Join(a.path, action)); err != nil {
		return err
	}
	delete(a.shelves, action)
	a.stats.Bytes -= s.bytes
	return nil
}

// refused counts evidence that is not whole for want of room.
func (a *archive) refused() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.stats.Refused++
}

// touch has the evidence of actions count as new: its container was held until now.
func (a *archive) touch(actions []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	for _, action := range actions {
		s := a.shelves[action]
		if s == nil {
			continue
		}
		s.since = now
		if err := os.Chtimes(filepath.Join(a.path, action), now, now); err != nil { // for the next start
			a.log.WithError(err).WithField("action_id", action).Warn("evidence may be removed early")
		}
	}
}

// crowded tells that there is no room for anything and none can be made.
func (a *archive) crowded() bool {
	free := a.limits.MaxBytes - a.stats.Bytes
	for _, action := range a.removable() {
		free += a.shelves[action].bytes
	}
	return a.limits.MaxBytes > 0 && free < folderCost+manifestCost+block
}

// SetEvidenceLimits changes what bounds the evidence. Run removes what is beyond soon.
func (m *Manager) SetEvidenceLimits(l EvidenceLimits) {
	m.archive.mu.Lock()
	defer m.archive.mu.Unlock()
	m.archive.limits = l
	m.limited.Store(true)
}

// Evidence returns what is kept.
func (m *Manager) Evidence() EvidenceStats {
	m.archive.mu.Lock()
	defer m.archive.mu.Unlock()
	stats := m.archive.stats
	stats.Actions = len(m.archive.shelves)
	return stats
}

// EvidenceReason says why evidence is not kept, "" if it is.
func (m *Manager) EvidenceReason() string {
	m.archive.mu.Lock()
	defer m.archive.mu.Unlock()
	switch {
	case m.archive.unread != nil:
		return fmt.Sprintf("evidence: what is there is not counted until the next start: %v", m.archive.unread)
	case !m.archive.full:
		return ""
	}
	return fmt.Sprintf("evidence is not kept whole: %v (%d bytes used); release what is looked into, or raise it", errNoRoom, m.archive.stats.Bytes)
}

// heldActions are the orders of every entry, and those that began its family.
func (m *Manager) heldActions() map[string]bool {
	out := map[string]bool{}
	for _, e := range m.List() {
		for _, action := range slices.Concat(e.ActionIDs, e.OriginActionIDs) {
			out[action] = true
		}
	}
	return out
}

package tail

import (
	"cmp"
	"errors"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const (
	// pathsPerPoll is how many paths one Config.Poll interval may check; with more paths
	// the interval grows, and change notification does the rest.
	pathsPerPoll = 1000
	// pauseFactor is how many times as long as a poll took there is no other one.
	pauseFactor = 4
	// turn is how long paths are checked, or events handled, before files are read.
	turn = 50 * time.Millisecond
	// ownTurnsEvery is how often paths with a turn of their own are read while more events come than can be handled.
	ownTurnsEvery = time.Second
)

// watchedPath is one path and the files that are or were read under it.
type watchedPath struct {
	path, source  string
	spool         bool
	files         []*logFile   // unfinished: rotated and copied ones in order, the followed one last
	finished      []FileState  // those that may still be in the folder, and some before
	gens          []Generation // see countEarly, newest last
	pending       bool         // there may be something to read
	noText        fileInfo     // the file under the path that was found to be no text
	newestSpool   bool         // of a spool: no later file of its sequence exists
	taken         int64        // bytes of the lines that Next returned and that are not done
	batch         *batch       // of those lines, nil if there are none
	skipExisting  bool         // the file that is there now is read from its end
	checkedAt     time.Time    // last
	restoredAtEnd bool         // all that a saved state knows was read, and rotations were not searched since
	absentSeen    int64        // mtime of the folder when rotations were searched because no file was there
	absentSince   time.Time    // no file under the path since; zero if there is one
	waitingSince  int64        // when no file had been seen yet, nanoseconds; 0 if unknown
	owner         uint32       // whose share it takes, see ownerOf
	literal       bool         // the operator named it itself
	fault         fault        // why it is not followed
	missing       bool         // no file under the path, which is no fault
	lines         int64
	read          int64         // bytes of all its files that were consumed or lost
	growth        growth        // guarded by published.mu
	changed       bool          // since it was published
	published     publishedPath // guarded by published.mu
}

func newPath(path string, spool bool) *watchedPath {
	return &watchedPath{path: path, source: "file:" + path, owner: ownerOf(path), spool: spool, pending: true, newestSpool: true}
}

// setFault records for the operator why p is not followed. A missing file is no fault.
func (t *Tailer) setFault(p *watchedPath, err error) {
	before := p.fault.reason
	p.clearFault()
	pathErr, ok := errors.AsType[*fs.PathError](err)
	refused, isRefused := errors.AsType[*refusedError](err)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		p.missing = true
	case errors.Is(err, fs.ErrPermission):
		p.fault = fault{"permission", p.path + " may not be read: permission denied"}
	case isRefused:
		p.fault = fault{refused.reason, refused.Error()}
		if refused.reason != before {
			t.refused[refused.reason]++
			t.logFor(p).WithField("reason", refused.reason).Warn("file not followed")
		}
	case ok: // without the path, which is there already
		p.fault = fault{"unreadable", p.path + " cannot be read: " + pathErr.Err.Error()}
	default:
		p.fault = fault{"unreadable", p.path + " cannot be read: " + err.Error()}
	}
}

func (p *watchedPath) clearFault() { p.missing, p.fault = false, fault{} }

// contentMayHaveChanged makes the next read compare the beginning of each file.
func (p *watchedPath) contentMayHaveChanged() {
	for _, f := range p.files {
		f.headVerified = false
	}
	p.pending = p.pending || len(p.files) > 0
}

// current returns the file found under the path, or nil.
func (p *watchedPath) current() *logFile {
	if n := len(p.files); n > 0 && p.files[n-1].rotation == following {
		return p.files[n-1]
	}
	return nil
}

// hadFile reports whether a file was followed under the path.
func (p *watchedPath) hadFile() bool { return len(p.files)+len(p.finished) > 0 }

// latest returns the last file of p, as a file that is not queued if it is finished, or
// if all that is known is since when a file was waited for.
func (p *watchedPath) latest() *logFile {
	if n := len(p.files); n > 0 {
		return p.files[n-1]
	}
	if n := len(p.finished); n > 0 {
		return &logFile{FileState: p.finished[n-1]}
	}
	if p.waitingSince > 0 {
		return &logFile{FileState: FileState{MTime: p.waitingSince, ID: FileID{Birth: p.waitingSince}}}
	}
	return nil
}

// beginPoll matches the patterns again. Then every path is to be checked.
func (t *Tailer) beginPoll() {
	if !t.pollBegan.IsZero() {
		t.matched = t.pollBegan.Add(-clockSlack).UnixNano()
	}
	t.pollBegan = time.Now()
	t.leftOut = map[uint32]int64{}
	t.countPaths()
	for _, pattern := range t.cfg.Paths {
		t.matchPattern(pattern, false)
	}
	for _, pattern := range t.cfg.Spools {
		t.matchPattern(pattern, true)
	}
	t.sortPaths()
	t.toCheck = t.inTurns()
}

// poll checks paths for no longer than a turn, and reports whether it did anything. The first time it checks them all: from then on no line is
// missed.
func (t *Tailer) poll() bool {
	if len(t.toCheck) == 0 {
		if time.Now().Before(t.nextPoll) {
			return false
		}
		t.beginPoll()
	}
	end := time.Now().Add(turn)
	for len(t.toCheck) > 0 && (!t.polled || time.Now().Before(end)) {
		if p := t.toCheck[0]; t.paths[p.path] == p {
			t.checkPath(p)
		}
		t.toCheck = t.toCheck[1:]
	}
	if len(t.toCheck) == 0 {
		t.endPoll()
	}
	return true
}

func (t *Tailer) endPoll() {
	t.polled = true
	t.markNewestSpools()
	t.watch.setFolders(t.watchedFolders())
	now := time.Now()
	t.earliestPoll = now.Add(pauseFactor * now.Sub(t.pollBegan))
	t.nextPoll = now.Add(t.pollInterval())
	if t.nextPoll.Before(t.earliestPoll) {
		t.nextPoll = t.earliestPoll
	}
}

// pollInterval is how far apart polls are.
func (t *Tailer) pollInterval() time.Duration {
	return t.cfg.Poll * time.Duration(1+len(t.order)/pathsPerPoll)
}

// pollSoon makes the next poll come as soon as polls may follow each other.
func (t *Tailer) pollSoon() {
	if t.earliestPoll.Before(t.nextPoll) {
		t.nextPoll = t.earliestPoll
	}
}

// matchPattern adds each path that a pattern matches and that is not watched yet. A
// path without a pattern matches itself, whether there is a file or not.
func (t *Tailer) matchPattern(pattern string, spool bool) {
	first := !t.seen[pattern]
	t.seen[pattern] = true
	literal := !hasMeta(pattern)
	found := []string{filepath.Clean(pattern)}
	if !literal {
		found = glob(pattern)
	}
	if !literal && !spool && (!first || t.polled) {
		found = t.withBases(pattern, found)
	}
	for _, path := range found {
		if p := t.paths[path]; p != nil {
			p.literal = p.literal || literal
			continue
		}
		p := newPath(path, spool)
		p.literal = literal
		if !spool && !literal && !t.admit(p) {
			continue
		}
		p.skipExisting = first && !spool && t.cfg.From == FromEnd
		if !first && !spool && !literal {
			p.waitingSince = max(t.since, t.matched)
		}
		t.paths[path] = p
	}
}

// withBases returns the paths and those that pattern matches, too, and of which files around them are rotations by name: a file may have come and been
// rotated while nothing was read.
func (t *Tailer) withBases(pattern string, paths []string) []string {
	all := map[string]bool{}
	folders := map[string][]string{} // of logs: those of their rotations
	if dir := filepath.Dir(pattern); !hasMeta(dir) {
		folders[dir] = append(t.foldersAround(dir), dir)
	}
	for _, path := range paths {
		all[path] = true
		if dir := filepath.Dir(path); folders[dir] == nil {
			folders[dir] = []string{dir}
		}
	}
	for dir, around := range folders {
		for _, folder := range around {
			for name, rotations := range t.folderOf(folder, maxOldNames).byBase {
				base := filepath.Join(dir, name)
				if !all[base] && matchesAny([]string{pattern}, base) && slices.ContainsFunc(rotations, func(name string) bool { return isNumbered(name, base) }) {
					all[base] = true
				}
			}
		}
	}
	return slices.Sorted(maps.Keys(all))
}

// sortPaths makes a new slice: the published one stays as it is.
func (t *Tailer) sortPaths() {
	t.order = make([]*watchedPath, 0, len(t.paths))
	for _, p := range t.paths {
		t.order = append(t.order, p)
	}
	slices.SortFunc(t.order, func(a, b *watchedPath) int { return cmp.Compare(a.path, b.path) })
	t.makeTurns()
}

// removePath stops watching p.
func (t *Tailer) removePath(p *watchedPath) {
	t.forgetPath(p)
	t.sortPaths()
}

// forgetPath is removePath without t.order.
func (t *Tailer) forgetPath(p *watchedPath) {
	for _, f := range p.files {
		t.closeFile(f)
	}
	for id, owner := range t.owners {
		if owner == p {
			delete(t.owners, id)
		}
	}
	delete(t.paths, p.path)
}

// markNewestSpools finds the newest spool file of each sequence: it alone may still grow.
func (t *Tailer) markNewestSpools() {
	var before *watchedPath
	for _, p := range t.order {
		if !p.spool {
			continue
		}
		p.newestSpool = true
		if before != nil && sameSequence(before, p) {
			before.newestSpool = false
			before.pending = before.pending || len(before.files) > 0
		}
		before = p
	}
}

// waitsForEarlierSpool reports whether p is a spool file and one before it in its sequence is unread.
func (t *Tailer) waitsForEarlierSpool(p *watchedPath) bool {
	if !p.spool {
		return false
	}
	for _, earlier := range t.order {
		if earlier == p {
			return false
		}
		if earlier.spool && (earlier.taken > 0 || len(earlier.files) > 0) && sameSequence(earlier, p) {
			return true
		}
	}
	return false
}

// sameSequence reports whether two spool files are of one sequence: their paths are the same up to the last hyphen, before their
// numbers.
func sameSequence(a, b *watchedPath) bool {
	i, j := strings.LastIndexByte(a.path, '-'), strings.LastIndexByte(b.path, '-')
	return i >= 0 && i == j && a.path[:i] == b.path[:j]
}

// own remembers that f is read under p.
func (t *Tailer) own(p *watchedPath, f *logFile) {
	t.owners[f.ID] = p
	if f.At != (FileID{}) {
		t.owners[f.At] = p
	}
}

// disown forgets the identities of st that no other file of p has.
func (t *Tailer) disown(p *watchedPath, st FileState) {
	used := func(id FileID) bool {
		return slices.ContainsFunc(p.state().Files, func(other FileState) bool { return other.ID == id || other.At == id })
	}
	for _, id := range []FileID{st.ID, st.At} {
		if t.owners[id] == p && !used(id) {
			delete(t.owners, id)
		}
	}
}

// owner returns the path under which the file id, found at path, is read, or nil. Without
// a creation time an inode may be in its second life: then the content must match, too.
func (t *Tailer) owner(id FileID, path string) *watchedPath {
	p := t.owners[id]
	if p == nil || id.Birth != 0 {
		return p
	}
	for _, st := range p.state().Files {
		if st.At == id && st.Offset > 0 && st.matchesPath(path) {
			return p
		}
	}
	return nil
}

// rotationBase returns the watched path that the path of p is a rotation of by name, in its folder or the one above; nil if there is none. It is no
// rotation by number or date itself.
func (t *Tailer) rotationBase(p *watchedPath) *watchedPath {
	base := t.nextBase(p)
	for base != nil {
		next := t.nextBase(base)
		if next == nil || !isNumbered(base.path, next.path) {
			break
		}
		base = next
	}
	return base
}

func (t *Tailer) nextBase(p *watchedPath) *watchedPath {
	dir, name := filepath.Split(p.path)
	for _, base := range possibleBases(name) {
		for _, path := range []string{filepath.Join(dir, base), filepath.Join(dir, "..", base)} {
			if found := t.paths[path]; found != nil && found != p && len(filepath.Base(path)) <= len(name) {
				return found
			}
		}
	}
	return nil
}

func matchesAny(patterns []string, path string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		ok, err := filepath.Match(pattern, path)
		return pattern == path || ok && err == nil
	})
}

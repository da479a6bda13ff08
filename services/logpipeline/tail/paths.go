package tail

import (
	"cmp"
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// pathsPerPoll is how many paths one Config.Poll interval may check; with more paths
// the interval grows, and change notification does the rest.
const pathsPerPoll = 1000

// watchedPath is one path and the files that are or were read under it.
type watchedPath struct {
	path, source string
	spool        bool
	files        []*logFile  // unfinished: rotated and copied ones in order, the followed one last
	finished     []FileState // those that may still be in the folder
	pending      bool        // there may be something to read
	newestSpool  bool        // of a spool: no later file of its sequence exists
	taken        int64       // bytes of the lines that Next returned and that are not done
	skipExisting bool        // the file that is there now is read from its end
	absentSince  time.Time   // no file under the path since; zero if there is one
	waitingSince int64       // when no file had been seen yet, nanoseconds; 0 if unknown
	fault        string      // why it is not followed, for the operator
	missing      bool        // no file under the path, which is no fault
	lines        int64
	read         int64         // bytes of all its files that were consumed or lost
	growth       growth        // guarded by published.mu
	changed      bool          // since it was published
	published    publishedPath // guarded by published.mu
}

func newPath(path string, spool bool) *watchedPath {
	return &watchedPath{path: path, source: "file:" + path, spool: spool, pending: true, newestSpool: true}
}

// setFault records for the operator why p is not followed. A missing file is no fault.
func (p *watchedPath) setFault(err error) {
	p.clearFault()
	pathErr, ok := errors.AsType[*fs.PathError](err)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		p.missing = true
	case errors.Is(err, fs.ErrPermission):
		p.fault = p.path + " may not be read: permission denied"
	case isNotRegular(err):
		p.fault = err.Error()
	case ok: // without the path, which is there already
		p.fault = p.path + " cannot be read: " + pathErr.Err.Error()
	default:
		p.fault = p.path + " cannot be read: " + err.Error()
	}
}

func (p *watchedPath) clearFault() { p.missing, p.fault = false, "" }

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
		return &logFile{FileState: FileState{MTime: p.waitingSince, At: FileID{Birth: p.waitingSince}}}
	}
	return nil
}

// poll matches the patterns again and checks every path.
func (t *Tailer) poll() {
	t.capped = false
	for _, pattern := range t.cfg.Paths {
		t.matchPattern(pattern, false)
	}
	for _, pattern := range t.cfg.Spools {
		t.matchPattern(pattern, true)
	}
	t.sortPaths()
	for _, p := range slices.Clone(t.order) {
		t.checkPath(p)
	}
	t.markNewestSpools()
	t.watch.setFolders(t.watchedFolders())
	t.nextPoll = time.Now().Add(t.cfg.Poll * time.Duration(1+len(t.order)/pathsPerPoll))
}

// matchPattern adds each path that a pattern matches and that is not watched yet. A
// path without a pattern matches itself, whether there is a file or not.
func (t *Tailer) matchPattern(pattern string, spool bool) {
	first := !t.seen[pattern]
	t.seen[pattern] = true
	found := []string{filepath.Clean(pattern)}
	if strings.ContainsAny(pattern, `*?[\`) {
		found, _ = filepath.Glob(pattern) // Config.Validate checked it
	}
	for _, path := range found {
		if t.paths[path] != nil {
			continue
		}
		if len(t.paths) >= t.cfg.MaxFiles && !spool {
			t.capped = true
			return
		}
		p := newPath(path, spool)
		p.skipExisting = first && !spool && t.cfg.From == FromEnd
		t.paths[path] = p
	}
}

// sortPaths makes a new slice: the published one stays as it is.
func (t *Tailer) sortPaths() {
	t.order = make([]*watchedPath, 0, len(t.paths))
	for _, p := range t.paths {
		t.order = append(t.order, p)
	}
	slices.SortFunc(t.order, func(a, b *watchedPath) int { return cmp.Compare(a.path, b.path) })
}

// removePath stops watching p.
func (t *Tailer) removePath(p *watchedPath) {
	for _, f := range p.files {
		t.closeFile(f)
	}
	for id, owner := range t.owners {
		if owner == p {
			delete(t.owners, id)
		}
	}
	delete(t.paths, p.path)
	t.sortPaths()
	t.cursor = 0
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
	t.owners[f.At] = p
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

// rotationBase returns the watched path that the path of p is a rotation of by name, or nil.
func (t *Tailer) rotationBase(p *watchedPath) *watchedPath {
	for base := p.path; ; {
		i := strings.LastIndexAny(base, ".-_~")
		if i <= len(filepath.Dir(base)) {
			return nil
		}
		base = base[:i]
		if found := t.paths[base]; found != nil {
			return found
		}
	}
}

func matchesAny(patterns []string, path string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		ok, err := filepath.Match(pattern, path)
		return pattern == path || ok && err == nil
	})
}

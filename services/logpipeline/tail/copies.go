package tail

import (
	"cmp"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// sibling is a regular file in the folder of a followed one, or in one beside or below it.
type sibling struct {
	path string
	fileInfo
}

// writtenUntil is when the file was written last, at the latest: some programs set the time of a copy in whole seconds.
func (s sibling) writtenUntil() int64 {
	if s.mtime%int64(time.Second) == 0 {
		return s.mtime + int64(time.Second) - 1
	}
	return s.mtime
}

const (
	// maxOldFolders bounds the folders searched for rotations besides that of the file, maxOldNames the names in each.
	maxOldFolders = 64
	maxOldNames   = 4096
)

// oldFolders are names of folders that rotations are moved to, beside that of the file (olddir of logrotate.conf(5)).
var oldFolders = []string{"old", "archive", "archives", "archived", "backup", "backups", "rotated"}

// rotationsOf lists the regular files that have names of rotations of p, beside its path and the place where f was last found, and in folders
// below and beside those; the oldest first.
func (t *Tailer) rotationsOf(p *watchedPath, f *logFile) (found []sibling) {
	seen := map[string]bool{}
	add := func(path string, base string) {
		if path == p.path || seen[path] || !isRotationOf(path, base) {
			return
		}
		seen[path] = true
		if info, err := statPath(path); err == nil {
			found = append(found, sibling{path, info})
		}
	}
	bases := []string{p.path}
	if f.Real != "" && f.Real != p.path {
		bases = append(bases, f.Real)
	}
	for _, base := range bases {
		dir := filepath.Dir(base)
		for _, folder := range append([]string{dir}, t.foldersAround(dir)...) {
			limit := maxOldNames
			if folder == dir {
				limit = maxSiblings
			}
			for _, name := range t.folderOf(folder, limit).byBase[filepath.Base(base)] {
				add(filepath.Join(folder, name), base)
			}
		}
	}
	sortRotations(found, p.path)
	return found
}

// foldersAround returns folders below and beside dir to which files of dir may be rotated; they need not be there.
func (t *Tailer) foldersAround(dir string) (folders []string) {
	for _, name := range t.folderOf(dir, maxSiblings).folders {
		folders = append(folders, filepath.Join(dir, name))
	}
	for _, name := range oldFolders {
		folders = append(folders, filepath.Join(dir, "..", name))
	}
	return folders[:min(len(folders), maxOldFolders)]
}

// siblings lists the regular files beside the path of p and beside the place where f
// was last found, in the order of their last write.
func (t *Tailer) siblings(p *watchedPath, f *logFile) (found []sibling) {
	dirs := []string{filepath.Dir(p.path)}
	if dir := filepath.Dir(f.Real); f.Real != "" && dir != dirs[0] {
		dirs = append(dirs, dir)
	}
	for _, dir := range dirs {
		for _, name := range t.folderOf(dir, maxSiblings).files {
			path := filepath.Join(dir, name)
			if info, err := statPath(path); err == nil {
				found = append(found, sibling{path, info})
			}
		}
	}
	slices.SortFunc(found, func(a, b sibling) int {
		return cmp.Or(cmp.Compare(a.mtime, b.mtime), cmp.Compare(b.path, a.path))
	})
	return found
}

// unowned reports whether no path reads sib, or has read it.
func (t *Tailer) unowned(p *watchedPath, sib sibling) bool {
	return sib.path != p.path && t.owner(sib.id, sib.path) == nil
}

// queuedUnread returns the index in p.files of the rotated file that is read from sib, if nothing was read of it yet; -1 if there is none. It may be
// found then to be the content of another one.
func (p *watchedPath) queuedUnread(sib sibling) int {
	return slices.IndexFunc(p.files, func(f *logFile) bool {
		return f.At == sib.id && f.ID == sib.id && !f.begun() && f.rotation != following
	})
}

// finishedCopy returns the index in p.finished of sib if it is a copy of what was read from another file; -1 if it is not.
func (p *watchedPath) finishedCopy(sib sibling) int {
	return slices.IndexFunc(p.finished, func(st FileState) bool { return st.At == sib.id && st.Copy })
}

// finishedPacked reports whether sib is a compressed file that was read to its end: what is in it may be that of a file of which nothing was read.
func (p *watchedPath) finishedPacked(sib sibling) bool {
	return slices.ContainsFunc(p.finished, func(st FileState) bool { return st.At == sib.id && st.Packed })
}

// isElsewhere reports whether the content of f, of which nothing was read, was read from another file, or is.
func (p *watchedPath) isElsewhere(f *logFile) bool {
	if f.Head.Len == 0 || f.begun() {
		return false
	}
	if slices.ContainsFunc(p.files, func(other *logFile) bool {
		return other != f && other.file != nil && other.begun() && f.matches(other.file, other.size)
	}) {
		return true
	}
	return slices.ContainsFunc(p.finished, func(st FileState) bool {
		return !st.Packed && st.Offset >= f.Size && f.matchesPath(st.Real)
	})
}

// mayContinue reports whether sib may hold what was written to f after it was last read. A compressed file beside the plain one is being made.
func (t *Tailer) mayContinue(p *watchedPath, f *logFile, sib sibling) bool {
	if sib.size == 0 || sib.writtenUntil() < f.MTime || slices.Contains(f.rejected, sib.id) || f.At == sib.id {
		return false
	}
	if !t.unowned(p, sib) && p.queuedUnread(sib) < 0 && p.finishedCopy(sib) < 0 && (f.begun() || !p.finishedPacked(sib)) {
		return false
	}
	plain := withoutPackedSuffix(sib.path)
	return plain == sib.path || plain == p.path || !exists(plain)
}

// continueElsewhere has f continue in a file that holds its content, and reports whether there is one: a rotation of it, plain or compressed, the
// oldest, or else the largest file beside it.
func (t *Tailer) continueElsewhere(p *watchedPath, f *logFile) (found bool) {
	if f.Head.Len == 0 || p.spool {
		return false
	}
	for _, sib := range t.rotationsOf(p, f) {
		if isNumbered(sib.path, p.path) || isNumbered(sib.path, f.Real) {
			if t.mayContinue(p, f, sib) && t.continuesIn(p, f, sib) {
				t.continueIn(p, f, sib)
				return true
			}
		}
	}
	best := sibling{}
	for _, sib := range t.siblings(p, f) {
		if t.mayContinue(p, f, sib) && sib.size >= max(f.Offset, best.size) && f.matchesPath(sib.path) {
			best = sib
		}
	}
	if best.path != "" {
		t.continueIn(p, f, best)
	}
	return best.path != ""
}

// continuesIn reports whether sib continues f, or, if it is compressed, begins as f does: the rest is seen when it is unpacked.
func (t *Tailer) continuesIn(p *watchedPath, f *logFile, sib sibling) bool {
	if !isCompressedKind(kindAt(sib.path)) {
		return f.matchesPath(sib.path)
	}
	if t.cfg.ScratchDir == "" {
		return false
	}
	u, err := newUnpacker(t.cfg.ScratchDir, sib.path, &f.FileState)
	if err == nil {
		u.close()
		return true
	}
	if !errors.Is(err, errOtherContent) {
		t.logFor(p).WithError(err).Warn("rotated log cannot be unpacked")
	}
	return false
}

// isThere reports whether the content of st is in a rotation of p.
func (t *Tailer) isThere(p *watchedPath, st FileState) bool {
	f := &logFile{FileState: st}
	return slices.ContainsFunc(t.rotationsOf(p, f), func(sib sibling) bool { return sib.id == st.At || t.continuesIn(p, f, sib) })
}

// continueIn makes sib the place where f is read.
func (t *Tailer) continueIn(p *watchedPath, f *logFile, sib sibling) {
	f.rotation, f.At, f.Real, f.size = copied, sib.id, resolve(sib.path), max(f.Offset, f.Size)
	t.own(p, f)
	if i := p.queuedUnread(sib); i >= 0 && p.files[i] != f {
		t.closeFile(p.files[i])
		p.files = slices.Delete(p.files, i, i+1)
	}
	if i := p.finishedCopy(sib); i >= 0 {
		p.finished = slices.Delete(p.finished, i, i+1)
	}
}

// unseenRotations lists files that were rotated away between f, the last known file of
// p, and now, and of which nothing was read; the oldest first.
func (t *Tailer) unseenRotations(p *watchedPath, f *logFile) []sibling {
	var found []sibling
	for _, sib := range t.rotationsOf(p, f) {
		switch {
		case matchesAny(t.cfg.Paths, sib.path) && !isNumbered(sib.path, p.path): // a log of its own
		case sib.id.Birth != 0 && sib.id.Birth < f.ID.Birth, !t.mayContinue(p, f, sib), !t.unowned(p, sib):
		default:
			found = append(found, sib)
		}
	}
	return found
}

// readOf returns what was read of the content of sib: nothing, all of it, or up to a state. It may also be read from another file. Of a compressed
// one that is known by its time, or once it is unpacked.
func (t *Tailer) readOf(p *watchedPath, sib sibling) (st *FileState, read bool) {
	file, info, err := openRegular(sib.path)
	if err != nil {
		return nil, true // it is gone again
	}
	defer closeRead(file)
	if isCompressedKind(sniff(file)) {
		return nil, slices.ContainsFunc(p.finished, func(st FileState) bool {
			return st.Offset > 0 && st.MTime == sib.mtime && sib.mtime%int64(time.Second) != 0
		})
	}
	if t.isBeingRead(p, nil, file, sibling{sib.path, info}) {
		return nil, true
	}
	st, read = p.finishedContent(file, info.size)
	if read && st.Offset == info.size {
		return nil, true
	}
	return st, read
}

// isBeingRead reports whether r, the content of sib, whose size is that of r, is read from another file of p than self, or will be.
func (t *Tailer) isBeingRead(p *watchedPath, self *logFile, r io.ReaderAt, sib sibling) bool {
	if slices.ContainsFunc(p.files, func(f *logFile) bool { return f != self && f.reads(r, sib) }) {
		return true
	}
	file, info, err := openRegular(p.path)
	if err != nil {
		return false
	}
	defer closeRead(file)
	return sib.size <= info.size && samePrefix(r, file, sib.size) && sib.mayCopy(info.id)
}

// finishedContent looks for r, a content that size bytes of are there, among those of p that were read to their end. It returns how far: less than
// size if more was written since.
func (p *watchedPath) finishedContent(r io.ReaderAt, size int64) (st *FileState, ok bool) {
	for _, st := range slices.Backward(p.finished) {
		if st.Offset == 0 || st.Head.Len == 0 || !st.matches(r, size) {
			continue
		}
		if info, err := statPath(st.Real); err == nil && info.id == st.At && size > st.Offset { // both are there: they only begin alike
			continue
		}
		return &st, true
	}
	return nil, false
}

// reads reports whether all of r, the content of sib, is in f.
func (f *logFile) reads(r io.ReaderAt, sib sibling) bool {
	if f.Head.Len == 0 || !f.matches(r, sib.size) || !sib.mayCopy(f.ID) {
		return false
	}
	if f.file == nil {
		return f.begun()
	}
	info, err := statFile(f.file)
	return err == nil && sib.size <= info.size && samePrefix(r, f.file, sib.size)
}

// mayCopy reports whether sib may be a copy of the file id: it was written after that was made.
func (s sibling) mayCopy(id FileID) bool { return s.writtenUntil() >= id.Birth }

// samePrefix compares the first and the last bytes of the first size bytes of two contents.
func samePrefix(a, b io.ReaderAt, size int64) bool {
	n := min(fingerprintLen, size)
	for _, offset := range []int64{0, size - n} {
		of, errA := fingerprintAt(a, offset, n)
		other, errB := fingerprintAt(b, offset, n)
		if errA != nil || errB != nil || of != other {
			return false
		}
	}
	return true
}

// rememberRotations remembers the rotations of p that are there when it is first followed, and whose end is the end of what is skipped: packed
// later, they are not taken for new.
func (t *Tailer) rememberRotations(p *watchedPath) {
	const newest = 3
	dir, base := filepath.Dir(p.path), filepath.Base(p.path)
	var found []sibling
	for _, name := range t.folderOf(dir, maxSiblings).byBase[base] {
		path := filepath.Join(dir, name)
		if name == base || !isNumbered(path, p.path) {
			continue
		}
		if info, err := statPath(path); err == nil && t.owner(info.id, path) == nil {
			found = append(found, sibling{path, info})
		}
	}
	sortRotations(found, p.path)
	for _, sib := range found[max(0, len(found)-newest):] {
		if st, ok := readThrough(sib); ok {
			p.finished = append(p.finished, st)
			t.owners[st.ID] = p
		}
	}
}

// readThrough returns the state of a plain file that was read to its end.
func readThrough(sib sibling) (st FileState, ok bool) {
	file, info, err := openRegular(sib.path)
	if err != nil || info.size == 0 || info.id != sib.id {
		return st, false
	}
	defer closeRead(file)
	if sniff(file) != "" {
		return st, false
	}
	st, err = stateThrough(file, info.size)
	st.ID, st.At, st.Real, st.MTime, st.Done = info.id, info.id, resolve(sib.path), info.mtime, true
	return st, err == nil
}

// stateThrough returns the part of a state that tells the content r, read up to offset.
func stateThrough(r io.ReaderAt, offset int64) (st FileState, err error) {
	first := make([]byte, min(offset, fingerprintLen))
	if _, err = io.ReadFull(io.NewSectionReader(r, 0, int64(len(first))), first); err != nil {
		return st, err
	}
	st.Head, st.Offset, st.Size = headFingerprint(first), offset, offset
	st.Tail, err = tailFingerprint(r, offset)
	return st, err
}

// kindAt is sniff for the file at path.
func kindAt(path string) string {
	file, _, err := openRegular(path)
	if err != nil {
		return ""
	}
	defer closeRead(file)
	return sniff(file)
}

// sameBytes compares the first and the last bytes of two files up to size.
func sameBytes(pathA, pathB string, size int64) bool {
	var files [2]*os.File
	for i, path := range []string{pathA, pathB} {
		file, _, err := openRegular(path)
		if err != nil {
			return false
		}
		defer closeRead(file) //nolint:gocritic // two files, until the comparison is made
		files[i] = file
	}
	return samePrefix(files[0], files[1], size)
}

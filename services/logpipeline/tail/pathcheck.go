package tail

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// checkPath compares the file under the path of p with the one followed.
func (t *Tailer) checkPath(p *watchedPath) {
	t.markChanged(p)
	defer func() { p.checkedAt = time.Now() }()
	for _, f := range p.files {
		p.pending = p.pending || f.skipped > maxSkipped
		f.skipped = 0
	}
	if !p.spool {
		t.resumeLateWrites(p)
	}
	info, err := statPath(p.path)
	if err != nil {
		t.setFault(p, err)
		t.pathAbsent(p, err)
		p.pending = p.pending || len(p.files) > 0
		return
	}
	p.absentSince = time.Time{}
	t.pathPresent(p, info)
	f := p.current()
	if len(p.files) != 1 || f == nil || info.size != f.Offset || info.mtime != f.MTime || p.spool {
		p.contentMayHaveChanged()
		return
	}
	f.sameAt = time.Now()
}

// pathPresent handles the regular file info under the path of p.
func (t *Tailer) pathPresent(p *watchedPath, info fileInfo) {
	f := p.current()
	if f == nil && p.noText.id == info.id && info.size >= p.noText.size && info.size > 0 {
		return
	}
	if f != nil && f.At == info.id {
		if f.file != nil {
			p.clearFault()
		}
		return
	}
	if owner := t.owner(info.id, p.path); owner != nil && owner != p { // read under another path
		p.clearFault()
		p.skipExisting = false
		if f != nil {
			t.rotateAway(p, f)
		}
		return
	}
	if f == nil {
		if t.resumeFile(p, info) {
			return
		}
		if !p.skipExisting && (t.adoptRotation(p, info) || t.isRotationOfFollowed(p, info)) {
			p.clearFault()
			return
		}
	} else {
		if t.continueInReplacement(p, f, info) {
			return
		}
		t.rotations++
		t.rotateAway(p, f)
	}
	if latest := p.latest(); latest != nil {
		t.queueUnseen(p, latest, nil)
	}
	t.startFile(p)
	t.forgetFinished(p)
}

// pathAbsent handles a path under which there is nothing to follow. After an error that
// does not say so the file may well be there: then nothing happens.
func (t *Tailer) pathAbsent(p *watchedPath, err error) {
	p.skipExisting = false
	if !errors.Is(err, fs.ErrNotExist) && !isRefused(err) {
		return
	}
	if f := p.current(); f != nil {
		t.rotateAway(p, f)
	}
	if p.absentSince.IsZero() {
		p.absentSince, p.absentSeen = time.Now(), 0
	}
	if folder, err := os.Stat(filepath.Dir(p.path)); err == nil && folder.ModTime().UnixNano() != p.absentSeen {
		p.absentSeen = folder.ModTime().UnixNano()
		if latest := p.latest(); latest != nil {
			t.queueUnseen(p, latest, nil)
		}
	}
	literal := slices.Contains(t.cfg.Paths, p.path)
	if literal && p.latest() == nil {
		p.waitingSince = time.Now().Add(-clockSlack).UnixNano()
	}
	if literal && p.hadFile() && errors.Is(err, fs.ErrNotExist) && time.Since(p.absentSince) > goneAfter*t.cfg.Poll {
		p.missing, p.fault = false, fault{"gone", p.path + " was followed and is gone: no file has been there for a while"}
	}
	if p.taken == 0 && (p.spool || !literal && len(p.files) == 0 && time.Since(p.absentSince) > forgetAfter) {
		t.removePath(p)
	}
}

// startFile starts to read the file under the path of p.
func (t *Tailer) startFile(p *watchedPath) {
	file, info, err := openRegular(p.path)
	if err != nil {
		t.setFault(p, err)
		t.startUnreadable(p, err)
		return
	}
	latest := p.latest()
	if t.refuseContent(p, info, sniff(file)) {
		closeRead(file)
		return
	}
	f := newFile(info, resolve(p.path), following)
	f.noHistory = !p.hadFile()
	switch {
	case latest != nil:
		f.MTime = latest.MTime // copies made since are of this file
	case !p.skipExisting:
		f.MTime = info.id.Birth
	}
	if p.skipExisting {
		if latest == nil {
			t.rememberRotations(p)
		}
		if err := f.seekEnd(p, file, info.size, t.cfg.MaxLine); err != nil {
			t.setFault(p, err)
			closeRead(file)
			return
		}
	}
	p.skipExisting = false
	t.enqueue(p, f, nil)
	t.useOpenFile(p, f, file, info)
}

// refuseContent reports whether the file info under the path of p is not followed because its content is of a kind that is no text. After text
// nothing is taken for binary: a line that somebody gets into a new file hides none of the others.
func (t *Tailer) refuseContent(p *watchedPath, info fileInfo, kind string) bool {
	if p.spool || kind == "" || kind == kindBinary && p.hadFile() {
		return false
	}
	p.noText, p.skipExisting = info, false
	if isCompressedKind(kind) && t.rotationBase(p) != nil {
		p.clearFault() // it is read as a rotation if it was not before
		return true
	}
	t.setFault(p, refuseContent(p.path, kind))
	return true
}

// refuseUnread stops following f, which begins with data, if that is no text.
func (t *Tailer) refuseUnread(p *watchedPath, f *logFile, data []byte) bool {
	kind := kindOfContent(data[:min(len(data), sniffBytes)])
	if f.begun() || f.rotation != following || kind == "" || kind == kindBinary && !f.noHistory {
		return false
	}
	t.closeFile(f)
	p.files = slices.DeleteFunc(p.files, func(other *logFile) bool { return other == f })
	t.disown(p, f.FileState)
	return t.refuseContent(p, fileInfo{id: f.At, size: f.size}, kind)
}

// startUnreadable remembers how long a file was that may not be read at the first
// start: once it may, its old lines are not read as new ones.
func (t *Tailer) startUnreadable(p *watchedPath, err error) {
	info, statErr := statPath(p.path)
	if !p.skipExisting || statErr != nil || !os.IsPermission(err) {
		return
	}
	f := newFile(info, resolve(p.path), following)
	f.Offset = info.size
	p.skipExisting = false
	t.enqueue(p, f, nil)
}

// isRotationOfFollowed reports whether the file info, which appeared under the path of p,
// is read, or was, under the path it had before a rotation, or is a copy being made by a
// rotation program that is about to truncate the original. If it turns out to be a log
// of its own, a later check says so.
func (t *Tailer) isRotationOfFollowed(p *watchedPath, info fileInfo) bool {
	base := t.rotationBase(p)
	if base == nil {
		return false
	}
	t.markChanged(base)
	t.checkContentBeforeCopy(p, base)
	if t.owner(info.id, p.path) != nil {
		return true
	}
	f := base.current()
	if f == nil {
		return false
	}
	now, err := statPath(base.path)
	if err != nil {
		return false
	}
	if !f.matchesPath(base.path) {
		return f.Offset > 0 && f.matchesPath(p.path) // truncated, and not yet noticed
	}
	return info.size <= now.size && sameBytes(p.path, base.path, info.size)
}

// checkContentBeforeCopy checks whether the current file of base was truncated, before
// p, its rotation by name, is taken for a log of its own.
func (t *Tailer) checkContentBeforeCopy(p, base *watchedPath) {
	f := base.current()
	if f == nil || !isNumbered(p.path, base.path) || !t.ensureOpen(base, f) {
		return
	}
	info, err := statFile(f.file)
	if err != nil {
		return
	}
	if !f.matches(f.file, info.size) {
		t.contentChanged(base, f)
		return
	}
	f.copiesSought = 0
	t.queueCopiesBeforeFirstByte(base, f, info.mtime)
	base.pending = true
}

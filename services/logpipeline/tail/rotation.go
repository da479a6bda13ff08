package tail

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/sirupsen/logrus"
)

// rotationState says where the bytes of a logFile are and when it is done.
//
//	state      event                                        function               next state
//	-          a file is found under the path               startFile              following
//	-          files were rotated away unseen               queueUnseenRotations   rotated, for each
//	following  another file, or none, is under the path     rotateAway             rotated
//	following  another inode with the same content is       continueInReplacement  following
//	             under the path, and the old one nowhere
//	following  changed before its first byte was read:      queueUnseenCopies      following, and copied for
//	             contents came and went                                              each content in a copy
//	following  content changed (truncated, written again),  contentChanged         following, from 0,
//	             and the old content is in a copy                                    and copied
//	following  ... and the old content is in no copy        contentChanged         following, rest counted as lost
//	rotated    content changed                              contentChanged         the same, but rotated
//	rotated    under its path again                         resumeFile             following
//	rotated    under no name any more, but there is a copy  rotatedFileGone        copied
//	rotated    ... and there is a compressed copy (.gz)     rotatedFileGone        unpacking
//	rotated    ... and there is no copy                     rotatedFileGone        finished, rest counted as lost
//	rotated    at its end, unchanged for Config.Linger      finishFile             finished
//	unpacking  unpacked, and continues what was read        unpackNext             copied
//	unpacking  unpacked, and does not, or is damaged        unpackNext             rotated, other copies are tried
//	copied     at its end                                   finishFile             finished
//	copied     changed                                      contentChanged         finished, rest counted as lost
//	copied     gone                                         rotatedFileGone        finished, rest counted as lost
//	copied     compressed, after a restart                  ensureOpen             unpacking
//	finished   under its path again                         resumeFile             following
//	finished   not in its folder any more                   forgetFinished         -
//
// Events come from checkPath (a poll or a watch event compares the file under the path
// with the one followed) and from readFile (a read compares the content with the
// fingerprints). Spool files are never rotated: they are finished at their end once
// there is a later one.
type rotationState int

const (
	following rotationState = iota // found under its path, the last of watchedPath.files
	rotated                        // not under its path any more: read to its end, with time for late writes
	copied                         // read from a copy, which is complete from the start
	unpacking                      // its compressed copy is unpacked, a step between reads of other files
	finished                       // read to its end, or given up: only its FileState is kept
)

const (
	// minReplacementBytes is how much of a file must have been read before another file
	// with the same content takes its place (a new inode after a remount, an
	// editor that writes a new file). Less could be two files that only begin alike.
	minReplacementBytes = 1024
	// maxUnfinished bounds the unfinished files of one path.
	maxUnfinished = 256
	// forgetAfter is how long a path that only a pattern named may be absent.
	forgetAfter = 10 * time.Minute
	// clockSlack is more than the clock of a filesystem may be behind the system's.
	clockSlack = 20 * time.Millisecond
)

// checkPath compares the file under the path of p with the one followed.
func (t *Tailer) checkPath(p *watchedPath) {
	t.markChanged(p)
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
	}
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
		p.absentSince = time.Now()
		if latest := p.latest(); latest != nil {
			t.queueUnseen(p, latest, nil)
		}
	}
	literal := slices.Contains(t.cfg.Paths, p.path)
	if literal && p.latest() == nil {
		p.waitingSince = time.Now().Add(-clockSlack).UnixNano()
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
	if f.Offset > 0 || f.Head.Len > 0 || f.rotation != following || kind == "" || kind == kindBinary && !f.noHistory {
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

// rotateAway takes f, which is not found under its path any more, as rotated. That it
// was truncated before shows in its content.
func (t *Tailer) rotateAway(p *watchedPath, f *logFile) {
	f.rotation = rotated
	p.pending = true
	if !t.ensureOpen(p, f) || f.Head.Len == 0 || f.rotation != rotated {
		return
	}
	if info, err := statFile(f.file); err == nil && !f.matches(f.file, info.size) {
		t.contentChanged(p, f)
	}
}

// continueInReplacement lets f go on in info, the file under the path now, if that holds
// the same content and f itself is nowhere.
func (t *Tailer) continueInReplacement(p *watchedPath, f *logFile, info fileInfo) bool {
	if f.file != nil || f.Offset < minReplacementBytes {
		return false
	}
	if file, old, err := openLocated(t.locate(p, f), f); err == nil {
		t.useOpenFile(p, f, file, old)
		return false
	}
	if !f.matchesPath(p.path) {
		return false
	}
	f.At, f.Real = info.id, resolve(p.path)
	t.own(p, f)
	t.logFor(p).Info("file replaced by one with the same content")
	return true
}

// contentChanged handles a file that was truncated or written again: the unread rest of
// the old content is in a copy, or lost.
func (t *Tailer) contentChanged(p *watchedPath, f *logFile) {
	t.rotations++
	if f.rotation == copied {
		t.countLost(p, LostRotated, f.lag())
		t.finishFile(p, f)
		return
	}
	old := &logFile{FileState: f.FileState, rotation: rotated}
	old.At, old.Gens = FileID{}, slices.Clone(f.Gens)
	old.setPrefix(p)
	if t.continueElsewhere(p, old) {
		t.enqueue(p, old, f)
	} else {
		if f.restored {
			t.unknownLoss(p, f)
		}
		t.countLost(p, LostTruncated, f.unread())
	}
	t.queueUnseen(p, f, f)
	f.forgetContent()
	if info, err := statFile(f.file); err == nil {
		f.MTime, f.size = info.mtime, info.size
	}
	t.forgetFinished(p)
}

// queueUnseen queues the contents that came and went since latest, before next, or as the last ones if next is nil.
func (t *Tailer) queueUnseen(p *watchedPath, latest, next *logFile) {
	if base := t.rotationBase(p); p.spool || base != nil && isNumbered(p.path, base.path) { // a rotation itself, packed later
		return
	}
	for _, sib := range t.unseenRotations(p, latest) {
		t.queueFile(p, sib, next)
	}
}

// queueFile queues what was not read of sib, before next, or as the last one if next is nil.
func (t *Tailer) queueFile(p *watchedPath, sib sibling, next *logFile) {
	st, read := t.readOf(p, sib)
	if read && st == nil {
		return
	}
	f := newFile(sib.fileInfo, resolve(sib.path), rotated)
	if st != nil {
		f.ID, f.Offset, f.Head, f.Tail, f.Gens, f.Form, f.Skip = st.ID, st.Offset, st.Head, st.Tail, slices.Clone(st.Gens), st.Form, st.Skip
		f.setPrefix(p)
	}
	t.enqueue(p, f, next)
}

// adoptRotation has the file info, which was not there before and whose path, that of p, says that it is a rotation of another path, read under that
// one. It reports whether it did, or that was read already.
func (t *Tailer) adoptRotation(p *watchedPath, info fileInfo) bool {
	base := t.rotationBase(p)
	if base == nil || !isNumbered(p.path, base.path) {
		return false
	}
	t.checkPath(base)
	t.checkContentBeforeCopy(p, base)
	if t.owner(info.id, p.path) != nil {
		return true
	}
	sib := sibling{p.path, info}
	if !base.hadFile() || info.id.Birth < t.since || sib.writtenUntil() < t.since {
		return false
	}
	t.markChanged(base)
	t.queueFile(base, sib, base.current())
	return true
}

// queueCopiesBeforeFirstByte queues the contents that f had and lost before its first byte
// was read: copies that are younger than f. No fingerprint can miss, so it searches each
// time f has changed. It reports whether there are any.
func (t *Tailer) queueCopiesBeforeFirstByte(p *watchedPath, f *logFile, mtime int64) bool {
	if f.copiesSought == mtime || f.rotation != following || f.Offset > 0 || p.spool || f.At.Birth == 0 {
		return false
	}
	f.copiesSought = mtime
	n := len(p.files)
	t.queueUnseen(p, f, f)
	return len(p.files) > n
}

// enqueue adds f to the unfinished files of p, before the file next, or as the last one
// if next is nil. Beyond maxUnfinished the oldest is lost.
func (t *Tailer) enqueue(p *watchedPath, f, next *logFile) {
	at := len(p.files)
	if next != nil {
		at = max(0, slices.Index(p.files, next))
	}
	t.own(p, f)
	p.files = slices.Insert(p.files, at, f)
	p.pending = true
	for len(p.files) > maxUnfinished {
		t.countLost(p, LostRotated, p.files[0].lag())
		t.finishFile(p, p.files[0])
	}
}

// resumeFile continues with the file info, which is back under the path of p: it was
// rotated or finished.
func (t *Tailer) resumeFile(p *watchedPath, info fileInfo) bool {
	for i, f := range p.files {
		if f.At == info.id {
			p.files = append(slices.Delete(p.files, i, i+1), f)
			t.stopUnpacking(f)
			f.rotation = following
			return true
		}
	}
	i := slices.IndexFunc(p.finished, func(st FileState) bool { return st.At == info.id })
	if i < 0 {
		return false
	}
	if p.spool && info.size <= p.finished[i].Offset {
		return true
	}
	f := &logFile{FileState: p.finished[i]}
	f.Done = false
	f.setPrefix(p)
	p.finished = slices.Delete(p.finished, i, i+1)
	p.files = append(p.files, f)
	return true
}

// rotatedFileGone handles a file that is under no name any more. It reports whether it
// continues in a copy that can be opened; if there is no copy, the rest of it is lost.
func (t *Tailer) rotatedFileGone(p *watchedPath, f *logFile) bool {
	if t.continueElsewhere(p, f) {
		return true
	}
	if f.restored || f.Head.Len == 0 && f.Size > 0 { // it may have grown before it went
		t.unknownLoss(p, f)
	}
	t.countLost(p, LostRotated, f.unread())
	t.finishFile(p, f)
	return false
}

// complete reports whether f, which is at its end, will not grow any more.
func (t *Tailer) complete(p *watchedPath, f *logFile) bool {
	switch {
	case p.spool:
		return !p.newestSpool
	case f.rotation == rotated:
		if f.quietSince.IsZero() {
			f.quietSince = time.Now()
		}
		wait := t.cfg.Linger - time.Since(f.quietSince)
		if due := time.Now().Add(wait); wait > 0 && (t.nextRelease.IsZero() || due.Before(t.nextRelease)) {
			t.nextRelease = due
		}
		return wait <= 0
	default:
		return f.rotation == copied
	}
}

// releaseRotated has the rotated files looked at whose time for late writes is over.
func (t *Tailer) releaseRotated() {
	if t.nextRelease.IsZero() || time.Now().Before(t.nextRelease) {
		return
	}
	t.nextRelease = time.Time{}
	for _, p := range t.order {
		p.pending = p.pending || slices.ContainsFunc(p.files, func(f *logFile) bool { return f.rotation == rotated })
	}
}

// resumeLateWrites takes files up again that have grown since they were finished, if they are where they were: their writer was told late of
// the rotation, or never.
func (t *Tailer) resumeLateWrites(p *watchedPath) {
	const latest = 3
	for _, st := range slices.Clone(p.finished[max(0, len(p.finished)-latest):]) {
		if st.Packed || st.At != st.ID || st.Real == "" || st.Real == p.path {
			continue
		}
		info, err := statPath(st.Real)
		if err != nil || info.id != st.At || info.size <= st.Offset {
			continue
		}
		p.finished = slices.DeleteFunc(p.finished, func(other FileState) bool { return other.ID == st.ID && other.At == st.At })
		f := &logFile{FileState: st, rotation: rotated, size: info.size}
		f.Done = false
		f.setPrefix(p)
		var first *logFile
		if len(p.files) > 0 {
			first = p.files[0]
		}
		t.enqueue(p, f, first)
	}
}

// finishFile ends the reading of f.
func (t *Tailer) finishFile(p *watchedPath, f *logFile) {
	if f.rotation == rotated && !p.spool {
		f.Real = t.locate(p, f) // where late writes to it are seen
	}
	t.closeFile(f)
	f.rotation, f.Done = finished, true
	p.finished = append(p.finished, f.FileState)
	p.files = slices.DeleteFunc(p.files, func(x *logFile) bool { return x == f })
}

// forgetFinished forgets finished files that are not in the folder any more, but for some: by those it is known what a compressed file holds, and
// by the time of the last one what is newer.
func (t *Tailer) forgetFinished(p *watchedPath) {
	const keepGone = 6
	if len(p.finished) <= keepGone {
		return
	}
	last := p.finished[len(p.finished)-1]
	present := map[FileID]bool{}
	for _, sib := range t.rotationsOf(p, &logFile{FileState: last}) {
		present[sib.id] = true
	}
	kept := 0
	for i, st := range slices.Backward(p.finished) {
		if present[st.At] {
			continue
		}
		if kept++; kept > keepGone {
			p.finished = slices.Delete(p.finished, i, i+1)
			t.disown(p, st)
		}
	}
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

// unknownLoss notes that f is gone or was written anew while nothing was read: what it grew by before that is not known. Spool files
// are removed by us.
func (t *Tailer) unknownLoss(p *watchedPath, f *logFile) {
	if p.spool {
		return
	}
	t.lostUnknown(p, fmt.Sprintf("%s was removed or written anew while it was not read, found at %s: lines after its byte %d may be lost, how many is unknown",
		p.path, time.Now().UTC().Format(time.RFC3339), max(f.Offset, f.Size)))
}

// lostUnknown notes a loss of unknown size, which text tells.
func (t *Tailer) lostUnknown(p *watchedPath, text string) {
	t.lostFiles++
	t.unknown.add(text, time.Now())
	t.tellLoss(p, "lost_files_unread", 1)
	t.logFor(p).WithField("what", text).Error("log lines may be lost")
}

func (t *Tailer) tellLoss(p *watchedPath, cause string, n int64) {
	if t.cfg.OnLoss != nil && n > 0 {
		t.cfg.OnLoss(p.path, p.spool, cause, n)
	}
}

// countLost counts bytes that cannot be read any more and logs them.
func (t *Tailer) countLost(p *watchedPath, reason string, n int64) {
	t.lost[reason] += n
	p.read += n
	t.losses.Add(reason, p.path, n, time.Now())
	t.tellLoss(p, "lost_bytes_"+reason, n)
	entry := t.logFor(p).WithFields(logrus.Fields{"reason": reason, "bytes": n})
	if n > 0 {
		entry.Warn("log bytes lost")
		return
	}
	entry.Debug("log file gone")
}

func (t *Tailer) logFor(p *watchedPath) logrus.FieldLogger { return t.log.WithField("path", p.path) }

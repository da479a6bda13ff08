package tail

import (
	"slices"
	"time"
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
//	rotated    ... and another file has its content         takeOver               -, that one goes on where it was
//	rotated    ... and a compressed file is not unpacked    hasUndecided           rotated, until it is known what is in it
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
	// goneAfter is how many times Config.Poll a path that the operator named may be absent, after there was a file, without being told: some
	// programs make a new file late after a rotation.
	goneAfter = 60
	// clockSlack is more than the clock of a filesystem may be behind the system's.
	clockSlack = 20 * time.Millisecond
)

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
	if f.file != nil || f.Offset < minReplacementBytes || t.locate(p, f) != "" || !f.matchesPath(p.path) {
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
	old.At = FileID{}
	old.setPrefix(p)
	if t.continueElsewhere(p, old) {
		t.enqueue(p, old, f)
	} else {
		if f.restored || time.Since(f.sameAt) > 2*t.pollInterval() && !t.isThere(p, f.FileState) {
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
	n := len(p.files)
	for _, sib := range t.unseenRotations(p, latest) {
		t.queueFile(p, sib, next)
	}
	away := p.restoredAtEnd || !p.checkedAt.IsZero() && time.Since(p.checkedAt) > 2*t.pollInterval()
	p.restoredAtEnd = false
	known := latest.FileState
	if last := len(p.finished) - 1; known.Head.Len == 0 && last >= 0 {
		known = p.finished[last]
	}
	if away && len(p.files) > n && known.Head.Len > 0 && !t.isThere(p, known) { // others may have come after it, and went as it did
		t.unknownLoss(p, &logFile{FileState: known})
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
		at, mtime := f.At, f.MTime
		f.FileState = *st
		f.At, f.MTime, f.Real, f.Done, f.Packed, f.Copy = at, mtime, resolve(sib.path), false, false, false
		f.setPrefix(p)
	}
	if st == nil {
		f.identifyAt(sib)
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
		if p.files[0].Head.Len == 0 {
			t.unknownLoss(p, p.files[0])
		}
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
	if p.isElsewhere(f) {
		t.finishFile(p, f)
		return false
	}
	if t.continueElsewhere(p, f) {
		return true
	}
	if t.hasUndecided(p, f) {
		return false
	}
	if f.restored || f.Head.Len == 0 { // it may have grown before it went, or how much is in it was not seen
		t.unknownLoss(p, f)
	}
	t.countLost(p, LostRotated, f.unread())
	t.finishFile(p, f)
	return false
}

// hasUndecided reports whether a compressed file that another one than f is to continue in is not unpacked yet: it may be that of f.
func (t *Tailer) hasUndecided(p *watchedPath, f *logFile) bool {
	return slices.ContainsFunc(p.files, func(other *logFile) bool {
		return other != f && other.file == nil && other.rotation != following && (other.At != other.ID || other.Packed || other.rotation == unpacking) && t.locate(p, other) != ""
	})
}

package tail

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"

	"github.com/sirupsen/logrus"
)

const (
	// adoptBytes is how much of a file must have been read before another file
	// with the same content takes its place (a new inode after a remount, an
	// editor that writes anew). Less could be two files that only begin alike.
	adoptBytes = 1024
	// maxQueue bounds the unfinished files of one path.
	maxQueue = 256
)

// restart deals with a file that is not the content it was: what we had not read
// of the old content is in a copy, or lost.
func (t *Tailer) restart(f *follow, s *source) {
	t.rotations++
	if s.rotated && s.At != s.ID {
		t.lose(f, LostRotated, s.lag()) // a copy that changed under our hands
		t.retire(f, s)
		return
	}
	old := &source{FileState: s.FileState, rotated: true}
	if sib, ok := t.copyOf(f, s); ok {
		old.At, old.Real, old.size = sib.in.id, resolve(sib.path), sib.in.size
		old.name()
		t.own(f, old.FileState)
		t.insert(f, old, s)
	} else {
		t.lose(f, LostTruncated, s.unread())
	}
	t.insertCopies(f, s)
	s.restart()
	if in, err := lookFile(s.file); err == nil {
		s.MTime, s.size = in.mtime, in.size
	}
	f.dirty = true
}

// unread is what was seen of the old content beyond the place reached.
func (s *source) unread() int64 { return max(0, s.known-s.Offset) }

// insertCopies queues copies of contents that came and went unseen. They are
// named after the file they are copies of, as if we had been there.
func (t *Tailer) insertCopies(f *follow, s *source) {
	for _, sib := range t.unseen(f, s) {
		c := &source{FileState: FileState{ID: s.ID, At: sib.in.id, Real: resolve(sib.path), MTime: sib.in.mtime, Gens: s.Gens}, rotated: true, size: sib.in.size}
		first, err := firstBytes(sib.path)
		if err != nil || len(first) == 0 {
			continue
		}
		c.begin(first)
		s.Gens = slices.Clone(c.Gens)
		t.own(f, c.FileState)
		t.insert(f, c, s)
	}
}

func firstBytes(path string) ([]byte, error) {
	file, _, err := open(path)
	if err != nil {
		return nil, err
	}
	defer release(file)
	b := make([]byte, printLen)
	n, err := file.ReadAt(b, 0)
	if isEOF(err) {
		err = nil
	}
	return b[:n], err
}

// insert queues s before next.
func (t *Tailer) insert(f *follow, s, next *source) {
	i := max(0, slices.Index(f.queue, next))
	f.queue = slices.Insert(f.queue, i, s)
	for len(f.queue) > maxQueue {
		t.lose(f, LostRotated, f.queue[0].lag())
		t.retire(f, f.queue[0])
	}
}

// replace deals with another file, in, under the path of f.
func (t *Tailer) replace(f *follow, in info) {
	if s := f.current(); s != nil {
		if t.adopt(f, s, in) {
			return
		}
		t.rotations++
		t.displace(f, s)
	}
	if latest := f.newest(); latest != nil {
		t.insertRotated(f, latest, in)
	}
	t.begin(f)
	t.prune(f)
}

// sweep looks for contents that a file had and lost before their first byte was
// read: copies that are younger than the file. There is no fingerprint to miss, so
// it is done each time such a file has changed.
func (t *Tailer) sweep(f *follow, s *source, now info) bool {
	if s.novel || s.swept == now.mtime || s.rotated || s.Offset > 0 || f.spool || s.At.Birth == 0 {
		return false
	}
	s.swept = now.mtime
	n := len(f.queue)
	t.insertCopies(f, s)
	return len(f.queue) > n
}

// adopt lets s go on in a file that is not the same but holds the same.
func (t *Tailer) adopt(f *follow, s *source, in info) bool {
	if s.file != nil || s.Offset < adoptBytes {
		return false
	}
	if file, now, err := t.locate(f, s); err == nil {
		t.hold(f, s, file, now)
		return false
	}
	if !fitsPath(&s.FileState, f.path) {
		return false
	}
	s.At, s.Real = in.id, resolve(f.path)
	t.own(f, s.FileState)
	t.note(f).Info("file replaced by one with the same content")
	return true
}

// displace makes s a rotated file.
func (t *Tailer) displace(f *follow, s *source) {
	s.rotated = true
	f.dirty = true
	if !t.ensure(f, s) || s.Head.Len == 0 {
		return
	}
	if in, err := lookFile(s.file); err == nil && !s.fits(s.file, in.size) {
		t.restart(f, s)
	}
}

// missing looks for a copy of a rotated file that is gone. Without one, what was
// not read of it is lost, and it reports false.
func (t *Tailer) missing(f *follow, s *source) bool {
	if s.At == s.ID {
		if sib, ok := t.copyOf(f, s); ok {
			s.At, s.Real = sib.in.id, resolve(sib.path)
			t.own(f, s.FileState)
			return true
		}
	}
	if t.unpacked(f, s) {
		return true
	}
	t.lose(f, LostRotated, max(s.unread(), t.compressed(f, s)))
	t.retire(f, s)
	return false
}

// compressed returns how many bytes of s the oldest compressed rotation newer than
// our place holds beyond it, 0 if there is none. The size is that of the gzip
// trailer (RFC 1952, 2.3.1).
func (t *Tailer) compressed(f *follow, s *source) int64 {
	for _, sib := range t.siblings(f, s) {
		if sib.in.mtime < s.MTime || !isRotationOf(sib.path, f.path) || filepath.Ext(sib.path) != ".gz" || sib.in.size < 18 {
			continue
		}
		if size, err := unpackedSize(sib.path); err == nil {
			return max(0, size-s.Offset)
		}
	}
	return 0
}

// unpackedSize reads the trailer of a gzip file.
func unpackedSize(path string) (int64, error) {
	file, in, err := open(path)
	if err != nil {
		return 0, err
	}
	defer release(file)
	var trailer [4]byte
	_, err = file.ReadAt(trailer[:], in.size-int64(len(trailer)))
	return int64(binary.LittleEndian.Uint32(trailer[:])), err
}

// insertRotated queues files that were rotated away after latest and before now;
// what is younger than now is a copy of it.
func (t *Tailer) insertRotated(f *follow, latest *source, now info) {
	for _, sib := range t.unseen(f, latest) {
		if sib.in.id.Birth > now.id.Birth {
			continue
		}
		s := newSource(sib.in, resolve(sib.path))
		s.rotated = true
		t.own(f, s.FileState)
		f.queue = append(f.queue, s)
	}
}

// newest returns the last file of f, as a source that is not queued if it is
// finished, or if all that is known is since when a file was waited for.
func (f *follow) newest() *source {
	if n := len(f.queue); n > 0 {
		return f.queue[n-1]
	}
	if n := len(f.done); n > 0 {
		return &source{FileState: f.done[n-1]}
	}
	if f.since > 0 {
		return &source{FileState: FileState{MTime: f.since, At: FileID{Birth: f.since}}}
	}
	return nil
}

// prune forgets finished files that are not in the folder any more. The last one
// stays: what came after it is told by its time.
func (t *Tailer) prune(f *follow) {
	if len(f.done) < 2 {
		return
	}
	last := f.done[len(f.done)-1]
	here := map[FileID]bool{last.At: true}
	for _, sib := range t.siblings(f, &source{FileState: last}) {
		here[sib.in.id] = true
	}
	f.done = slices.DeleteFunc(f.done, func(d FileState) bool {
		if !here[d.At] {
			delete(t.owners, d.At)
		}
		return !here[d.At]
	})
}

// lose counts bytes nobody will read, and says so.
func (t *Tailer) lose(f *follow, reason string, n int64) {
	t.lost[reason] += n
	entry := t.note(f).WithFields(logrus.Fields{"reason": reason, "bytes": n})
	if n > 0 {
		entry.Warn("log bytes lost")
		return
	}
	entry.Debug("log file gone")
}

func (t *Tailer) note(f *follow) logrus.FieldLogger { return t.log.WithField("path", f.path) }

// begin starts to read what is under the path of f now.
func (t *Tailer) begin(f *follow) {
	file, in, err := open(f.path)
	if err != nil {
		f.fault(err)
		t.beginUnreadable(f, err)
		return
	}
	s := newSource(in, resolve(f.path))
	past := f.newest()
	s.novel = past == nil
	switch {
	case !s.novel:
		s.MTime = past.MTime // copies made since are of this file
	case !f.atEnd:
		s.MTime = in.id.Birth
	}
	if f.atEnd {
		err = s.seekEnd(file, in.size, t.cfg.MaxLine)
	}
	if err != nil {
		f.fault(err)
		release(file)
		return
	}
	t.enqueue(f, s)
	t.hold(f, s, file, in)
}

// beginUnreadable remembers how long a file was that may not be read at the first
// start, so that its old lines are not news on the day it may.
func (t *Tailer) beginUnreadable(f *follow, err error) {
	in, lookErr := look(f.path)
	if !f.atEnd || lookErr != nil || in.kind != regular || !os.IsPermission(err) {
		return
	}
	s := newSource(in, resolve(f.path))
	s.Offset = in.size
	t.enqueue(f, s)
}

func (t *Tailer) enqueue(f *follow, s *source) {
	f.atEnd = false
	f.dirty = true
	t.own(f, s.FileState)
	f.queue = append(f.queue, s)
}

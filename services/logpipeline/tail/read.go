package tail

import (
	"cmp"
	"errors"
	"io"
	"time"
)

// readResult is how reading a chunk of one file went.
type readResult int

const (
	readMore    readResult = iota // there is more, now
	readToEnd                     // at the end, for now
	readChanged                   // it is not the content it was
	readFailed                    // it cannot be read now
	readLater                     // there is more, after the next poll
)

// maxSkipped is how many bytes without a line are read of one file between two polls: a file may hold any number of them.
const maxSkipped = bytesPerPass

// readPath reads one chunk of p, rotated files first, and reports whether there is more
// to read at once.
func (t *Tailer) readPath(p *watchedPath, b *batch) bool {
	t.markChanged(p)
	t.identifyWaiting(p)
	for i := 0; i < len(p.files); {
		f := p.files[i]
		switch t.readFile(p, f, b) {
		case readMore:
			return true
		case readChanged:
			t.contentChanged(p, f)
			return true
		case readToEnd:
			if t.complete(p, f) {
				if !t.flush(p, f, b) {
					return true
				}
				t.finishFile(p, f)
			}
		case readLater:
			return false
		case readFailed: // it may be finished: it is gone
		}
		if i < len(p.files) && p.files[i] == f {
			i++
		}
	}
	return false
}

// identifyWaiting takes fingerprints of the files that are not read before those that come first.
func (t *Tailer) identifyWaiting(p *watchedPath) {
	for _, f := range p.files[min(1, len(p.files)):] {
		if f.file == nil || f.begun() {
			continue
		}
		if info, err := statFile(f.file); err == nil && f.beginsLike(f.file, info.size) {
			_ = f.identify(f.file, info.size) // a read says why not
			f.Seen = info.mtime
		}
	}
}

// readFile reads the next chunk of f.
func (t *Tailer) readFile(p *watchedPath, f *logFile, b *batch) readResult {
	if !t.ensureOpen(p, f) {
		switch {
		case f.unpacker != nil:
			return t.unpackNext(p, f, b)
		case f.waits:
			return readLater
		}
		return readFailed
	}
	info, err := statFile(f.file)
	if err != nil {
		return t.readFailed(p, f, err)
	}
	if f.packed != nil {
		info.mtime, info.systemOwned = f.packed.mtime, f.packed.systemOwned
	}
	if info.size > f.size || info.mtime != f.MTime {
		f.quietSince = time.Time{}
	}
	f.size, f.systemOwned = info.size, info.systemOwned
	if info.size < f.Offset || !f.headVerified && !f.beginsLike(f.file, info.size) {
		return readChanged
	}
	f.headVerified, f.sameAt = true, time.Now()
	if err := f.identify(f.file, info.size); err != nil {
		return t.readFailed(p, f, err)
	}
	if t.queueCopiesBeforeFirstByte(p, f, info.mtime) {
		f.restored = false
		return readMore
	}
	if f.restored && info.size == 0 && info.mtime != cmp.Or(f.Seen, f.MTime) { // it grew, and was emptied
		t.unknownLoss(p, f)
	}
	f.Seen = info.mtime
	if info.size == f.Offset && info.mtime == f.MTime {
		f.restored = false
		t.closeIfTooMany(f)
		return readToEnd
	}
	// No more than this batch may have use for, and enough for the longest line.
	const bytesPerLine = 128 // a guess
	limit := min(len(t.buf)-fingerprintLen, max(2*t.maxLine(p), (b.limit-len(b.lines))*bytesPerLine))
	if f.skipped > maxSkipped {
		return readLater
	}
	if t.skipHole(p, f, info.size) {
		return readMore
	}
	data, result := t.readChunk(p, f, limit)
	if result != readToEnd {
		return result
	}
	if !f.begun() && t.refuseUnread(p, f, data) {
		return readFailed
	}
	f.restored = false
	end, lines := f.Offset+int64(len(data)), len(b.lines)
	t.consume(p, f, data, b, false)
	if f.skipped += int64(len(data)); len(b.lines) > lines {
		f.skipped = 0
	}
	if b.full() || len(data) == limit {
		return readMore
	}
	f.searched = end
	f.MTime = info.mtime
	t.closeIfTooMany(f)
	return readToEnd
}

// skipHole moves f to the end of the hole that it is at: as its bytes would be read as zeros, it holds no line. It reports whether it did.
func (t *Tailer) skipHole(p *watchedPath, f *logFile, size int64) bool {
	to := min(nextData(f.file, f.Offset, size), size)
	n := to - f.Offset
	if n <= int64(len(t.buf)) || !f.begun() {
		return false
	}
	tail, err := tailFingerprint(f.file, to)
	if err != nil {
		return false // a read says why
	}
	f.Offset, f.Tail = to, tail
	t.bytes += n
	p.read += n
	return true
}

// readChunk reads at most limit bytes of f into t.buf. The bytes under the fingerprint
// before them are read with the same call: a truncation between comparing and reading
// cannot go unseen.
func (t *Tailer) readChunk(p *watchedPath, f *logFile, limit int) ([]byte, readResult) {
	before := f.Tail.Len
	n, err := f.file.ReadAt(t.buf[:before+limit], f.Offset-int64(before))
	if n == 0 && err != nil && !errors.Is(err, io.EOF) {
		return nil, t.readFailed(p, f, err)
	}
	if n < before || fingerprintOf(t.buf[:before]) != f.Tail {
		return nil, readChanged
	}
	return t.buf[before:n], readToEnd
}

// consume turns data, which lies in t.buf behind the bytes of the fingerprint, into lines
// and takes the fingerprint of the bytes before the new place.
func (t *Tailer) consume(p *watchedPath, f *logFile, data []byte, b *batch, final bool) {
	before := f.Tail.Len
	used := t.split(p, f, data, b, final)
	if used == 0 {
		return
	}
	end := before + used
	f.Tail = fingerprintOf(t.buf[max(0, end-fingerprintLen):end])
	t.bytes += int64(used)
	p.read += int64(used)
	b.work += used
}

// flush makes a line of what f holds behind its last newline and reports whether all of
// it fitted into the batch. The torn end of a spool file is not a line.
func (t *Tailer) flush(p *watchedPath, f *logFile, b *batch) bool {
	if f.lag() == 0 {
		return true
	}
	if p.spool {
		t.countLost(p, LostTorn, f.lag())
		f.Offset, f.Tail, f.Skip = f.size, Fingerprint{}, false
		return true
	}
	data, result := t.readChunk(p, f, len(t.buf)-fingerprintLen)
	if result != readToEnd {
		return result == readFailed
	}
	t.consume(p, f, data, b, true)
	return f.lag() == 0
}

// readFailed reports why f cannot be read, and closes it: it is opened again.
func (t *Tailer) readFailed(p *watchedPath, f *logFile, err error) readResult {
	t.setFault(p, err)
	t.closeFile(f)
	return readFailed
}

package tail

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"time"
)

const (
	// maxOpen bounds the files kept open. Beyond it a file is opened for each read.
	maxOpen = 1000
)

// logFile is a file being read: the one found under its path, or one that was rotated
// and is not finished.
type logFile struct {
	FileState
	rotation     rotationState
	file         *os.File  // nil while it is closed
	size         int64     // at the last stat
	skipped      int64     // bytes read since the last line, or since the last poll
	searched     int64     // no line ends between Offset and here, as of the last read
	opened       bool      // once
	restored     bool      // from a saved state, and not compared with the file since
	backlog      int64     // end of the lines that may have been written any time ago
	headVerified bool      // the beginning was compared since the last change
	quietSince   time.Time // rotated and at its end since
	sameAt       time.Time // when its content was last seen to be the same
	systemOwned  bool      // at the last stat
	prefix       string    // first part of the positions of its lines
	noHistory    bool      // the first file of its path: nothing of it can have been copied away
	copiesSought int64     // mtime at which copies of unread contents were searched
	unpacker     *unpacker // while unpacking
	waits        bool      // for a place to be unpacked
	packed       *fileInfo // of the compressed file whose content file is
	rejected     []FileID  // compressed files that do not continue its content
}

// newFile returns a file of which nothing was read.
func newFile(info fileInfo, real string, rotation rotationState) *logFile {
	return &logFile{FileState: FileState{ID: info.id, At: info.id, Real: real, MTime: info.mtime}, size: info.size, rotation: rotation}
}

// lag is how many bytes were not read, as of the last stat.
func (f *logFile) lag() int64 { return max(0, f.size-f.Offset) }

// unread is how many bytes of the content, as last verified, were not read.
func (f *logFile) unread() int64 { return max(0, f.Size-f.Offset) }

// begun reports whether something of the content was read: then its first line is known.
func (f *logFile) begun() bool { return f.Offset > 0 }

// identify takes fingerprints of what was not read of a content of size bytes: by those it is found again when it is moved, copied or
// compressed, and told from another one that begins alike.
func (f *logFile) identify(r io.ReaderAt, size int64) error {
	if size == f.Size && (f.End.Len > 0 || size <= f.Offset) {
		return nil
	}
	if !f.begun() {
		first := make([]byte, min(size, fingerprintLen))
		if _, err := io.ReadFull(io.NewSectionReader(r, 0, int64(len(first))), first); err != nil {
			return err
		}
		f.Head = headFingerprint(first)
	}
	end := Fingerprint{}
	if size > f.Offset {
		var err error
		if end, err = tailFingerprint(r, size); err != nil {
			return err
		}
	}
	f.End, f.Size = end, size
	return nil
}

// identifyAt is identify for the content of sib, unless that is compressed: then its file says which it is.
func (f *logFile) identifyAt(sib sibling) {
	file, info, err := openRegular(sib.path)
	if err != nil {
		return // it is gone again
	}
	defer closeRead(file)
	if info.id == sib.id && !isCompressedKind(sniff(file)) {
		_ = f.identify(file, info.size) // a read says why not
	}
}

// beginContent remembers the first line of a content whose first bytes are b. From
// here on its lines have positions.
func (f *logFile) beginContent(p *watchedPath, b []byte) {
	f.Head = headFingerprint(b)
	f.Form = formOf(b[:f.Head.Len])
	f.setPrefix(p)
}

// setPrefix sets the first part of the positions: the path and the first line of the content. Neither a counter, which
// would not count what came and went during a downtime, nor the file are part of it: a copy or a compressed one has the same lines.
func (f *logFile) setPrefix(p *watchedPath) {
	if f.Head.Len == 0 {
		f.prefix = ""
		return
	}
	name := f.ID.String() // nothing else ever has the path of a spool file
	if !p.spool {
		sum := sha256.Sum256([]byte(p.path))
		name = hex.EncodeToString(sum[:8])
	}
	f.prefix = name + "." + f.Head.Sum[:min(16, len(f.Head.Sum))] + "-"
}

// forgetContent starts f over at its beginning: the file was truncated.
func (f *logFile) forgetContent() {
	f.Offset, f.Head, f.Tail, f.End, f.Skip, f.prefix = 0, Fingerprint{}, Fingerprint{}, Fingerprint{}, false, ""
	f.Form, f.Seen, f.Chain, f.Early = "", 0, 0, 0
	f.searched = 0
	f.Size, f.headVerified, f.quietSince, f.noHistory, f.copiesSought, f.backlog = 0, false, time.Time{}, false, 0, 0
}

// seekEnd moves f behind the last complete line of r, which is size bytes long.
func (f *logFile) seekEnd(p *watchedPath, r io.ReaderAt, size int64, maxLine int) error {
	form, err := formAt(r, size)
	if err != nil {
		return err
	}
	from := (size - min(size, int64(maxLine))) &^ 1
	last := make([]byte, size-from)
	if _, err := io.ReadFull(io.NewSectionReader(r, from, int64(len(last))), last); err != nil {
		return err
	}
	if form == formCR && bytes.IndexByte(last, '\n') >= 0 {
		form = ""
	}
	i := lastLineEnd(last, form)
	switch {
	case i >= 0:
		f.Offset = from + int64(i)
	case from > 0:
		f.Offset, f.Skip = size, true
		if isUTF16(form) {
			f.Offset &^= 1
		}
	}
	if err := f.takeFingerprints(p, r, size); err != nil {
		return err
	}
	f.Form = form
	return nil
}

// formAt returns the form of the content of r, which is size bytes long.
func formAt(r io.ReaderAt, size int64) (string, error) {
	first := make([]byte, min(size, fingerprintLen))
	if _, err := io.ReadFull(io.NewSectionReader(r, 0, int64(len(first))), first); err != nil {
		return "", err
	}
	first = first[:headFingerprint(first).Len]
	form := formOf(first)
	if form == "" && bytes.HasSuffix(first, []byte{'\r'}) && len(first) < fingerprintLen && int64(len(first)) < size {
		form = formCR
	}
	return form, nil
}

// takeFingerprints takes those of a file that is not read from its beginning.
func (f *logFile) takeFingerprints(p *watchedPath, r io.ReaderAt, size int64) error {
	f.Offset = min(f.Offset, size)
	if f.Offset == 0 {
		return nil
	}
	first := make([]byte, min(size, fingerprintLen))
	if _, err := io.ReadFull(io.NewSectionReader(r, 0, int64(len(first))), first); err != nil {
		return err
	}
	tail, err := tailFingerprint(r, f.Offset)
	if err != nil {
		return err
	}
	f.beginContent(p, first)
	f.Tail, f.Chain, f.Early = tail, chainFrom(tail), maxEarly
	return nil
}

// ensureOpen opens f if it is closed and reports whether it is open. A file that is gone
// goes through its transition first, and one that was compressed must be unpacked first.
func (t *Tailer) ensureOpen(p *watchedPath, f *logFile) bool {
	if f.file != nil || f.rotation == unpacking {
		return f.file != nil
	}
	path := t.locate(p, f)
	file, info, err := openLocated(path, f)
	if errors.Is(err, fs.ErrNotExist) && f.rotation != following {
		return t.rotatedFileGone(p, f) && t.ensureOpen(p, f)
	}
	if err != nil {
		t.setFault(p, err)
		return false
	}
	if f.rotation != following && isCompressedKind(sniff(file)) {
		closeRead(file)
		t.startUnpacking(p, f, path)
		return false
	}
	t.useOpenFile(p, f, file, info)
	return f.file != nil
}

// useOpenFile makes file the open file of f.
func (t *Tailer) useOpenFile(p *watchedPath, f *logFile, file *os.File, info fileInfo) {
	if f.Offset > 0 && f.Head.Len == 0 {
		if err := f.takeFingerprints(p, file, info.size); err != nil {
			closeRead(file)
			t.readFailed(p, f, err)
			return
		}
	}
	if !f.opened && f.ID.Birth < t.begun.UnixNano() {
		f.backlog = info.size
	}
	if f.Offset == 0 && f.Head.Len == 0 {
		_ = f.identify(file, info.size) // a read says why not
	}
	if !f.restored {
		f.Seen = info.mtime
	}
	f.file, f.size, f.headVerified, f.opened = file, info.size, false, true
	t.open++
	p.clearFault()
}

// closeFile closes f; the place in it stays.
func (t *Tailer) closeFile(f *logFile) {
	t.stopUnpacking(f)
	if f.file != nil {
		closeRead(f.file)
		f.file, f.packed = nil, nil
		t.open--
	}
}

// closeIfTooMany closes a file that has nothing to read when too many are open. A
// rotated one stays open: it may not be found again.
func (t *Tailer) closeIfTooMany(f *logFile) {
	if t.open > maxOpen && f.rotation == following {
		t.closeFile(f)
	}
}

// locate returns the path of f now: its last one, or another one in the same folder. It is
// empty if there is none.
func (t *Tailer) locate(p *watchedPath, f *logFile) string {
	for _, path := range []string{f.Real, p.path} {
		if info, err := statPath(path); err == nil && info.id == f.At {
			return path
		}
	}
	if f.At == (FileID{}) {
		return ""
	}
	for _, sib := range append(t.rotationsOf(p, f), t.siblings(p, f)...) {
		if sib.id == f.At {
			return sib.path
		}
	}
	return ""
}

// openLocated opens path, which led to f a moment ago. The error is fs.ErrNotExist if it
// does not any more, or is empty.
func openLocated(path string, f *logFile) (*os.File, fileInfo, error) {
	if path == "" {
		return nil, fileInfo{}, fs.ErrNotExist
	}
	file, info, err := openRegular(path)
	if err != nil {
		return nil, fileInfo{}, err
	}
	if info.id != f.At {
		closeRead(file)
		return nil, fileInfo{}, fs.ErrNotExist
	}
	f.Real = resolve(path)
	return file, info, nil
}

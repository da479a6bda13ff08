package tail

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
)

const (
	// maxUnpacked limits the bytes skipped in one compressed file, and maxScratch those
	// kept on disk.
	maxUnpacked = 8 << 30
	maxScratch  = 2 << 30
	// unpackStep is how much is unpacked before other files are read.
	unpackStep = 1 << 20
	// minGzipLen is the length of a gzip file without content: header and trailer.
	minGzipLen = 18
)

var (
	errTooLarge     = errors.New("too large to unpack")
	errOtherContent = errors.New("begins with another content")
)

// unpacker unpacks a gzip file (RFC 1952), a step at a time, into a file that has no
// name any more. Of the bytes before a place only those under fingerprints are kept.
type unpacker struct {
	sibling // the packed file
	packed  *os.File
	gzip    *gzip.Reader
	out     *os.File // has each byte at its offset in the content
	offset  int64    // bytes unpacked
	keep    int64    // offset from which on they are written to out
}

// newUnpacker opens the packed file at path and a file in dir. The error is errOtherContent
// if the content does not begin as st does; after an error everything is closed.
func newUnpacker(dir, path string, st *FileState) (u *unpacker, err error) {
	u = &unpacker{sibling: sibling{path: path}, keep: min(max(fingerprintLen, st.Offset-fingerprintLen), maxUnpacked)}
	defer func() {
		if err != nil {
			u.close()
			err = fmt.Errorf("unpack %s: %w", path, err)
		}
	}()
	if u.packed, u.fileInfo, err = openRegular(path); err != nil {
		return u, err
	}
	if u.gzip, err = gzip.NewReader(u.packed); err != nil {
		return u, err
	}
	if u.out, err = os.CreateTemp(dir, "unpacked-*"); err != nil {
		return u, err
	}
	if err = os.Remove(u.out.Name()); err != nil {
		return u, err
	}
	if u.offset, err = io.CopyN(u.out, u.gzip, fingerprintLen); err != nil && !errors.Is(err, io.EOF) {
		return u, err
	}
	if !st.Head.matches(u.out, 0) {
		return u, errOtherContent
	}
	return u, nil
}

// step unpacks unpackStep bytes and reports whether they were the last.
func (u *unpacker) step() (done bool, err error) {
	to, limit := io.Discard, min(unpackStep, u.keep-u.offset)
	if limit <= 0 {
		to, limit = io.NewOffsetWriter(u.out, u.offset), unpackStep
	}
	n, err := io.CopyN(to, u.gzip, limit)
	u.offset += n
	switch {
	case errors.Is(err, io.EOF):
		return true, nil
	case err == nil && u.offset > u.keep+maxScratch:
		err = errTooLarge
	}
	if err != nil {
		err = fmt.Errorf("unpack %s: %w", u.path, err)
	}
	return false, err
}

// close closes the files. Set out to nil to keep it.
func (u *unpacker) close() {
	for _, file := range []*os.File{u.packed, u.out} {
		if file != nil {
			closeRead(file)
		}
	}
}

// unpackNext unpacks the next step of f. At the end f continues in the unpacked file if that
// continues its content; if not, another copy is searched.
func (t *Tailer) unpackNext(p *watchedPath, f *logFile, b *batch) readResult {
	u := f.unpacker
	done, err := u.step()
	b.work += unpackStep
	switch {
	case err == nil && !done:
		return readMore
	case err == nil && f.matches(u.out, u.offset):
		out, info := u.out, u.fileInfo
		u.out, info.size = nil, u.offset
		f.rotation, f.At, f.Real = copied, u.id, resolve(u.path)
		t.own(p, f)
		t.stopUnpacking(f)
		t.useOpenFile(p, f, out, info)
		return readMore
	case err != nil && f.At == u.id: // it was unpacked before: try again
		t.stopUnpacking(f)
		f.rotation = copied
		return t.readFailed(p, f, err)
	case err != nil:
		t.logFor(p).WithError(err).Warn("rotated log cannot be unpacked")
	}
	f.rejected = append(f.rejected, u.id)
	f.rotation, f.At = rotated, f.ID
	t.stopUnpacking(f)
	return readMore
}

// startUnpacking makes u the source of the rest of f.
func (t *Tailer) startUnpacking(p *watchedPath, f *logFile, u *unpacker) {
	f.rotation, f.unpacker = unpacking, u
	t.owners[u.id] = p
}

// stopUnpacking closes the unpacker of f, if there is one. Its file is free again for other
// paths unless f continues in it.
func (t *Tailer) stopUnpacking(f *logFile) {
	u := f.unpacker
	if u == nil {
		return
	}
	u.close()
	f.unpacker = nil
	if u.id != f.At {
		delete(t.owners, u.id)
	}
}

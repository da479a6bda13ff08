package tail

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

const (
	// maxInflate bounds what is unpacked of one compressed file, read or not, and
	// maxScratch what of it is kept on disk.
	maxInflate = 8 << 30
	maxScratch = 2 << 30
)

var (
	errInflate = errors.New("too large to unpack")
	errForeign = errors.New("begins otherwise")
)

// inflated reports whether path is read through inflate.
func inflated(path string) bool { return filepath.Ext(path) == ".gz" }

// inflate unpacks the gzip file at path (RFC 1952) into a file of dir that has no
// name any more. Of the bytes before the place of st only those that fingerprints are
// of are kept. The info is that of path with the unpacked size. The error is errForeign
// if it does not begin as st does: the rest is not unpacked then.
func inflate(dir, path string, st *FileState) (*os.File, info, error) {
	packed, in, err := open(path)
	if err != nil {
		return nil, info{}, err
	}
	defer release(packed)
	r, err := gzip.NewReader(packed)
	if err != nil {
		return nil, info{}, fmt.Errorf("unpack %s: %w", path, err)
	}
	out, err := nameless(dir)
	if err != nil {
		return nil, info{}, fmt.Errorf("unpack %s: %w", path, err)
	}
	if in.size, err = unpack(out, r, st); err != nil {
		release(out)
		return nil, info{}, fmt.Errorf("unpack %s: %w", path, err)
	}
	return out, in, nil
}

// nameless makes a file that is gone when it is closed, or we are.
func nameless(dir string) (*os.File, error) {
	f, err := os.CreateTemp(dir, "unpacked-*")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		release(f)
		return nil, err
	}
	return f, nil
}

// unpack writes the first bytes of r, and those around the place of st and after it, to
// where they belong, and returns the size of all.
func unpack(out *os.File, r io.Reader, st *FileState) (int64, error) {
	head, err := io.CopyN(out, r, printLen)
	if err != nil {
		return head, ignoreEOF(err)
	}
	if !st.Head.at(out, 0) {
		return head, errForeign
	}
	from := min(max(printLen, st.Offset-printLen), maxInflate)
	skipped, err := io.CopyN(io.Discard, r, from-head)
	if err != nil {
		return head + skipped, ignoreEOF(err)
	}
	n, err := io.Copy(io.NewOffsetWriter(out, from), io.LimitReader(r, maxScratch+1))
	if err == nil && n > maxScratch {
		err = errInflate
	}
	return from + n, err
}

func ignoreEOF(err error) error {
	if isEOF(err) {
		return nil
	}
	return err
}

// unpacked goes on with a rotated file in its compressed copy. It reports false if
// there is none that continues it.
func (t *Tailer) unpacked(f *follow, s *source) bool {
	if s.Offset == 0 || s.Head.Len == 0 || s.At != s.ID || t.cfg.ScratchDir == "" {
		return false
	}
	for _, sib := range t.siblings(f, s) {
		if !inflated(sib.path) || sib.in.mtime < s.MTime || !isRotationOf(sib.path, f.path) || !t.stranger(f, sib) {
			continue
		}
		file, in, err := inflate(t.cfg.ScratchDir, sib.path, &s.FileState)
		if errors.Is(err, errForeign) {
			continue
		}
		if err != nil {
			t.note(f).WithError(err).Warn("rotated log not unpacked")
			continue
		}
		if !s.fits(file, in.size) {
			release(file)
			continue
		}
		s.At, s.Real = in.id, sib.path
		t.own(f, s.FileState)
		t.hold(f, s, file, in)
		return true
	}
	return false
}

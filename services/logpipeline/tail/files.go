package tail

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

func isEOF(err error) bool { return errors.Is(err, io.EOF) }

// ensure opens s if it is not open.
func (t *Tailer) ensure(f *follow, s *source) bool {
	if s.file != nil {
		return true
	}
	file, in, err := t.locate(f, s)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) && s.rotated {
			return t.missing(f, s) && t.ensure(f, s)
		}
		f.fault(err)
		return false
	}
	t.hold(f, s, file, in)
	return s.file != nil
}

// hold makes file the open file of s.
func (t *Tailer) hold(f *follow, s *source, file *os.File, in info) {
	if s.Offset > 0 && s.Head.Len == 0 {
		if err := s.prime(file, in.size); err != nil {
			release(file)
			t.broken(f, s, err)
			return
		}
	}
	s.file, s.size, s.trusted = file, in.size, false
	t.open++
	f.fine()
}

// shut closes the file of s; the place in it stays.
func (t *Tailer) shut(s *source) {
	if s.file != nil {
		release(s.file)
		s.file = nil
		t.open--
	}
}

// spare closes a file that has nothing to read when too many are open.
func (t *Tailer) spare(s *source) {
	if t.open > maxOpen && !s.rotated {
		t.shut(s)
	}
}

// locate opens the file of s wherever it is now: under its last name, or under
// another one in the same folder.
func (t *Tailer) locate(f *follow, s *source) (*os.File, info, error) {
	for _, path := range []string{s.Real, f.path} {
		in, err := look(path)
		if err == nil && in.id == s.At {
			return t.openAs(s, path)
		}
	}
	for _, sib := range t.siblings(f, s) {
		if sib.in.id == s.At {
			return t.openAs(s, sib.path)
		}
	}
	return nil, info{}, fs.ErrNotExist
}

// openAs opens path, which led to s a moment ago.
func (t *Tailer) openAs(s *source, path string) (*os.File, info, error) {
	file, in, err := t.openAny(s, path)
	if err != nil {
		return nil, info{}, err
	}
	if in.id != s.At {
		release(file)
		return nil, info{}, fs.ErrNotExist
	}
	s.Real = resolve(path)
	return file, in, nil
}

// openAny opens path, unpacked if it is a compressed copy of s.
func (t *Tailer) openAny(s *source, path string) (*os.File, info, error) {
	if s.At != s.ID && inflated(path) && t.cfg.ScratchDir != "" {
		return inflate(t.cfg.ScratchDir, path, &s.FileState)
	}
	return open(path)
}

// seekEnd puts s behind the last complete line of r, which is size bytes long.
func (s *source) seekEnd(r io.ReaderAt, size int64, maxLine int) error {
	back := make([]byte, min(size, int64(maxLine)))
	from := size - int64(len(back))
	if _, err := io.ReadFull(io.NewSectionReader(r, from, int64(len(back))), back); err != nil {
		return err
	}
	i := bytes.LastIndexByte(back, '\n')
	switch {
	case i >= 0:
		s.Offset = from + int64(i) + 1
	case from > 0:
		s.Offset, s.Skip = size, true
	}
	return s.prime(r, size)
}

// prime takes the fingerprints of a file that is not read from its start.
func (s *source) prime(r io.ReaderAt, size int64) error {
	s.Offset = min(s.Offset, size)
	if s.Offset == 0 {
		return nil
	}
	first := make([]byte, min(size, printLen))
	if _, err := io.ReadFull(io.NewSectionReader(r, 0, int64(len(first))), first); err != nil {
		return err
	}
	print, err := tailBefore(r, s.Offset)
	if err != nil {
		return err
	}
	s.begin(first)
	s.Tail = print
	return nil
}

// folders returns where files of f may be found: beside the path and beside what
// it led to.
func folders(f *follow, real string) []string {
	a, b := filepath.Dir(f.path), filepath.Dir(real)
	if real == "" || a == b {
		return []string{a}
	}
	return []string{a, b}
}

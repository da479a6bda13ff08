package tail

import (
	"errors"
	"io/fs"
	"time"
)

// outcome is how reading from one file went.
type outcome int

const (
	more    outcome = iota // there is more, now
	ended                  // at the end, for now
	changed                // it is not the content it was
	failed                 // cannot be read now
)

// turn reads one chunk of f, rotated files first, and reports whether there is
// more to read at once.
func (t *Tailer) turn(f *follow, b *batch) bool {
	for i := 0; i < len(f.queue); {
		s := f.queue[i]
		switch t.drain(f, s, b) {
		case more:
			return true
		case changed:
			t.restart(f, s)
			return true
		case ended:
			if !t.ripe(f, s) {
				i++
				continue
			}
			if !t.flush(f, s, b) {
				return true
			}
			t.retire(f, s)
		case failed:
			if i < len(f.queue) && f.queue[i] == s {
				i++
			}
		}
	}
	return false
}

// drain reads the next chunk of s.
func (t *Tailer) drain(f *follow, s *source, b *batch) outcome {
	if !t.ensure(f, s) {
		return failed
	}
	in, err := lookFile(s.file)
	if err != nil {
		return t.broken(f, s, err)
	}
	if in.size > s.size || in.mtime != s.MTime {
		s.quiet = time.Time{}
	}
	s.size = in.size
	if in.size < s.Offset || !s.trusted && !s.Head.at(s.file, 0) {
		return changed
	}
	s.trusted = true
	if t.sweep(f, s, in) {
		return more
	}
	if in.size == s.Offset && in.mtime == s.MTime {
		t.spare(s)
		return ended
	}
	want := t.want(f, b)
	data, out := t.chunk(f, s, want)
	if out != ended {
		return out
	}
	s.known = in.size
	t.consume(f, s, data, b, false)
	if b.full() || len(data) == want {
		return more
	}
	s.MTime = in.mtime
	t.spare(s)
	return ended
}

// lead is how many bytes before the place reached are read again to compare them.
func (s *source) lead() int { return s.Tail.Len }

// want returns how many bytes to read: no more than this batch may have use for, and
// enough for the longest line.
func (t *Tailer) want(f *follow, b *batch) int {
	const perLine = 128 // a guess
	return min(len(t.buf)-printLen, max(2*t.maxLine(f), (b.limit-len(b.lines))*perLine))
}

// chunk reads at most want bytes from s, together with the bytes just before, in one call, so that a
// truncation between comparing and reading cannot hide.
func (t *Tailer) chunk(f *follow, s *source, want int) ([]byte, outcome) {
	n, err := s.file.ReadAt(t.buf[:want+s.lead()], s.Offset-int64(s.lead()))
	if n == 0 && err != nil && !isEOF(err) {
		return nil, t.broken(f, s, err)
	}
	if n < s.lead() || printOf(t.buf[:s.lead()]) != s.Tail {
		return nil, changed
	}
	return t.buf[s.lead():n], ended
}

// consume turns data, which lies in t.buf behind the bytes compared, into lines
// and remembers the bytes before the new place.
func (t *Tailer) consume(f *follow, s *source, data []byte, b *batch, final bool) {
	lead := s.lead()
	used := t.split(f, s, data, b, final)
	if used == 0 {
		return
	}
	end := lead + used
	s.Tail = printOf(t.buf[max(0, end-printLen):end])
	t.bytes += int64(used)
}

// ripe reports whether s, which is at its end, will not grow any more.
func (t *Tailer) ripe(f *follow, s *source) bool {
	if f.spool {
		return !f.last
	}
	if !s.rotated {
		return false
	}
	if s.At != s.ID {
		return true // a copy is complete when the original is truncated
	}
	if s.quiet.IsZero() {
		s.quiet = time.Now()
	}
	return time.Since(s.quiet) >= t.cfg.Linger
}

// flush makes a line of what s holds behind its last newline and reports whether
// all of it fitted into the batch. The torn end of a spool file is no line.
func (t *Tailer) flush(f *follow, s *source, b *batch) bool {
	if s.lag() == 0 {
		return true
	}
	if f.spool {
		t.lose(f, LostTorn, s.lag())
		s.Offset, s.Tail, s.Skip = s.size, Fingerprint{}, false
		return true
	}
	data, out := t.chunk(f, s, len(t.buf)-printLen)
	if out != ended {
		return out == failed
	}
	t.consume(f, s, data, b, true)
	return s.lag() == 0
}

// retire ends the reading of a rotated file.
func (t *Tailer) retire(f *follow, s *source) {
	t.shut(s)
	f.finish(s)
}

// broken notes why s cannot be read, and lets go of it, so that it is opened anew.
func (t *Tailer) broken(f *follow, s *source, err error) outcome {
	f.fault(err)
	t.shut(s)
	return failed
}

// because says why a path is not followed, in the words of an operator.
func because(path string, err error) string {
	if errors.Is(err, fs.ErrPermission) {
		return path + " may not be read: permission denied"
	}
	if odd, ok := errors.AsType[*notRegularError](err); ok {
		return odd.Error()
	}
	return path + " cannot be read: " + cause(err)
}

func cause(err error) string {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		return pe.Err.Error()
	}
	return err.Error()
}

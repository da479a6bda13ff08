package tail

import "bytes"

// split turns data, the bytes of s from s.Offset on, into lines of b, and moves
// s.Offset past what it consumed. final says that nothing will follow in this
// file. It returns the number of bytes consumed.
func (t *Tailer) split(f *follow, s *source, data []byte, b *batch, final bool) int {
	if s.Head.Len == 0 {
		if !final && len(data) < printLen && bytes.IndexByte(data, '\n') < 0 {
			return 0
		}
		s.begin(data)
	}
	b.expect(len(data))
	first, used := len(b.lines), 0
	for used < len(data) && !b.full() {
		c := s.cut(data[used:], t.maxLine(f), final)
		if c.step == 0 {
			break
		}
		if c.line {
			t.emit(f, s, b, c)
		}
		used += c.step
		s.Offset += int64(c.step)
	}
	b.own(first)
	return used
}

// emit adds the line that c found at s.Offset. Its text is still the read buffer.
func (t *Tailer) emit(f *follow, s *source, b *batch, c piece) {
	b.add(Line{
		Source: f.source, Path: f.path, File: s.ID,
		Offset: s.Offset, Next: s.Offset + int64(c.step),
		Text: c.text, Truncated: c.truncated,
	}, s.prefix)
	f.lines++
	t.lines++
	if c.truncated {
		t.truncated++
	}
}

// piece is the next thing in a file: a line, or bytes that belong to none.
type piece struct {
	step            int // bytes consumed; 0 means wait for more
	line, truncated bool
	text            []byte
}

// cut returns the first piece of b, which is not empty. Whatever chunks a file is
// read in, it is cut at the same places: positions depend on that.
func (s *source) cut(b []byte, maxLine int, final bool) piece {
	if s.Skip {
		return s.skip(b)
	}
	if b[0] == 0 {
		return cutHole(b, maxLine, final)
	}
	window := b[:min(len(b), maxLine+1)]
	if i := bytes.IndexByte(window, '\n'); i >= 0 {
		return piece{step: i + 1, line: true, text: b[:i]}
	}
	if len(b) > maxLine {
		s.Skip = true
		return piece{step: maxLine, line: true, truncated: true, text: b[:maxLine]}
	}
	if final {
		return piece{step: len(b), line: true, text: b}
	}
	return piece{}
}

// skip consumes the rest of an over-long line.
func (s *source) skip(b []byte) piece {
	i := bytes.IndexByte(b, '\n')
	if i < 0 {
		return piece{step: len(b)}
	}
	s.Skip = false
	return piece{step: i + 1}
}

// cutHole consumes zero bytes at the beginning of a line. They are the hole that a
// writer which does not append leaves behind when its file is truncated.
func cutHole(b []byte, maxLine int, final bool) piece {
	n := len(b) - len(bytes.TrimLeft(b, "\x00"))
	if n == len(b) && n <= maxLine && !final {
		return piece{}
	}
	return piece{step: n}
}

// maxLine returns the number of bytes kept of a line of f. Spool files are ours and
// bounded by their writer; a line that is cut would be no record.
func (t *Tailer) maxLine(f *follow) int {
	if f.spool {
		return spoolLine
	}
	return t.cfg.MaxLine
}

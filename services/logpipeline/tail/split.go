package tail

import "bytes"

// split turns data, the bytes of f from f.Offset on, into lines of b, and moves
// f.Offset past what it consumed. final says that nothing will follow in this
// file. It returns the number of bytes consumed.
func (t *Tailer) split(p *watchedPath, f *logFile, data []byte, b *batch, final bool) int {
	if f.Head.Len == 0 {
		if !final && len(data) < fingerprintLen && bytes.IndexByte(data, '\n') < 0 {
			return 0
		}
		f.beginContent(data)
	}
	b.grow(len(data))
	first, used := len(b.lines), 0
	for used < len(data) && !b.full() {
		c := f.nextPiece(data[used:], t.maxLine(p), final)
		if c.step == 0 {
			break
		}
		if c.line {
			t.addLine(p, f, b, c)
		}
		used += c.step
		f.Offset += int64(c.step)
	}
	b.copyTexts(first)
	return used
}

// addLine adds the line c at f.Offset to b. Its text is still in the read buffer.
func (t *Tailer) addLine(p *watchedPath, f *logFile, b *batch, c piece) {
	b.add(Line{
		Source: p.source, Path: p.path, File: f.ID,
		Offset: f.Offset, Next: f.Offset + int64(c.step),
		Text: c.text, Truncated: c.truncated,
	}, f.prefix)
	p.lines++
	t.lines++
	if c.truncated {
		t.truncated++
	}
}

// piece is the next part of a file: a line, or bytes that belong to none.
type piece struct {
	step            int // bytes consumed; 0 means wait for more
	line, truncated bool
	text            []byte
}

// nextPiece returns the first piece of b, which is not empty. Whatever chunks a file is
// read in, it is cut at the same places: positions depend on that.
func (f *logFile) nextPiece(b []byte, maxLine int, final bool) piece {
	if f.Skip {
		return f.skipRest(b)
	}
	if b[0] == 0 {
		return skipHole(b, maxLine, final)
	}
	window := b[:min(len(b), maxLine+1)]
	if i := bytes.IndexByte(window, '\n'); i >= 0 {
		return piece{step: i + 1, line: true, text: b[:i]}
	}
	if len(b) > maxLine {
		f.Skip = true
		return piece{step: maxLine, line: true, truncated: true, text: b[:maxLine]}
	}
	if final {
		return piece{step: len(b), line: true, text: b}
	}
	return piece{}
}

// skipRest consumes the rest of an over-long line.
func (f *logFile) skipRest(b []byte) piece {
	i := bytes.IndexByte(b, '\n')
	if i < 0 {
		return piece{step: len(b)}
	}
	f.Skip = false
	return piece{step: i + 1}
}

// skipHole consumes zero bytes at the beginning of a line. They are the hole that a
// writer which does not append leaves behind when its file is truncated.
func skipHole(b []byte, maxLine int, final bool) piece {
	n := len(b) - len(bytes.TrimLeft(b, "\x00"))
	if n == len(b) && n <= maxLine && !final {
		return piece{}
	}
	return piece{step: n}
}

// maxLine returns the number of bytes kept of a line of p. Spool files are bounded by
// their writer, package syslog; a record that is cut could not be decoded.
func (t *Tailer) maxLine(p *watchedPath) int {
	if p.spool {
		return maxSpoolLine
	}
	return t.cfg.MaxLine
}

package tail

import "bytes"

// split turns data, the bytes of f from f.Offset on, into lines of b, and moves
// f.Offset past what it consumed. final says that nothing will follow in this
// file. It returns the number of bytes consumed.
func (t *Tailer) split(p *watchedPath, f *logFile, data []byte, b *batch, final bool) int {
	if !f.begun() {
		if !final && len(data) < fingerprintLen && firstEnd(data) < 0 {
			return 0
		}
		f.beginContent(p, data)
	}
	b.grow(len(data))
	first, used := len(b.lines), 0
	for used < len(data) && !b.full() {
		c := f.nextPiece(data[used:], t.maxLine(p), final)
		if c.step == 0 {
			break
		}
		next := f.Offset + int64(c.step)
		if c.line {
			b.add(p, f, Line{
				Source: p.source, Path: p.path, File: f.ID, Offset: f.Offset, Next: next,
				Text: c.text, SystemOwned: f.systemOwned, Backlog: f.Offset < f.backlog, Truncated: c.truncated,
			})
			p.lines++
			t.lines++
		}
		if c.truncated {
			t.truncated++
		}
		used += c.step
		f.Offset = next
	}
	b.copyTexts(first)
	return used
}

// piece is the next part of a file: a line, or bytes that belong to none.
type piece struct {
	step            int // bytes consumed; 0 means that more are needed
	line, truncated bool
	text            []byte // in the read buffer
}

// nextPiece returns the first piece of b, which is not empty. Whatever chunks a file is
// read in, it is cut at the same places: positions depend on that.
func (f *logFile) nextPiece(b []byte, maxLine int, final bool) piece {
	unit := 1
	if isUTF16(f.Form) {
		unit = 2
		maxLine &^= 1
	}
	if f.Skip { // inside the rest of a line that was cut
		return f.skipPiece(b, unit)
	}
	if n := (len(b) - len(bytes.TrimLeft(b, "\x00"))) / unit * unit; n > 0 { // the hole before the next write of a program that does not append, after a truncation
		if n >= len(b)/unit*unit && n <= maxLine && !final {
			return piece{}
		}
		return piece{step: n}
	}
	if f.Form == formCR && b[0] == '\n' { // of the line that its carriage return has ended
		f.Form = ""
		return piece{step: 1}
	}
	end, next := f.findLineEnd(b[:min(len(b), maxLine+unit)])
	switch {
	case end >= 0:
		return piece{step: next, line: true, text: textOf(b[:end], f.Form)}
	case len(b) > maxLine:
		f.Skip = true
		return piece{step: maxLine, line: true, truncated: true, text: textOf(b[:maxLine], f.Form)}
	case final:
		return piece{step: len(b), line: true, text: textOf(b, f.Form)}
	}
	return piece{}
}

// skipPiece is nextPiece inside the rest of a line that was cut.
func (f *logFile) skipPiece(b []byte, unit int) piece {
	_, next := lineEnd(b, f.Form)
	switch {
	case next >= 0:
		f.Skip = false
		return piece{step: next}
	case len(b) >= unit:
		return piece{step: len(b) / unit * unit}
	}
	return piece{}
}

// findLineEnd is lineEnd, and finds out whether the lines of f end with carriage returns.
func (f *logFile) findLineEnd(b []byte) (end, next int) {
	if f.Form == "" && f.Offset == 0 {
		if i := firstEnd(b); i > 0 && b[i-1] == '\r' {
			f.Form = formCR
		}
	}
	end, next = lineEnd(b, f.Form)
	if f.Form == formCR && end >= 0 && b[end] == '\n' {
		f.Form = ""
	}
	return end, next
}

// maxLine returns the number of bytes kept of a line of p. Spool files are bounded by
// their writer, package syslog; a record that is cut could not be decoded.
func (t *Tailer) maxLine(p *watchedPath) int {
	if p.spool {
		return maxSpoolLine
	}
	return t.cfg.MaxLine
}

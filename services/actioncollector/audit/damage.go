package audit

import (
	"bytes"
	"crypto/sha256"
)

// maxSearch is the largest record, in bytes, in which the changed byte is searched: the work grows with the
// square of the size (about a second at this size).
const maxSearch = 2 << 10

// damage is a run of lines that are no valid records. It keeps a copy of the first two, at most maxLine
// bytes each.
type damage struct {
	at    position
	lines int
	text  [2][]byte
	first hashedLine
}

func (d *damage) add(at position, line []byte, s hashedLine) {
	if d.lines == 0 {
		d.at = at
		d.text[0] = bytes.Clone(line)
		d.first = hashedLine{body: d.text[0][:len(s.body)], written: s.written, computed: s.computed}
	}
	if d.lines == 1 {
		d.text[1] = bytes.Clone(line)
	}
	d.lines++
}

// changedByte returns the index in the first line of the only changed byte, -1 if it cannot be determined:
// more than one was changed, or the record is too large to search. It may use up one search of c.
func (d *damage) changedByte(c *checker, lost seqRange, next *Record) int {
	if lost.first != lost.last {
		return -1
	}
	line := d.text[0]
	switch {
	case d.lines == 2:
		return splitByLineFeed(line, d.text[1])
	case d.lines != 1:
		return -1
	}
	if !c.anyPrev {
		if i := firstDifference(line, []byte(chainPrefix(lost.first, c.last.Hash))); i >= 0 {
			return i
		}
	}
	if i := badTail(line); i >= 0 {
		return i
	}
	if next != nil && next.Prev == d.first.computed {
		return len(d.first.body) + len(hashOpen) + firstDifference([]byte(d.first.written.String()), []byte(d.first.computed.String()))
	}
	if c.search > 0 {
		c.search--
		return searchChangedByte(d.first)
	}
	return -1
}

// firstDifference returns the index of the first byte in which line and want differ, -1 if one begins with
// the other.
func firstDifference(line, want []byte) int {
	for i := range min(len(line), len(want)) {
		if line[i] != want[i] {
			return i
		}
	}
	return -1
}

// badTail returns the index of the first byte in the fixed end of a line, the hash and what is around it,
// that is not allowed there, -1 if all are.
func badTail(line []byte) int {
	at := len(line) - hashTail
	if at < 0 {
		return -1
	}
	if i := firstDifference(line[at:], []byte(hashOpen)); i >= 0 {
		return at + i
	}
	at += len(hashOpen)
	for i, b := range line[at : at+hexHash] {
		if !bytes.ContainsRune([]byte("0123456789abcdef"), rune(b)) {
			return at + i
		}
	}
	if i := firstDifference(line[at+hexHash:], []byte(hashClose)); i >= 0 {
		return at + hexHash + i
	}
	return -1
}

// splitByLineFeed returns where a byte was changed into the line feed that
// parts two lines which were one record, -1 if none was.
func splitByLineFeed(first, second []byte) int {
	line := append(append(bytes.Clone(first), '\n'), second...)
	for b := range 256 {
		line[len(first)] = byte(b)
		if hasValidHash(line) {
			return len(first)
		}
	}
	return -1
}

// searchChangedByte returns the index of the byte in s.body that must be another for the body to have the written
// hash, -1 if there is none. It tries single bits before all values of a byte.
func searchChangedByte(s hashedLine) int {
	if len(s.body) > maxSearch {
		return -1
	}
	for bit := range 8 {
		for i := range s.body {
			if s.validWith(i, s.body[i]^1<<bit) {
				return i
			}
		}
	}
	for i := range s.body {
		for b := range 256 {
			if s.validWith(i, byte(b)) {
				return i
			}
		}
	}
	return -1
}

func (s hashedLine) validWith(i int, b byte) bool {
	old := s.body[i]
	s.body[i] = b
	valid := sha256.Sum256(s.body) == s.written
	s.body[i] = old
	return valid
}

package audit

import (
	"bytes"
	"crypto/sha256"
)

// maxSearch is the most bytes of a record in which the one changed byte is
// searched: the work grows with the square of it (about a second at the cap).
const maxSearch = 2 << 10

// damage is a run of lines that are no whole records. Of the first two it keeps
// a copy, at most maxLine bytes each.
type damage struct {
	at     place
	lines  int
	text   [2][]byte
	sealed sealed // of the first
}

func (d *damage) add(at place, line []byte, s sealed) {
	if d.lines == 0 {
		d.at = at
		d.text[0] = bytes.Clone(line)
		d.sealed = sealed{body: d.text[0][:len(s.body)], written: s.written, computed: s.computed}
	}
	if d.lines == 1 {
		d.text[1] = bytes.Clone(line)
	}
	d.lines++
}

// locate returns which byte of the first line was changed, -1 if that cannot be
// told: more than one was, or the record is too large to search.
func (d *damage) locate(c *chain, lost span, next *Record) int {
	if lost.first != lost.last {
		return -1
	}
	line := d.text[0]
	switch {
	case d.lines == 2:
		return brokenByLineFeed(line, d.text[1])
	case d.lines != 1:
		return -1
	}
	if !c.anyPrev {
		if i := difference(line, []byte(chainPrefix(lost.first, c.last.Hash))); i >= 0 {
			return i
		}
	}
	if i := badSeal(line); i >= 0 {
		return i
	}
	if next != nil && next.Prev == d.sealed.computed {
		return len(d.sealed.body) + len(hashOpen) + difference([]byte(d.sealed.written.String()), []byte(d.sealed.computed.String()))
	}
	if c.search > 0 {
		c.search--
		return search(d.sealed)
	}
	return -1
}

// difference returns the first byte in which line differs from want, -1 if it
// begins with it.
func difference(line, want []byte) int {
	for i := range min(len(line), len(want)) {
		if line[i] != want[i] {
			return i
		}
	}
	return -1
}

// badSeal returns the first byte of the line's fixed end that cannot be, -1 if
// all of it can.
func badSeal(line []byte) int {
	at := len(line) - hashTail
	if at < 0 {
		return -1
	}
	if i := difference(line[at:], []byte(hashOpen)); i >= 0 {
		return at + i
	}
	at += len(hashOpen)
	for i, b := range line[at : at+hexHash] {
		if !bytes.ContainsRune([]byte("0123456789abcdef"), rune(b)) {
			return at + i
		}
	}
	if i := difference(line[at+hexHash:], []byte(hashClose)); i >= 0 {
		return at + hexHash + i
	}
	return -1
}

// brokenByLineFeed returns where a byte was changed into the line feed that
// parts two lines which were one record, -1 if none was.
func brokenByLineFeed(first, second []byte) int {
	line := append(append(bytes.Clone(first), '\n'), second...)
	for b := range 256 {
		line[len(first)] = byte(b)
		if whole(line) {
			return len(first)
		}
	}
	return -1
}

// search returns which byte of s.body must be another for the hash to be the
// written one. It tries single bits before whole bytes.
func search(s sealed) int {
	if len(s.body) > maxSearch {
		return -1
	}
	for bit := range 8 {
		for i := range s.body {
			if s.holdsWith(i, s.body[i]^1<<bit) {
				return i
			}
		}
	}
	for i := range s.body {
		for b := range 256 {
			if s.holdsWith(i, byte(b)) {
				return i
			}
		}
	}
	return -1
}

func (s sealed) holdsWith(i int, b byte) bool {
	old := s.body[i]
	s.body[i] = b
	holds := sha256.Sum256(s.body) == s.written
	s.body[i] = old
	return holds
}

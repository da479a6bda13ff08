package storage

import (
	"bytes"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/ironpost/ironpost/event"
)

// maxColumn bounds a filter column in bytes: an index entry has less than 2,704 (PostgreSQL
// documentation, 67.4.1). The whole text is in the record.
const maxColumn = 256

// nulSign stands for the character NUL, which PostgreSQL's text does not have.
const nulSign = '␀'

// column returns text as a column that is indexed can hold it.
func column(text string) string {
	text = strings.ReplaceAll(strings.ToValidUTF8(text, "�"), "\x00", string(nulSign))
	return event.Shorten(text, maxColumn)
}

// storable returns JSON text as jsonb takes it: valid UTF-8, \u2400 in place of \u0000, and \ufffd in
// place of half a surrogate pair. Text that needs no change is returned as it is. Without this any line
// with a NUL in it would keep its alert out of the database.
func storable(text []byte) []byte {
	text = bytes.ToValidUTF8(text, []byte("�"))
	var out []byte
	copied := 0
	for at := 0; ; {
		next := bytes.IndexByte(text[at:], '\\')
		if next < 0 || at+next+1 >= len(text) {
			break
		}
		at += next
		replacement, size := escape(text[at:])
		if replacement != 0 {
			out = append(append(out, text[copied:at]...), `\u`+strconv.FormatInt(int64(replacement), 16)...)
			copied = at + size
		}
		at += size
	}
	if copied == 0 {
		return text
	}
	return append(out, text[copied:]...)
}

// escape returns the size of the escape that text begins with, a whole surrogate pair being one, and what
// must stand in its place, 0 if it may stay.
func escape(text []byte) (replacement rune, size int) {
	first, ok := codeUnit(text)
	switch {
	case !ok:
		return 0, 2 // \n, \\ and so on
	case first == 0:
		return nulSign, 6
	case !utf16.IsSurrogate(first):
		return 0, 6
	}
	if second, ok := codeUnit(text[6:]); ok && utf16.DecodeRune(first, second) != utf8.RuneError {
		return 0, 12
	}
	return utf8.RuneError, 6
}

// codeUnit reads an escape such as \u00e9.
func codeUnit(text []byte) (rune, bool) {
	if len(text) < 6 || text[0] != '\\' || text[1] != 'u' {
		return 0, false
	}
	n, err := strconv.ParseUint(string(text[2:6]), 16, 16)
	return rune(n), err == nil
}

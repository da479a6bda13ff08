package tail

import (
	"bytes"
	"unicode/utf16"
	"unicode/utf8"
)

// Forms of a content, FileState.Form: how its bytes are lines. Any other is text whose lines end with a line feed.
const (
	formUTF16LE = "utf-16le"
	formUTF16BE = "utf-16be"
	// formCR is text whose lines have ended with a carriage return so far. From its first line feed on it is text as any other: a
	// carriage return that somebody gets into a line makes two lines of it only where no line feed came before.
	formCR = "cr"
)

var utf8BOM = []byte("\xef\xbb\xbf")

// formOf returns the form of a content that begins with head: by its byte order mark, or because nearly one of each two bytes is zero.
func formOf(head []byte) string {
	switch {
	case bytes.HasPrefix(head, []byte("\xff\xfe\x00\x00")): // UTF-32
		return ""
	case bytes.HasPrefix(head, []byte("\xff\xfe")):
		return formUTF16LE
	case bytes.HasPrefix(head, []byte("\xfe\xff")):
		return formUTF16BE
	}
	const minUnits = 4
	zeros, units := [2]int{}, len(head)/2
	for i, b := range head[:2*units] {
		if b == 0 {
			zeros[i%2]++
		}
	}
	switch {
	case units < minUnits:
	case zeros[0]*10 <= units && zeros[1]*10 >= units*7:
		return formUTF16LE
	case zeros[1]*10 <= units && zeros[0]*10 >= units*7:
		return formUTF16BE
	}
	return ""
}

func isUTF16(form string) bool { return form == formUTF16LE || form == formUTF16BE }

// lineEnd returns where the line that b begins with ends, and the first byte after its end, both -1 if no end is in b.
func lineEnd(b []byte, form string) (end, next int) {
	if !isUTF16(form) {
		chars := "\n"
		if form == formCR {
			chars = "\r\n"
		}
		if i := bytes.IndexAny(b, chars); i >= 0 {
			return i, i + 1
		}
		return -1, -1
	}
	for i := 0; i+1 < len(b); i += 2 {
		if unitAt(b, i, form) == '\n' {
			return i, i + 2
		}
	}
	return -1, -1
}

// lastLineEnd returns the first byte behind the last end of a line in b, which begins at a unit of its form; -1 if there is none.
func lastLineEnd(b []byte, form string) int {
	if !isUTF16(form) {
		char := byte('\n')
		if form == formCR {
			char = '\r'
		}
		if i := bytes.LastIndexByte(b, char); i >= 0 {
			return i + 1
		}
		return -1
	}
	for i := len(b)&^1 - 2; i >= 0; i -= 2 {
		if unitAt(b, i, form) == '\n' {
			return i + 2
		}
	}
	return -1
}

func unitAt(b []byte, i int, form string) uint16 {
	if form == formUTF16LE {
		return uint16(b[i]) | uint16(b[i+1])<<8
	}
	return uint16(b[i])<<8 | uint16(b[i+1])
}

// textOf returns a line of a form as UTF-8, or as it is if it is in no form of UTF-16. A byte order mark before it and zero bytes in it are left
// out: they would keep a word from being found.
func textOf(b []byte, form string) []byte {
	if isUTF16(form) {
		text := make([]byte, 0, len(b))
		for i := 0; i+1 < len(b); i += 2 {
			r := rune(unitAt(b, i, form))
			if utf16.IsSurrogate(r) && i+3 < len(b) {
				if pair := utf16.DecodeRune(r, rune(unitAt(b, i+2, form))); pair != utf8.RuneError {
					r = pair
					i += 2
				}
			}
			text = utf8.AppendRune(text, r)
		}
		b = text
	}
	b = bytes.TrimPrefix(b, utf8BOM)
	if bytes.IndexByte(b, 0) >= 0 {
		b = bytes.ReplaceAll(b, []byte{0}, nil)
	}
	return b
}

// firstEnd returns the first byte behind the first line of b, -1 if it has no end yet. A carriage return that no line feed follows ends it, too:
// that is only known when there is a byte behind it.
func firstEnd(b []byte) int {
	i := bytes.IndexAny(b, "\r\n")
	if i < 0 {
		return -1
	}
	rest := bytes.TrimLeft(b[i:], "\r")
	switch {
	case len(rest) == 0:
		return -1
	case rest[0] == '\n':
		return len(b) - len(rest) + 1
	}
	return i + 1
}

package event

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Shorten cuts s to at most n bytes, between characters. It is safe for concurrent use.
func Shorten(s string, n int) string {
	if len(s) > n {
		for n > 0 && !utf8.RuneStart(s[n]) {
			n--
		}
		s = s[:n]
	}
	return s
}

// Printable returns s as one line of at most n bytes for a person to read: what a
// terminal does not show as one visible character (controls, line ends, what hides or
// reorders text) and bytes that are no UTF-8 become "?".
func Printable(s string, n int) string {
	return replaceRunes(s, n, unicode.IsPrint)
}

// PrintableASCII is Printable for places that take ASCII alone, such as a header of a
// message: any other character becomes "?".
func PrintableASCII(s string, n int) string {
	return replaceRunes(s, n, func(r rune) bool { return r >= ' ' && r <= '~' })
}

func replaceRunes(s string, n int, keep func(rune) bool) string {
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !keep(r) {
			return '?' // never longer than what it stands for
		}
		return r
	}, Shorten(s, n))
}

// PrintableJSON returns JSON text in which everything that a terminal does not show as
// one visible character is a \u escape: other control characters than those that
// JSON escapes by itself, and characters that hide or reorder text. These stand only
// inside strings, where the escape means the same (RFC 8259, 7). The result is text
// itself if there is nothing to escape. It is safe for concurrent use.
func PrintableJSON(text []byte) []byte {
	at := unprintable(text)
	if at == len(text) {
		return text
	}
	out := append(make([]byte, 0, 2*len(text)), text[:at]...)
	for text = text[at:]; len(text) > 0; {
		r, n := utf8.DecodeRune(text)
		if shown(r) {
			out = append(out, text[:n]...)
		} else {
			out = appendEscape(out, r)
		}
		text = text[n:]
	}
	return out
}

// unprintable returns the index of the first byte that may need an escape, len(text) if none does.
func unprintable(text []byte) int {
	for i, c := range text {
		if c >= utf8.RuneSelf || c == 0x7f {
			return i
		}
	}
	return len(text)
}

// shown reports whether r may stay. A character below the space can only be white space
// between tokens: inside strings JSON escapes it already.
func shown(r rune) bool { return r < utf8.RuneSelf && r != 0x7f || unicode.IsPrint(r) }

func appendEscape(b []byte, r rune) []byte {
	if r > 0xffff {
		high, low := utf16.EncodeRune(r)
		return fmt.Appendf(b, `\u%04x\u%04x`, high, low)
	}
	return fmt.Appendf(b, `\u%04x`, r)
}

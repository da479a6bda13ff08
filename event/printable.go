package event

import (
	"fmt"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Printable returns JSON text in which everything that a terminal does not show as
// one visible character is a \u escape: other control characters than those that
// JSON escapes by itself, and what hides or reorders text. Such characters stand only
// inside strings, where the escape means the same (RFC 8259, 7). The result is text
// itself if there is nothing to escape. Any goroutine may call it.
func Printable(text []byte) []byte {
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

// unprintable returns the place of the first byte that may need an escape.
func unprintable(text []byte) int {
	for i, c := range text {
		if c >= utf8.RuneSelf || c == 0x7f {
			return i
		}
	}
	return len(text)
}

// shown reports whether r may stay. What is below the space is white space between
// tokens: in strings it is escaped already.
func shown(r rune) bool { return r < utf8.RuneSelf && r != 0x7f || unicode.IsPrint(r) }

func appendEscape(b []byte, r rune) []byte {
	if r > 0xffff {
		high, low := utf16.EncodeRune(r)
		return fmt.Appendf(b, `\u%04x\u%04x`, high, low)
	}
	return fmt.Appendf(b, `\u%04x`, r)
}

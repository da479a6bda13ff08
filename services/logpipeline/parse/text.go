package parse

import (
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// decodeBytes returns a line as valid UTF-8, without line ends and padding behind it. Bytes that are no UTF-8 are read as Windows-1252, of
// which Latin-1 is a part, unless the line has control characters that no text has. A line in UTF-16, as a datagram may be, is decoded.
func decodeBytes(s string) string {
	if text, ok := decodeUTF16(s); ok {
		s = text
	}
	s = trimEnd(s)
	if utf8.ValidString(s) {
		return s
	}
	isText := strings.IndexFunc(s, func(r rune) bool { return r < ' ' && !strings.ContainsRune("\t\r\n\x00\x1b", r) }) < 0
	var b strings.Builder
	b.Grow(len(s) + len(s)/4)
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		if r == utf8.RuneError && size == 1 && isText {
			r = windows1252(s[0])
		}
		b.WriteRune(r)
		s = s[size:]
	}
	return b.String()
}

// windows1252 returns the character of a byte above 0x7f.
func windows1252(b byte) rune {
	if b >= 0xa0 {
		return rune(b)
	}
	return [...]rune{ // where it differs from Latin-1
		'€', utf8.RuneError, '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', utf8.RuneError, 'Ž', utf8.RuneError,
		utf8.RuneError, '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', utf8.RuneError, 'ž', 'Ÿ',
	}[b-0x80]
}

// decodeUTF16 decodes a text that begins with a byte order mark of UTF-16.
func decodeUTF16(s string) (string, bool) {
	var high, low int
	switch {
	case strings.HasPrefix(s, "\xff\xfe"):
		high, low = 1, 0
	case strings.HasPrefix(s, "\xfe\xff"):
		high, low = 0, 1
	default:
		return "", false
	}
	s = s[2:]
	units := make([]uint16, 0, len(s)/2)
	for ; len(s) >= 2; s = s[2:] {
		units = append(units, uint16(s[high])<<8|uint16(s[low]))
	}
	return string(utf16.Decode(units)), true
}

// byteOrderMark is U+FEFF in UTF-8.
const byteOrderMark = "\ufeff"

// cleanText returns s without what is no part of its text: a byte order mark before it, zero bytes, colours and movements of a terminal, and
// the end of the line.
func cleanText(s string) string {
	s = strings.TrimPrefix(s, byteOrderMark)
	s = trimEnd(s)
	if strings.IndexByte(s, 0) >= 0 {
		s = strings.ReplaceAll(s, "\x00", "")
		s = strings.TrimPrefix(s, byteOrderMark)
	}
	if strings.IndexByte(s, '\x1b') >= 0 {
		s = cutEscapes(s)
	}
	return s
}

// trimEnd returns s without line ends and zero bytes at its end.
func trimEnd(s string) string {
	for s != "" && (s[len(s)-1] == '\n' || s[len(s)-1] == '\r' || s[len(s)-1] == 0) {
		s = s[:len(s)-1]
	}
	return s
}

// maxEscape bounds the parameters of an escape sequence in bytes.
const maxEscape = 32

// cutEscapes removes the control sequences of ECMA-48 (section 5.4), "ESC [ parameters final". Of other sequences only the escape
// character is removed: what follows it may be text.
func cutEscapes(s string) string {
	var b strings.Builder
	b.Grow(len(s))
	for {
		before, after, found := strings.Cut(s, "\x1b")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		s = after
		if !strings.HasPrefix(s, "[") {
			continue
		}
		end := 1
		for end < len(s) && end < maxEscape && s[end] >= 0x20 && s[end] <= 0x3f {
			end++
		}
		if end < len(s) && s[end] >= 0x40 && s[end] <= 0x7e {
			s = s[end+1:]
		}
	}
}

// decodeOctal decodes "#011" and so on, as which rsyslog and syslogd write control characters. At the end of a message they are the end
// of its line. Where a digit follows, they are not decoded: it is a number.
func decodeOctal(s string) string {
	i := strings.IndexByte(s, '#')
	if i < 0 {
		return s
	}
	var b strings.Builder
	last := 0
	for ; i >= 0 && i < len(s); i = indexFrom(s, i+1, '#') {
		if c, ok := octalControl(s[i+1:]); ok {
			b.WriteString(s[last:i])
			b.WriteByte(c)
			i += 3
			last = i + 1
		}
	}
	if last == 0 {
		return s
	}
	b.WriteString(s[last:])
	return cleanText(b.String())
}

// octalControl returns the control character that three octal digits stand for.
func octalControl(s string) (byte, bool) {
	if len(s) < 3 || len(s) > 3 && isDigit(s[3]) {
		return 0, false
	}
	var n int
	for _, c := range []byte(s[:3]) {
		if c < '0' || c > '7' {
			return 0, false
		}
		n = 8*n + int(c-'0')
	}
	return byte(n), n < ' ' || n == 0x7f
}

// indexFrom returns the index of the first c in s from i on, -1 if there is none.
func indexFrom(s string, i int, c byte) int {
	if i >= len(s) {
		return -1
	}
	if at := strings.IndexByte(s[i:], c); at >= 0 {
		return i + at
	}
	return -1
}

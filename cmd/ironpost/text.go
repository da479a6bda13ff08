package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/ironpost/ironpost/internal/config"
)

// clean makes text from outside harmless to a terminal: what is not printable, such
// as controls, escapes, marks that turn the direction of writing, and zero-width
// characters, is shown as an escape, bytes that are no UTF-8 too.
func clean(s string) string {
	if strings.IndexFunc(s, harmful) < 0 && utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case harmful(r):
			b.WriteString(escape(r))
		default:
			b.WriteRune(r)
		}
		i += n
	}
	return b.String()
}

// cleaner writes lines from outside to a terminal, each as clean has it. A character
// cut by the end of one Write is completed by the next.
type cleaner struct {
	w    io.Writer
	rest []byte
}

// Write implements io.Writer.
func (c *cleaner) Write(p []byte) (int, error) {
	text := slices.Concat(c.rest, p)
	end := len(text)
	for i := max(0, end-utf8.UTFMax+1); i < len(text); i++ {
		if utf8.RuneStart(text[i]) && !utf8.FullRune(text[i:]) {
			end = i
			break
		}
	}
	c.rest = append([]byte(nil), text[end:]...)
	lines := strings.Split(string(text[:end]), "\n")
	for i := range lines {
		lines[i] = clean(lines[i])
	}
	if _, err := io.WriteString(c.w, strings.Join(lines, "\n")); err != nil {
		return 0, err
	}
	return len(p), nil
}

// harmful reports whether r may do anything but stand where it is written.
func harmful(r rune) bool { return !unicode.IsPrint(r) }

func escape(r rune) string {
	switch {
	case r == '\n':
		return `\n`
	case r == '\t':
		return `\t`
	case r < 0x80:
		return fmt.Sprintf(`\x%02x`, r)
	case r < 0x10000:
		return fmt.Sprintf(`\u%04x`, r)
	}
	return fmt.Sprintf(`\U%08x`, r)
}

// cell is clean, cut to width columns of a terminal; 0 does not cut.
func cell(s string, width int) string {
	const enough = 4 // bytes of s per column shown, so that a huge text costs nothing
	cut := width > 0 && len(s) > enough*width+utf8.UTFMax
	if cut {
		end := enough*width + utf8.UTFMax
		for range utf8.UTFMax { // not within a character
			if utf8.RuneStart(s[end]) {
				break
			}
			end--
		}
		s = s[:end]
	}
	s = clean(s)
	if !cut && (width <= 0 || displayWidth(s) <= width) {
		return s
	}
	return fit(s, width-1) + "…"
}

// words is what err says, cleaned; the problems of a configuration stand on lines of their own.
func words(err error) string {
	if _, several := errors.AsType[*config.Error](err); !several {
		return clean(err.Error())
	}
	parts := strings.Split(err.Error(), "\n")
	for i := range parts {
		parts[i] = clean(parts[i])
	}
	return strings.Join(parts, "\n")
}

// jsonLine returns raw, one JSON value, on one line in which nothing can harm a
// terminal: what may is written as a JSON escape, so the value stays the same. It returns false if
// raw is no JSON.
func jsonLine(raw []byte) (string, bool) {
	var b strings.Builder
	if !json.Valid(raw) {
		return "", false
	}
	for _, r := range string(raw) {
		switch {
		case r == '\n' || r == '\r' || r == '\t': // only between tokens
			b.WriteByte(' ')
		case !harmful(r):
			b.WriteRune(r)
		case r < 0x10000:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			high, low := surrogates(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		}
	}
	return b.String(), true
}

// surrogates are the two halves of a rune above U+FFFF (RFC 8259, section 7).
func surrogates(r rune) (high, low rune) {
	r -= 0x10000
	return 0xd800 + r>>10, 0xdc00 + r&0x3ff
}

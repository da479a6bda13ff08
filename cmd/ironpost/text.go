package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/config"
)

// clean makes text from events, files and errors safe for a terminal: it
// escapes every character that is not printable (controls, escape sequences,
// direction marks, zero-width characters) and every byte that is not UTF-8.
func clean(s string) string {
	if strings.IndexFunc(s, unprintable) < 0 && utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1, unprintable(r) && r < 0x80 && r != '\n' && r != '\t':
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case !unprintable(r):
			b.WriteRune(r)
		case r < 0x10000:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			fmt.Fprintf(&b, `\U%08x`, r)
		}
		i += n
	}
	return b.String()
}

func unprintable(r rune) bool { return !unicode.IsPrint(r) }

// cleanWriter applies clean to every line written to it. A character split
// between two calls of Write is joined again.
type cleanWriter struct {
	w    io.Writer
	rest []byte
}

// Write implements io.Writer.
func (c *cleanWriter) Write(p []byte) (int, error) {
	text := slices.Concat(c.rest, p)
	end := len(text)
	for i := max(0, end-utf8.UTFMax+1); i < len(text); i++ {
		if utf8.RuneStart(text[i]) && !utf8.FullRune(text[i:]) {
			end = i
			break
		}
	}
	c.rest = append([]byte(nil), text[end:]...)
	if _, err := io.WriteString(c.w, cleanLines(string(text[:end]))); err != nil {
		return 0, err
	}
	return len(p), nil
}

func cleanLines(s string) string {
	lines := strings.Split(s, "\n")
	for i := range lines {
		lines[i] = clean(lines[i])
	}
	return strings.Join(lines, "\n")
}

// errorText returns err cleaned; the problems of a configuration keep their
// lines.
func errorText(err error) string {
	if _, several := errors.AsType[*config.Error](err); several {
		return cleanLines(err.Error())
	}
	return clean(err.Error())
}

// jsonLine returns raw, one JSON value, on one line, with every character that
// is not printable written as a JSON escape, so that the value stays the same.
// It returns false if raw is not JSON.
func jsonLine(raw []byte) (string, bool) {
	var b bytes.Buffer
	if err := json.Compact(&b, bytes.ToValidUTF8(raw, []byte("\ufffd"))); err != nil {
		return "", false
	}
	return string(event.PrintableJSON(b.Bytes())), true
}

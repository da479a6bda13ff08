package logging

import (
	"strconv"
	"unicode"
	"unicode/utf8"

	"github.com/ironpost/ironpost/event"
)

// maxValue is the most bytes of one value in the log; a stack trace fits.
const maxValue = 16 << 10

// shorten cuts s to maxValue and appends how many bytes were cut.
func shorten(s string) string {
	if len(s) <= maxValue {
		return s
	}
	kept := event.Shorten(s, maxValue)
	return kept + "...(" + strconv.Itoa(len(s)-len(kept)) + " bytes more)"
}

// printable reports whether s is valid UTF-8 without control, format (bidi, zero
// width) or separator characters other than the space.
func printable(s string) bool {
	for _, r := range s {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return false
		}
	}
	return true
}

// appendText appends s, as the inside of a quoted Go string if it is not printable.
func appendText(b []byte, s string) []byte {
	s = shorten(s)
	if printable(s) {
		return append(b, s...)
	}
	quoted := strconv.Quote(s)
	return append(b, quoted[1:len(quoted)-1]...)
}

// appendValue appends s bare if it is one printable word, else quoted.
func appendValue(b []byte, s string) []byte {
	s = shorten(s)
	if bare(s) {
		return append(b, s...)
	}
	return strconv.AppendQuote(b, s)
}

func bare(s string) bool {
	for _, r := range s {
		if r == ' ' || r == '"' || r == '=' || r == '\\' {
			return false
		}
	}
	return s != "" && printable(s)
}

package main

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/width"

	"github.com/ironpost/ironpost/event"
)

// cell returns s cleaned and cut to width columns; width 0 does not cut.
func cell(s string, width int) string {
	const bytesPerColumn = 4 // so that a huge text costs nothing
	cut := width > 0 && len(s) > bytesPerColumn*width+utf8.UTFMax
	if cut {
		s = event.Shorten(s, bytesPerColumn*width+utf8.UTFMax)
	}
	s = clean(s)
	if !cut && (width <= 0 || displayWidth(s) <= width) {
		return s
	}
	return fit(s, width-1) + "…"
}

// displayWidth returns the terminal columns of s, which must be clean.
func displayWidth(s string) int {
	n := 0
	for _, r := range s {
		n += runeWidth(r)
	}
	return n
}

// runeWidth follows Unicode's East Asian Width (UAX 11): wide characters take
// two columns, combining marks none.
func runeWidth(r rune) int {
	if r < 0x300 {
		return 1
	}
	if unicode.In(r, unicode.Mn, unicode.Me) {
		return 0
	}
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	}
	return 1
}

// fit returns the longest prefix of s with at most n columns.
func fit(s string, n int) string {
	for i, r := range s {
		if n -= runeWidth(r); n < 0 {
			return s[:i]
		}
	}
	return s
}

// wrap splits s, which must be clean, into lines of at most n columns, between
// words where possible.
func wrap(s string, n int) []string {
	var lines []string
	for displayWidth(s) > n {
		line := fit(s, n)
		if at := strings.LastIndexByte(fit(s, n+1), ' '); at > 0 {
			line = s[:at]
		}
		lines = append(lines, line)
		s = strings.TrimLeft(s[len(line):], " ")
	}
	return append(lines, s)
}

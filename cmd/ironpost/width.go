package main

import (
	"strings"
	"unicode"

	"golang.org/x/text/width"
)

// displayWidth is how many columns of a terminal s takes, which must be clean.
func displayWidth(s string) int {
	n := 0
	for _, r := range s {
		n += columnsOf(r)
	}
	return n
}

// columnsOf goes by Unicode's East Asian Width (UAX 11): wide characters take two columns,
// marks that stand on the character before take none.
func columnsOf(r rune) int {
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

// fit is as much of s as takes at most n columns.
func fit(s string, n int) string {
	for i, r := range s {
		if n -= columnsOf(r); n < 0 {
			return s[:i]
		}
	}
	return s
}

// wrap parts s, which must be clean, into lines of at most n columns, between words where it can.
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

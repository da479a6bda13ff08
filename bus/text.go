package bus

import "strings"

// printable returns s as one line of printable ASCII of at most n bytes, fit for a
// header or an operator's terminal.
func printable(s string, n int) string {
	if len(s) > n {
		s = s[:n]
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
}

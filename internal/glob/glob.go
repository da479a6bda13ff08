// Package glob matches the patterns of policies and settings. Unlike path.Match a * matches any text, / included, and
// there is nothing else that a name could mean by accident.
package glob

import "strings"

// MaxPattern is the longest pattern in bytes that callers should allow; it bounds the cost of a match.
const MaxPattern = 256

// Match reports whether pattern matches the whole of s: * is any text, ? any one byte,
// everything else itself, in upper and lower case as it is. It takes at most
// len(pattern)·len(s) steps.
func Match(pattern, s string) bool {
	p, i := 0, 0
	star, mark := -1, 0 // the last *, and the end in s of the text tried for it
	for i < len(s) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, i
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == s[i]):
			p++
			i++
		case star >= 0:
			mark++
			p, i = star+1, mark
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}

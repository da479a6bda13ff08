package policy

// maxPattern bounds a pattern; with it, the cost of a match is bounded as well.
const maxPattern = 256

// Glob reports whether pattern matches the whole of s: * is any text, ? any one
// byte, all else itself. Case counts. It takes at most len(pattern)·len(s) steps.
func Glob(pattern, s string) bool {
	p, i := 0, 0
	star, mark := -1, 0
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
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}

// matchesAny reports whether one of patterns matches one of values; no pattern asks nothing.
func matchesAny(patterns []string, values ...string) bool {
	if len(patterns) == 0 {
		return true
	}
	for _, pattern := range patterns {
		for _, v := range values {
			if Glob(pattern, v) {
				return true
			}
		}
	}
	return false
}

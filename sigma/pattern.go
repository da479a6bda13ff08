package sigma

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

type elementKind int

const (
	literalElement elementKind = iota
	manyElement                // *
	oneElement                 // ?
	dashElement                // one of dashes, from windash
)

// dashes are the characters that windash treats as one.
const dashes = "-/–—―"

// element is one piece of a Sigma string.
type element struct {
	kind elementKind
	text string // of a literal
}

// parsePattern splits a Sigma string into literals and wildcards. A backslash
// escapes *, ? and itself; before anything else it is a plain backslash.
func parsePattern(s string) []element {
	var out []element
	var lit strings.Builder
	flush := func() {
		if lit.Len() > 0 {
			out = append(out, element{kind: literalElement, text: lit.String()})
			lit.Reset()
		}
	}
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && i+1 < len(s) && strings.IndexByte(`*?\`, s[i+1]) >= 0:
			i++
			lit.WriteByte(s[i])
		case c == '*':
			flush()
			if len(out) == 0 || out[len(out)-1].kind != manyElement {
				out = append(out, element{kind: manyElement})
			}
		case c == '?':
			flush()
			out = append(out, element{kind: oneElement})
		default:
			lit.WriteByte(c)
		}
	}
	flush()
	return out
}

// pattern is a compiled Sigma string: the runs of elements between the stars.
// Matching takes the leftmost position for every run. That is correct because a
// run always matches the same number of characters, and needs no backtracking.
type pattern struct {
	cased      bool
	runs       [][]element
	head, tail bool // the first run is anchored at the start, the last one at the end
}

func newPattern(elements []element, cased bool) *pattern {
	p := &pattern{cased: cased, head: true, tail: true}
	run := []element{}
	for i, e := range elements {
		if e.kind != manyElement {
			if e.kind == literalElement && !cased {
				e.text = lower(e.text)
			}
			run = append(run, e)
			continue
		}
		p.head = p.head && i > 0
		p.tail = i < len(elements)-1
		if len(run) > 0 {
			p.runs = append(p.runs, run)
			run = []element{}
		}
	}
	if len(run) > 0 {
		p.runs = append(p.runs, run)
	}
	return p
}

// matches expects s in lower case unless the pattern is cased.
func (p *pattern) matches(s string) bool {
	runs := p.runs
	if len(runs) == 0 {
		return s == "" || !p.head || !p.tail
	}
	if p.head {
		n := prefixLen(runs[0], s)
		if n < 0 {
			return false
		}
		if s, runs = s[n:], runs[1:]; len(runs) == 0 {
			return s == "" || !p.tail
		}
	}
	if p.tail {
		n := suffixLen(runs[len(runs)-1], s)
		if n < 0 {
			return false
		}
		s, runs = s[:len(s)-n], runs[:len(runs)-1]
	}
	for _, run := range runs {
		end := findRun(run, s)
		if end < 0 {
			return false
		}
		s = s[end:]
	}
	return true
}

// prefixLen returns how many bytes the run matches at the start of s, or -1.
func prefixLen(run []element, s string) int {
	n := 0
	for _, e := range run {
		rest := s[n:]
		switch e.kind {
		case literalElement:
			if !strings.HasPrefix(rest, e.text) {
				return -1
			}
			n += len(e.text)
		default:
			c, size := utf8.DecodeRuneInString(rest)
			if size == 0 || e.kind == dashElement && !strings.ContainsRune(dashes, c) {
				return -1
			}
			n += size
		}
	}
	return n
}

// suffixLen returns how many bytes the run matches at the end of s, or -1.
func suffixLen(run []element, s string) int {
	n := 0
	for _, e := range slices.Backward(run) {
		rest := s[:len(s)-n]
		switch e.kind {
		case literalElement:
			if !strings.HasSuffix(rest, e.text) {
				return -1
			}
			n += len(e.text)
		default:
			c, size := utf8.DecodeLastRuneInString(rest)
			if size == 0 || e.kind == dashElement && !strings.ContainsRune(dashes, c) {
				return -1
			}
			n += size
		}
	}
	return n
}

// findRun returns the end of the leftmost match of the run in s, or -1.
func findRun(run []element, s string) int {
	for start := 0; start <= len(s); {
		if run[0].kind == literalElement {
			i := strings.Index(s[start:], run[0].text)
			if i < 0 {
				return -1
			}
			start += i
		}
		if n := prefixLen(run, s[start:]); n >= 0 {
			return start + n
		}
		_, size := utf8.DecodeRuneInString(s[start:])
		start += max(size, 1)
	}
	return -1
}

// lower is strings.ToLower, but keeps invalid UTF-8: encoded values contain it,
// and ToLower would replace all invalid bytes by the same character.
func lower(s string) string {
	if utf8.ValidString(s) {
		return strings.ToLower(s)
	}
	var b strings.Builder
	b.Grow(len(s))
	for len(s) > 0 {
		c, size := utf8.DecodeRuneInString(s)
		if c == utf8.RuneError && size == 1 {
			b.WriteByte(s[0])
		} else {
			b.WriteRune(unicode.ToLower(c))
		}
		s = s[size:]
	}
	return b.String()
}

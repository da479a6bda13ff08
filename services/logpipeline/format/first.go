package format

import "regexp/syntax"

// firstBytes says which bytes a text can begin with.
type firstBytes [256]bool

// firstOf returns what texts can begin with that re, which begins with ^, matches. It may hold more.
func firstOf(re *syntax.Regexp) *firstBytes {
	var f firstBytes
	if f.add(re) {
		f.addAll()
	}
	return &f
}

// add adds what a match of re can begin with, and reports whether re may match nothing, so that what follows counts, too.
func (f *firstBytes) add(re *syntax.Regexp) (empty bool) {
	switch re.Op {
	case syntax.OpEmptyMatch, syntax.OpBeginText, syntax.OpBeginLine, syntax.OpWordBoundary, syntax.OpNoWordBoundary:
		return true
	case syntax.OpCapture, syntax.OpPlus:
		return f.add(re.Sub[0])
	case syntax.OpStar, syntax.OpQuest:
		f.add(re.Sub[0])
		return true
	case syntax.OpConcat:
		for _, sub := range re.Sub {
			if !f.add(sub) {
				return false
			}
		}
		return true
	case syntax.OpAlternate:
		for _, sub := range re.Sub {
			empty = f.add(sub) || empty
		}
		return empty
	case syntax.OpLiteral:
		if re.Flags&syntax.FoldCase == 0 {
			f.addRange(re.Rune[0], re.Rune[0])
			return false
		}
	case syntax.OpCharClass:
		for i := 0; i+1 < len(re.Rune); i += 2 {
			f.addRange(re.Rune[i], re.Rune[i+1])
		}
		return false
	}
	f.addAll()
	return false
}

// addRange adds the first bytes of the UTF-8 of low to high.
func (f *firstBytes) addRange(low, high rune) {
	for r := low; r <= high && r < 0x80; r++ {
		f[r] = true
	}
	if high >= 0x80 {
		for b := 0x80; b < len(f); b++ {
			f[b] = true
		}
	}
}

func (f *firstBytes) addAll() {
	for b := range f {
		f[b] = true
	}
}

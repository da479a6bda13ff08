package parse

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Bounds of the values of one JSON text. What is beyond them is kept as text.
const (
	maxDepth  = 32
	maxValues = 2048
)

// What is odd about a JSON text, as the field json_oddity says it.
const (
	oddDeep       = "too_deep"          // a value is nested deeper than maxDepth: it is a text
	oddMany       = "too_many_values"   // more than maxValues: the others are in json_rest
	oddIncomplete = "incomplete"        // the text ends inside of the object, or is no JSON from some place on: that is in json_rest
	oddDuplicate  = "duplicate_members" // the values of members with the same name are a list
	oddArray      = "array"             // the members are those of all objects of a list
	oddSeveral    = "several_objects"   // the members are those of all objects of a line
	oddTrailing   = "trailing_text"     // that is in json_rest
	oddLeading    = "leading_text"      // before the object
)

// member is a member of a JSON object.
type member struct {
	name  string
	value any // as of Event.Fields
}

// jsonScanner reads the objects of a text. encoding/json does not read what is only nearly JSON, which programs write and attackers
// cause, and drops members of the same name, of which programs use one or the other.
type jsonScanner struct {
	text    string
	at      int
	values  int
	stopped bool // the text from at on is not understood, or too much
	odd     []string
}

// scanJSON reads a text that begins with an object or a list of objects. It is false if not one member can be read. rest is what is not understood.
func scanJSON(text string) (members []member, odd []string, rest string, ok bool) {
	s := jsonScanner{text: text}
	var into memberList
	if s.skip('[') {
		if s.peek() != '{' {
			return nil, nil, "", false
		}
		s.note(oddArray)
	}
	objects := 0
	for ; s.peek() == '{' && !s.stopped; objects++ {
		if objects == 1 && !slices.Contains(s.odd, oddArray) {
			s.note(oddSeveral)
		}
		s.object(&into, 1)
		s.skip(',')
	}
	if slices.Contains(s.odd, oddArray) {
		s.skip(']')
	}
	if len(into.members) == 0 && (s.stopped || objects == 0) {
		return nil, nil, "", false
	}
	if s.blanks(); s.at < len(text) {
		rest = unescapeJSON(text[s.at:])
		if !s.stopped {
			s.note(oddTrailing)
		}
	}
	return into.members, s.odd, rest, true
}

// memberList is the members of an object, each name once, in the order of the text.
type memberList struct {
	members []member
	index   map[string]int
	merged  map[int]bool // members whose value is a list of those of members of the same name
}

// add adds a member, and reports whether there was one of its name.
func (l *memberList) add(m member) (duplicate bool) {
	if l.index == nil {
		l.index = make(map[string]int)
	}
	i, duplicate := l.index[m.name]
	if !duplicate {
		l.index[m.name] = len(l.members)
		l.members = append(l.members, m)
		return false
	}
	if l.merged[i] {
		list, _ := l.members[i].value.([]any)
		l.members[i].value = append(list, m.value)
		return true
	}
	if l.merged == nil {
		l.merged = make(map[int]bool)
	}
	l.merged[i] = true
	l.members[i].value = []any{l.members[i].value, m.value}
	return true
}

func (s *jsonScanner) note(oddity string) {
	if !slices.Contains(s.odd, oddity) {
		s.odd = append(s.odd, oddity)
	}
}

// stop ends the reading: the text is not understood from here on.
func (s *jsonScanner) stop(oddity string) {
	if !s.stopped {
		s.note(oddity)
	}
	s.stopped = true
}

func (s *jsonScanner) blanks() {
	for s.at < len(s.text) && strings.IndexByte(" \t\r\n", s.text[s.at]) >= 0 {
		s.at++
	}
}

// peek returns the next character that is no blank, 0 at the end.
func (s *jsonScanner) peek() byte {
	if s.blanks(); s.at < len(s.text) {
		return s.text[s.at]
	}
	return 0
}

// skip reads c if it is next, and reports whether it was.
func (s *jsonScanner) skip(c byte) bool {
	if s.peek() != c {
		return false
	}
	s.at++
	return true
}

// object reads an object, which is next, into l.
func (s *jsonScanner) object(l *memberList, depth int) {
	s.skip('{')
	if s.skip('}') {
		return
	}
	for {
		if s.peek() != '"' {
			s.stop(oddIncomplete)
			return
		}
		start := s.at
		name, whole := s.string()
		if !whole || !s.skip(':') {
			s.at = start
			s.stop(oddIncomplete)
			return
		}
		value, ok := s.value(depth)
		if ok && l.add(member{name, value}) {
			s.note(oddDuplicate)
		}
		switch {
		case s.stopped, s.skip('}'):
			return
		case !s.skip(','):
			s.stop(oddIncomplete)
			return
		}
	}
}

// value reads a value. It is false if there is none; of one that is not whole, what there is is returned.
func (s *jsonScanner) value(depth int) (value any, ok bool) {
	if s.values++; s.values > maxValues {
		s.stop(oddMany)
		return nil, false
	}
	switch c := s.peek(); {
	case c == '"':
		text, whole := s.string()
		if !whole {
			s.stop(oddIncomplete)
		}
		return text, true
	case c == '{' || c == '[':
		if depth >= maxDepth {
			return s.opaque(), true
		}
		if c == '[' {
			return s.array(depth + 1), true
		}
		var l memberList
		s.object(&l, depth+1)
		return l.asMap(), true
	case c == '-' || isDigit(c):
		return s.number(), true
	}
	for _, l := range jsonLiterals {
		if strings.HasPrefix(s.text[s.at:], l.word) {
			s.at += len(l.word)
			return l.value, true
		}
	}
	s.stop(oddIncomplete)
	return nil, false
}

var jsonLiterals = [...]struct {
	word  string
	value any
}{{"true", true}, {"false", false}, {"null", nil}}

func (l *memberList) asMap() map[string]any {
	out := make(map[string]any, len(l.members))
	for _, m := range l.members {
		out[m.name] = m.value
	}
	return out
}

func (s *jsonScanner) array(depth int) []any {
	s.skip('[')
	list := []any{}
	if s.skip(']') {
		return list
	}
	for {
		value, ok := s.value(depth)
		if ok {
			list = append(list, value)
		}
		switch {
		case s.stopped, s.skip(']'):
			return list
		case !s.skip(','):
			s.stop(oddIncomplete)
			return list
		}
	}
}

// opaque reads a value that is nested too deep, as text.
func (s *jsonScanner) opaque() string {
	s.note(oddDeep)
	start, depth := s.at, 0
	for s.at < len(s.text) {
		switch s.text[s.at] {
		case '"':
			s.string()
			continue
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		}
		if s.at++; depth == 0 {
			return unescapeJSON(s.text[start:s.at])
		}
	}
	s.stop(oddIncomplete)
	return unescapeJSON(s.text[start:])
}

// string reads a string, which is next. whole is false if its end is missing.
func (s *jsonScanner) string() (text string, whole bool) {
	start := s.at + 1
	escaped := false
	for i := start; i < len(s.text); i++ {
		switch s.text[i] {
		case '\\':
			escaped = true
			i++
		case '"':
			s.at = i + 1
			return unescapeIf(escaped, s.text[start:i]), true
		}
	}
	s.at = len(s.text)
	return unescapeIf(escaped, s.text[min(start, len(s.text)):]), false
}

func unescapeIf(escaped bool, s string) string {
	if escaped {
		return unescapeJSON(s)
	}
	return s
}

// number reads a number as an int64 or a float64, or as the text of an integer that does
// not fit, so that a 20-digit id is not rounded.
func (s *jsonScanner) number() any {
	start := s.at
	for s.at < len(s.text) && (isDigit(s.text[s.at]) || strings.IndexByte("+-.eE", s.text[s.at]) >= 0) {
		s.at++
	}
	text := s.text[start:s.at]
	if i, err := strconv.ParseInt(text, 10, 64); err == nil {
		return i
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsInf(f, 0) || !strings.ContainsAny(text, ".eE") {
		return text
	}
	return f
}

// unescapeJSON decodes the escapes of RFC 8259, section 7, and keeps what is none.
func unescapeJSON(s string) string {
	i := strings.IndexByte(s, '\\')
	if i < 0 {
		return s
	}
	var b strings.Builder
	b.Grow(len(s))
	for ; i >= 0 && i+1 < len(s); i = strings.IndexByte(s, '\\') {
		b.WriteString(s[:i])
		r, size := jsonEscape(s[i:])
		b.WriteRune(r)
		s = s[i+size:]
	}
	b.WriteString(s)
	return b.String()
}

// jsonEscape decodes the escape at the start of s, which is of two bytes or more, and returns its length.
func jsonEscape(s string) (r rune, size int) {
	switch c := s[1]; c {
	case '"', '\\', '/':
		return rune(c), 2
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	case 'u':
		high, ok := hexRune(s[2:])
		if !ok {
			return '\\', 1
		}
		if utf16.IsSurrogate(high) {
			if low, ok := hexRune(strings.TrimPrefix(s[6:], `\u`)); ok && strings.HasPrefix(s[6:], `\u`) {
				if r := utf16.DecodeRune(high, low); r != utf8.RuneError {
					return r, 12
				}
			}
			return utf8.RuneError, 6
		}
		return high, 6
	}
	return '\\', 1
}

// hexRune reads four hexadecimal digits.
func hexRune(s string) (rune, bool) {
	if len(s) < 4 {
		return 0, false
	}
	n, err := strconv.ParseUint(s[:4], 16, 16)
	return rune(n), err == nil
}

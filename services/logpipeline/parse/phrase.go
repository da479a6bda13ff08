package parse

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/ironpost/ironpost/sigma"
)

// A form is a message of a program, as its source code formats it:
//
//	{name}   one word, which sets the field name; not empty
//	{name*}  text that may be empty and have blanks: what a client or a user can write. At most one in a pattern
//	[[…]]    may be missing
//
// What precedes {name*} is matched from the beginning of the message, and what follows it from the end. So no text in its place can
// imitate the rest of the message. The names user, src (an address or a host name), port, address (an address with its port) and peer (see
// parsePeer) set the attributes of the event, and _ sets nothing. more is fields with a fixed value, "name=value", or "name" for a flag, separated by blanks.
type form struct{ pattern, action, more string }

// phrases are compiled forms, by their first byte, in order.
type phrases [256][]phrase

type phrase struct {
	form
	flags []string
	fixed [][2]string
	head  []part // begins with a literal
	tail  []part // follows the free text, begins with a literal
	free  string // name of the free text; "" if there is none
}

// part is a literal, or a word if it has a name.
type part struct{ literal, name string }

// maxCaptures is how many words and texts a pattern can have.
const maxCaptures = 12

type captures struct {
	n     int
	name  [maxCaptures]string
	value [maxCaptures]string
}

func (c *captures) add(name, value string) {
	c.name[c.n], c.value[c.n] = name, value
	c.n++
}

// compile compiles forms. It panics if a pattern is not as described for form.
func compile(forms ...form) *phrases {
	table := &phrases{}
	for _, f := range forms {
		for _, pattern := range expand(f.pattern) {
			p := compilePattern(f, pattern)
			first := p.head[0].literal[0]
			table[first] = append(table[first], p)
		}
	}
	return table
}

// expand returns pattern with and without each of its optional parts, the longest first.
func expand(pattern string) []string {
	before, rest, found := strings.Cut(pattern, "[[")
	if !found {
		return []string{pattern}
	}
	optional, rest, _ := strings.Cut(rest, "]]")
	return append(expand(before+optional+rest), expand(before+rest)...)
}

func compilePattern(f form, pattern string) phrase {
	p := phrase{form: f}
	for more := range strings.FieldsSeq(f.more) {
		if name, value, ok := strings.Cut(more, "="); ok {
			p.fixed = append(p.fixed, [2]string{name, value})
		} else {
			p.flags = append(p.flags, more)
		}
	}
	to := &p.head
	for pattern != "" {
		literal, rest, found := strings.Cut(pattern, "{")
		if literal != "" {
			*to = append(*to, part{literal: literal})
		}
		if !found {
			break
		}
		name, rest, _ := strings.Cut(rest, "}")
		pattern = rest
		if free, ok := strings.CutSuffix(name, "*"); ok {
			p.free, to = free, &p.tail
			continue
		}
		*to = append(*to, part{name: name})
	}
	p.mustBeSound()
	return p
}

// mustBeSound panics unless words and free text are separated by literals.
func (p *phrase) mustBeSound() {
	after := len(p.head) + len(p.tail)
	for _, parts := range [][]part{p.head, p.tail} {
		for i := range parts {
			if isWord := parts[i].name != ""; isWord && (i == 0 || parts[i-1].name != "") {
				panic(fmt.Sprintf("parse: pattern %q has a word that follows no literal", p.pattern))
			}
		}
	}
	if p.free != "" && p.head[len(p.head)-1].name != "" || after > maxCaptures*2 || len(p.head) == 0 {
		panic(fmt.Sprintf("parse: pattern %q has a text that follows no literal, or too many parts", p.pattern))
	}
}

// parse sets the fields of the first phrase that msg is, and reports whether there is one.
func (t *phrases) parse(ev *Event, msg string) bool {
	if msg == "" {
		return false
	}
	list := t[msg[0]]
	for i := range list {
		var c captures
		if list[i].match(msg, &c) {
			list[i].apply(ev, &c)
			return true
		}
	}
	return false
}

func (p *phrase) match(s string, c *captures) bool {
	s, ok := matchHead(p.head, s, p.free != "", c)
	if !ok || p.free == "" {
		return ok
	}
	if s, ok = matchTail(p.tail, s, c); ok {
		c.add(p.free, s)
	}
	return ok
}

// matchHead matches parts at the beginning of s, all of s unless more follows, and returns the rest.
func matchHead(parts []part, s string, more bool, c *captures) (string, bool) {
	for i, p := range parts {
		if p.name == "" {
			var ok bool
			if s, ok = strings.CutPrefix(s, p.literal); !ok {
				return "", false
			}
			continue
		}
		end := len(s)
		if i+1 < len(parts) {
			end = strings.Index(s, parts[i+1].literal)
		}
		if end < 0 || !isCapture(p.name, s[:end]) {
			return "", false
		}
		c.add(p.name, s[:end])
		s = s[end:]
	}
	return s, more || s == ""
}

// matchTail matches parts at the end of s and returns what precedes them.
func matchTail(parts []part, s string, c *captures) (string, bool) {
	for i := len(parts) - 1; i >= 0; i-- {
		if parts[i].name == "" {
			var ok bool
			if s, ok = strings.CutSuffix(s, parts[i].literal); !ok {
				return "", false
			}
			continue
		}
		before := parts[i-1].literal
		at := strings.LastIndex(s, before)
		if at < 0 || !isCapture(parts[i].name, s[at+len(before):]) {
			return "", false
		}
		c.add(parts[i].name, s[at+len(before):])
		s = s[:at+len(before)]
	}
	return s, true
}

// isCapture reports whether word can be the value of name: one word, and a number where one is needed.
func isCapture(name, word string) bool {
	if word == "" || strings.IndexByte(word, ' ') >= 0 {
		return false
	}
	if name == "port" || name == "dst_port" || name == "repeated" {
		_, err := strconv.ParseUint(word, 10, 16)
		return err == nil
	}
	return true
}

func (p *phrase) apply(ev *Event, c *captures) {
	ev.setAction(p.action)
	for _, name := range p.flags {
		ev.setFlag(name)
	}
	for _, f := range p.fixed {
		ev.capture(f[0], f[1])
	}
	for i := range c.n {
		ev.capture(c.name[i], c.value[i])
	}
}

func (e *Event) capture(name, value string) {
	switch name {
	case "_":
	case "user":
		e.setUser(value)
	case "src":
		e.setSource(value)
	case "peer":
		parsePeer(e, value)
	case "auth_method":
		e.set(name, strings.ToLower(value))
	case "address":
		e.setAddress(value)
	case "port":
		n, _ := strconv.ParseUint(value, 10, 16)
		e.setPort(uint16(n))
	case "dst_port", "repeated":
		n, _ := strconv.ParseInt(value, 10, 32)
		e.setInt(name, n)
	default:
		e.set(name, value)
	}
}

// setAddress sets the source from an address with or without a port, such as "192.0.2.7:4711", "[2001:db8::7]:4711" or "192.0.2.7".
func (e *Event) setAddress(s string) {
	if at, err := netip.ParseAddrPort(s); err == nil {
		e.setSource(at.Addr().String())
		e.setPort(at.Port())
		return
	}
	e.setSource(s)
}

// setProgram sets the program whose own file the line is from.
func (e *Event) setProgram(name, service string) {
	e.Process = name
	e.Logsource = sigma.Logsource{Product: "linux", Service: service}
}

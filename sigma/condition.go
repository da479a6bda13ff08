package sigma

import (
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Bounds of one condition; the longest public one has about 400 bytes.
const (
	maxCondition      = 8192 // bytes
	maxConditionDepth = 64   // brackets
)

type conditionOp int

const (
	opSearch conditionOp = iota
	opAnd
	opOr
	opNot
	opOf
)

// condition is a node of the syntax tree of a condition.
type condition struct {
	op     conditionOp
	kids   []condition
	search int // of opSearch: index into detection.searches
	count  int // of opOf: how many of kids must be true
}

func (r *parser) conditions(n *yaml.Node, searches []search) []condition {
	nodes := []*yaml.Node{n}
	if n.Kind == yaml.SequenceNode {
		nodes = n.Content
	}
	if len(nodes) == 0 {
		r.fail(n, "condition is an empty list")
	}
	var out []condition
	for _, node := range nodes {
		text, ok := r.text(node, "condition")
		if !ok {
			continue
		}
		c, err := parseCondition(text, searches)
		if err != nil {
			r.failAt(conditionSource(r.at(node), node, err.offset), "%s", err.what)
			continue
		}
		out = append(out, c)
	}
	return out
}

// conditionSource returns the position of offset if the condition is on one line.
func conditionSource(at Source, n *yaml.Node, offset int) Source {
	switch {
	case n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0, strings.Contains(n.Value, "\n"):
	case n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0:
		at.Column += 1 + offset
	default:
		at.Column += offset
	}
	return at
}

type conditionError struct {
	offset int
	what   string
}

// token is one word or bracket of a condition.
type token struct {
	text   string
	offset int
}

// conditionParser is a recursive descent parser for the condition grammar of the
// specification. Precedence, from low to high: or, and, not, "x of", brackets.
// Operators are accepted in any case, because public rules write them so.
type conditionParser struct {
	tokens   []token
	pos      int
	depth    int
	end      int
	searches []search
}

func parseCondition(text string, searches []search) (condition, *conditionError) {
	if len(text) > maxCondition {
		return condition{}, &conditionError{0, "condition is longer than " + strconv.Itoa(maxCondition) + " bytes"}
	}
	tokens, err := tokenize(text)
	if err != nil {
		return condition{}, err
	}
	p := &conditionParser{tokens: tokens, end: len(text), searches: searches}
	c, err := p.or()
	if err != nil {
		return condition{}, err
	}
	if t, ok := p.peek(); ok {
		return condition{}, &conditionError{t.offset, "condition: unexpected " + strconv.Quote(t.text) + ", expected and, or, or the end"}
	}
	return c, nil
}

func tokenize(text string) ([]token, *conditionError) {
	var tokens []token
	for i := 0; i < len(text); {
		switch c := text[i]; {
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
			i++
		case c == '(' || c == ')':
			tokens = append(tokens, token{text[i : i+1], i})
			i++
		case c == '|':
			return nil, &conditionError{i, "condition: aggregations after a pipe were removed in Sigma 2: write a correlation"}
		case isWord(c):
			start := i
			for i < len(text) && isWord(text[i]) {
				i++
			}
			tokens = append(tokens, token{text[start:i], start})
		default:
			return nil, &conditionError{i, "condition: unexpected character " + strconv.QuoteRune([]rune(text[i:])[0])}
		}
	}
	return tokens, nil
}

func isWord(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' ||
		c == '_' || c == '-' || c == '.' || c == '*'
}

func (p *conditionParser) peek() (token, bool) {
	if p.pos == len(p.tokens) {
		return token{offset: p.end}, false
	}
	return p.tokens[p.pos], true
}

// accept consumes the next token if it is word.
func (p *conditionParser) accept(word string) bool {
	t, ok := p.peek()
	if ok && strings.EqualFold(t.text, word) {
		p.pos++
		return true
	}
	return false
}

func (p *conditionParser) or() (condition, *conditionError) {
	return p.chain(opOr, "or", p.and)
}

func (p *conditionParser) and() (condition, *conditionError) {
	return p.chain(opAnd, "and", p.not)
}

func (p *conditionParser) chain(op conditionOp, word string, operand func() (condition, *conditionError)) (condition, *conditionError) {
	first, err := operand()
	if err != nil {
		return first, err
	}
	kids := []condition{first}
	for p.accept(word) {
		next, err := operand()
		if err != nil {
			return next, err
		}
		kids = append(kids, next)
	}
	if len(kids) == 1 {
		return first, nil
	}
	return condition{op: op, kids: kids}, nil
}

func (p *conditionParser) not() (condition, *conditionError) {
	negated := false
	for p.accept("not") {
		negated = !negated
	}
	c, err := p.primary()
	if err == nil && negated {
		c = condition{op: opNot, kids: []condition{c}}
	}
	return c, err
}

func (p *conditionParser) primary() (condition, *conditionError) {
	t, ok := p.peek()
	if !ok {
		return condition{}, &conditionError{t.offset, "condition ends too early: expected a search identifier, 1 of, all of, not or a bracket"}
	}
	p.pos++
	if t.text == "(" {
		return p.brackets(t)
	}
	if p.accept("of") {
		return p.of(t)
	}
	for i, s := range p.searches {
		if s.name == t.text {
			return condition{op: opSearch, search: i}, nil
		}
	}
	return condition{}, &conditionError{t.offset, "condition: there is no search identifier " + strconv.Quote(t.text) + p.known()}
}

// known lists the defined search identifiers for errors.
func (p *conditionParser) known() string {
	var names []string
	for _, s := range p.searches {
		if len(names) == 10 {
			names = append(names, "…")
			break
		}
		names = append(names, s.name)
	}
	return ", defined are " + strings.Join(names, ", ")
}

func (p *conditionParser) brackets(open token) (condition, *conditionError) {
	if p.depth++; p.depth > maxConditionDepth {
		return condition{}, &conditionError{open.offset, "condition: brackets nested deeper than " + strconv.Itoa(maxConditionDepth)}
	}
	c, err := p.or()
	if err != nil {
		return c, err
	}
	if !p.accept(")") {
		t, _ := p.peek()
		return c, &conditionError{t.offset, "condition: expected ) for the bracket in column " + strconv.Itoa(open.offset+1)}
	}
	p.depth--
	return c, nil
}

// of parses what follows "quantifier of".
func (p *conditionParser) of(quantifier token) (condition, *conditionError) {
	t, ok := p.peek()
	if !ok || t.text == "(" || t.text == ")" {
		return condition{}, &conditionError{t.offset, "condition: expected them or a pattern of search identifiers after of"}
	}
	p.pos++
	c := condition{op: opOf}
	for i, s := range p.searches {
		if selects(t.text, s.name) {
			c.kids = append(c.kids, condition{op: opSearch, search: i})
		}
	}
	if len(c.kids) == 0 {
		return c, &conditionError{t.offset, "condition: no search identifier matches " + strconv.Quote(t.text) + p.known()}
	}
	switch n, err := strconv.Atoi(quantifier.text); {
	case strings.EqualFold(quantifier.text, "all"):
		c.count = len(c.kids)
	case strings.EqualFold(quantifier.text, "any"):
		c.count = 1
	case err != nil || n < 1:
		return c, &conditionError{quantifier.offset, "condition: " + strconv.Quote(quantifier.text) + " of: expected all, any or a number from 1"}
	case n > len(c.kids):
		return c, &conditionError{quantifier.offset, "condition: " + quantifier.text + " of " + t.text + " can never be true, only " + strconv.Itoa(len(c.kids)) + " search identifiers match"}
	default:
		c.count = n
	}
	return c, nil
}

// selects reports whether pattern, or the word them, includes the search
// identifier name. Names that begin with _ are excluded from them only.
func selects(pattern, name string) bool {
	if strings.EqualFold(pattern, "them") {
		return !strings.HasPrefix(name, "_")
	}
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == name
	}
	last := len(parts) - 1
	if !strings.HasPrefix(name, parts[0]) {
		return false
	}
	rest := name[len(parts[0]):]
	for _, part := range parts[1:last] {
		i := strings.Index(rest, part)
		if i < 0 {
			return false
		}
		rest = rest[i+len(part):]
	}
	return strings.HasSuffix(rest, parts[last])
}

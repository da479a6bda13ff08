package document

import (
	_ "embed"
	"strings"
	"sync"
)

//go:embed licenses.txt
var licenseList string

// licenseIDs returns the identifiers of licenses and exceptions by their spelling in lower case: SPDX license list 3.28.0.
var licenseIDs = sync.OnceValue(func() map[string]string { //nolint:gochecknoglobals // computed once, never changed
	ids := map[string]string{}
	for id := range strings.FieldsSeq(licenseList) {
		ids[strings.ToLower(id)] = id
	}
	return ids
})

// maxExpression bounds the bytes of a license expression, and so the depth of its parentheses.
const maxExpression = 512

// licenseExpression returns text as a license expression (SPDX 2.3, annex D) in the spelling of the list, and whether it is
// one: packages also state free text, such as "see LICENSE". simple is true for a single identifier.
func licenseExpression(text string) (expression string, simple, ok bool) {
	if len(text) > maxExpression {
		return "", false, false
	}
	if id, known := licenseIDs()[strings.ToLower(text)]; known {
		return id, true, true
	}
	spaced := strings.ReplaceAll(strings.ReplaceAll(text, "(", " ( "), ")", " ) ")
	p := expressionParser{tokens: strings.Fields(spaced)}
	if !p.or() || len(p.tokens) > 0 {
		return "", false, false
	}
	expression = strings.ReplaceAll(strings.ReplaceAll(strings.Join(p.out, " "), "( ", "("), " )", ")")
	return expression, licenseIDs()[strings.ToLower(expression)] != "", true
}

// expressionParser reads tokens and writes them in their usual spelling.
type expressionParser struct{ tokens, out []string }

func (p *expressionParser) or() bool {
	for ok := p.and(); ; ok = p.and() {
		if !ok || !p.take("OR") {
			return ok
		}
	}
}

func (p *expressionParser) and() bool {
	for ok := p.operand(); ; ok = p.operand() {
		if !ok || !p.take("AND") {
			return ok
		}
	}
}

func (p *expressionParser) operand() bool {
	if p.take("(") {
		return p.or() && p.take(")")
	}
	if !p.id(true) {
		return false
	}
	return !p.take("WITH") || p.id(false)
}

// take moves the next token to the output if it is want, in upper or lower case.
func (p *expressionParser) take(want string) bool {
	if len(p.tokens) == 0 || !strings.EqualFold(p.tokens[0], want) {
		return false
	}
	p.tokens, p.out = p.tokens[1:], append(p.out, want)
	return true
}

// id moves an identifier of the list, with a plus for "or later" where that is allowed.
func (p *expressionParser) id(later bool) bool {
	if len(p.tokens) == 0 {
		return false
	}
	name, plus := p.tokens[0], ""
	if later && strings.HasSuffix(name, "+") && licenseIDs()[strings.ToLower(name)] == "" { // GPL-2.0+ is in the list
		name, plus = strings.TrimSuffix(name, "+"), "+"
	}
	id, known := licenseIDs()[strings.ToLower(name)]
	if known {
		p.tokens, p.out = p.tokens[1:], append(p.out, id+plus)
	}
	return known
}

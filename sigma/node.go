package sigma

import (
	"cmp"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Bounds of Match.Matched; the two lengths are in bytes.
const (
	maxMatched      = 32
	maxMatchedValue = 512
	maxWhy          = 256
)

// node is a node of the expression tree that a detection is compiled to.
type node interface {
	// eval reports whether the event satisfies the node.
	eval(e *evaluation) bool
	// explain appends the values that satisfied the node. It is called only if
	// eval is true.
	explain(e *evaluation, out []Matched) []Matched
}

type allOf []node

func (n allOf) eval(e *evaluation) bool {
	for _, kid := range n {
		if !kid.eval(e) {
			return false
		}
	}
	return true
}

func (n allOf) explain(e *evaluation, out []Matched) []Matched {
	for _, kid := range n {
		out = kid.explain(e, out)
	}
	return out
}

// atLeast is true if count of its kids are.
type atLeast struct {
	kids  []node
	count int
}

func (n atLeast) eval(e *evaluation) bool {
	need := n.count
	for i, kid := range n.kids {
		if len(n.kids)-i < need {
			return false
		}
		if kid.eval(e) {
			if need--; need == 0 {
				return true
			}
		}
	}
	return need <= 0
}

func (n atLeast) explain(e *evaluation, out []Matched) []Matched {
	for _, kid := range n.kids {
		if kid.eval(e) {
			out = kid.explain(e, out)
		}
	}
	return out
}

type negation struct{ kid node }

func (n negation) eval(e *evaluation) bool                        { return !n.kid.eval(e) }
func (n negation) explain(_ *evaluation, out []Matched) []Matched { return out }

// negatedItem is the neq modifier. Unlike not in a condition it explains itself
// with the value of the field.
type negatedItem struct {
	kid  node
	leaf explainedField
}

func (n negatedItem) eval(e *evaluation) bool                        { return !n.kid.eval(e) }
func (n negatedItem) explain(e *evaluation, out []Matched) []Matched { return n.leaf.append(e, out) }

// explainedField is the field of a leaf and its explanation.
type explainedField struct {
	slot  int
	field string
	why   string
}

func (x explainedField) append(e *evaluation, out []Matched) []Matched {
	f := e.field(x.slot)
	text := ""
	if len(f.values) > 0 {
		text = f.values[0].text
	}
	return appendMatched(out, x.field, text, x.why)
}

func appendMatched(out []Matched, field, text, why string) []Matched {
	if len(out) >= maxMatched {
		return out
	}
	return append(out, Matched{Field: field, Value: cut(text, maxMatchedValue), Why: why})
}

// cut shortens s to at most limit bytes, between characters, and frees the rest.
func cut(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return strings.Clone(s[:limit])
}

// valueTest tests one value of a field.
type valueTest interface {
	test(v *value) bool
}

// valueLeaf is true if a value of its field passes the test; for a keyword, if
// any value of the event does.
type valueLeaf struct {
	explainedField
	keyword bool
	check   valueTest
}

func (n *valueLeaf) eval(e *evaluation) bool { return n.find(e) != nil }

func (n *valueLeaf) find(e *evaluation) *value {
	var values []value
	if n.keyword {
		values = e.allKeywords()
	} else {
		values = e.field(n.slot).values
	}
	for i := range values {
		if !values[i].isNull && n.check.test(&values[i]) {
			return &values[i]
		}
	}
	return nil
}

func (n *valueLeaf) explain(e *evaluation, out []Matched) []Matched {
	v := n.find(e)
	return appendMatched(out, cmp.Or(n.field, v.field), v.text, n.why)
}

// presenceLeaf is true if the field itself, with or without values, passes the
// test.
type presenceLeaf struct {
	explainedField
	check func(*field) bool
}

func (n *presenceLeaf) eval(e *evaluation) bool { return n.check(e.field(n.slot)) }

func (n *presenceLeaf) explain(e *evaluation, out []Matched) []Matched { return n.append(e, out) }

// refLeaf compares the values of two fields of the event.
type refLeaf struct {
	explainedField
	other   int // slot
	compare func(value, other string) bool
	cased   bool
}

func (n *refLeaf) eval(e *evaluation) bool { return n.find(e) != nil }

func (n *refLeaf) find(e *evaluation) *value {
	f, g := e.field(n.slot), e.field(n.other)
	for i := range f.values {
		for j := range g.values {
			a, b := &f.values[i], &g.values[j]
			if a.isNull || b.isNull {
				continue
			}
			if n.cased && n.compare(a.text, b.text) || !n.cased && n.compare(a.lower(), b.lower()) {
				return a
			}
		}
	}
	return nil
}

func (n *refLeaf) explain(e *evaluation, out []Matched) []Matched {
	return appendMatched(out, n.field, n.find(e).text, n.why)
}

// itemExplanation is Matched.Why: search identifier, field with modifiers, value.
func itemExplanation(it *item, text string) string {
	return cut(it.search+": "+cmp.Or(it.key, "keyword")+" "+strconv.Quote(text), maxWhy)
}

package sigma

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// builder turns detections into nodes. All rules of a set share its slots.
type builder struct {
	placeholders map[string][]string
	slots        map[string]int
	names        []string
	errs         []error
	validateOnly        bool // while parsing: placeholders have no values yet
}

func newBuilder(placeholders map[string][]string) *builder {
	return &builder{placeholders: placeholders, slots: make(map[string]int)}
}

func (b *builder) slot(field string) int {
	if i, ok := b.slots[field]; ok {
		return i
	}
	i := len(b.names)
	b.slots[field] = i
	b.names = append(b.names, field)
	return i
}

// detection returns nil if there are faults.
func (b *builder) detection(d detection) node {
	before := len(b.errs)
	searches := make([]node, len(d.searches))
	for i, s := range d.searches {
		searches[i] = b.definition(s.def)
	}
	if len(b.errs) > before {
		return nil
	}
	var conditions []node
	for _, c := range d.conditions {
		conditions = append(conditions, conditionNode(c, searches))
	}
	return anyOf(conditions)
}

func anyOf(kids []node) node {
	if len(kids) == 1 {
		return kids[0]
	}
	return atLeast{kids: kids, count: 1}
}

func conditionNode(c condition, searches []node) node {
	if c.op == opSearch {
		return searches[c.search]
	}
	kids := make([]node, len(c.kids))
	for i, kid := range c.kids {
		kids[i] = conditionNode(kid, searches)
	}
	switch c.op {
	case opNot:
		return negation{kids[0]}
	case opAnd:
		return allOf(kids)
	case opOf:
		return atLeast{kids: kids, count: c.count}
	default:
		return anyOf(kids)
	}
}

func (b *builder) definition(d definition) node {
	if d.item != nil {
		n, err := b.item(d.item)
		if err != nil {
			b.errs = append(b.errs, err)
		}
		return n
	}
	parts, all := d.any, len(d.all) > 0
	if all {
		parts = d.all
	}
	kids := make([]node, 0, len(parts))
	for _, part := range parts {
		kids = append(kids, b.definition(part))
	}
	if all {
		return allOf(kids)
	}
	return anyOf(kids)
}

// item builds the node of one field: its values are linked with or, with all
// with and. neq negates the whole, so that it holds if the field is missing.
func (b *builder) item(it *item) (node, error) {
	st := itemModifiers{keyword: it.field == ""}
	if err := st.set(it.mods); err != nil {
		return nil, errorAt(it.at, "%s: %s", it.label(), err)
	}
	if err := st.checkItem(it); err != nil {
		return nil, errorAt(it.at, "%s: %s", it.label(), err)
	}
	kids := make([]node, 0, len(it.values))
	for _, v := range it.values {
		n, err := b.value(it, st, v)
		if err != nil {
			return nil, errorAt(v.at, "%s: %s", it.label(), err)
		}
		kids = append(kids, n)
	}
	n := anyOf(kids)
	if st.all {
		n = allOf(kids)
	}
	if st.neq {
		n = negatedItem{kid: n, leaf: b.explained(it, it.values[0].text)}
	}
	return n, nil
}

func (it *item) label() string {
	if it.key == "" {
		return "search " + it.search
	}
	return "search " + it.search + ", " + it.key
}

// checkItem checks what depends on the number of values and on the field.
func (st *itemModifiers) checkItem(it *item) error {
	switch {
	case st.all && len(it.values) == 1:
		return fmt.Errorf("all needs at least two values")
	case st.exists && (len(it.values) != 1 || it.values[0].kind != boolScalar):
		return fmt.Errorf("exists needs exactly one value, true or false")
	case !st.keyword:
		return nil
	case st.exists, st.neq, st.compareOp != "", st.timePart != "",
		slices.Contains(it.mods, "cidr"), slices.Contains(it.mods, "fieldref"):
		return fmt.Errorf("needs a field name: keywords take modifiers of texts and all only")
	}
	return nil
}

// value builds one value, which placeholders and modifiers may make several of.
func (b *builder) value(it *item, st itemModifiers, v scalar) (node, error) {
	if st.exists {
		return &existsLeaf{explainedField: b.explained(it, v.text), want: v.text == "true"}, nil
	}
	scalars, err := b.expand(it, v)
	if err != nil {
		return nil, err
	}
	var kids []node
	for _, s := range scalars {
		operands := []operand{newOperand(s)}
		for _, mod := range it.mods {
			if operands, err = transform(mod, operands); err != nil {
				return nil, err
			}
		}
		for _, o := range operands {
			n, err := b.leaf(it, st, o, s)
			if err != nil {
				return nil, err
			}
			kids = append(kids, n)
		}
	}
	if len(kids) == 0 {
		return nil, fmt.Errorf("the value is too short for its modifiers: nothing of it is left to look for")
	}
	return anyOf(kids), nil
}

func (b *builder) explained(it *item, text string) explainedField {
	x := explainedField{field: it.field, why: itemExplanation(it, text)}
	if it.field != "" {
		x.slot = b.slot(it.field)
	}
	return x
}

func (b *builder) leaf(it *item, st itemModifiers, o operand, s scalar) (node, error) {
	x := b.explained(it, s.text)
	switch {
	case o.kind == nullOperand && st.keyword:
		return nil, fmt.Errorf("null is no keyword")
	case o.kind == nullOperand:
		return &nullLeaf{x}, nil
	case o.kind == refOperand:
		return &refLeaf{explainedField: x, other: b.slot(o.raw), compare: refComparison(o.ref), cased: st.cased}, nil
	}
	check, err := valueTestOf(st, o)
	if err != nil {
		return nil, err
	}
	if st.keyword {
		return &keywordLeaf{why: x.why, check: check}, nil
	}
	return &fieldLeaf{explainedField: x, check: check}, nil
}

func valueTestOf(st itemModifiers, o operand) (valueTest, error) {
	switch {
	case st.timePart != "":
		return newTimeTest(st, o.number)
	case st.compareOp != "":
		return compareTest{op: st.compareOp, number: o.number}, nil
	}
	switch o.kind {
	case regexOperand:
		re, err := compileRegex(o, st.regexFlags)
		return regexTest{re}, err
	case cidrOperand:
		prefix, err := parseCIDR(o.raw)
		return cidrTest{prefix}, err
	case numberOperand:
		if !st.keyword {
			return numberTest{number: o.number, text: lower(o.raw)}, nil
		}
	case boolOperand:
		if !st.keyword {
			return textTest(o.raw), nil
		}
	case patternOperand:
		if st.keyword {
			return keywordPattern(st, o)
		}
		return newPattern(o.pattern, st.cased), nil
	}
	if err := o.toPattern("a keyword"); err != nil {
		return nil, err
	}
	return keywordPattern(st, o)
}

// keywordPattern looks anywhere in a value: keywords are full text search.
func keywordPattern(st itemModifiers, o operand) (valueTest, error) {
	if len(o.pattern) == 0 {
		return nil, fmt.Errorf("an empty keyword would match every event")
	}
	if !o.widened {
		if err := o.widen("contains"); err != nil {
			return nil, err
		}
	}
	return newPattern(o.pattern, st.cased), nil
}

// timeRanges are the values that parts of a time can have. The specification
// says 52 weeks, but years of ISO 8601 may have 53.
var timeRanges = map[string][2]int64{
	"minute": {0, 59}, "hour": {0, 23}, "day": {1, 31}, "week": {1, 53}, "month": {1, 12}, "year": {0, 9999},
}

func newTimeTest(st itemModifiers, n number) (valueTest, error) {
	limits := timeRanges[st.timePart]
	if !n.isInt || n.integer < limits[0] || n.integer > limits[1] {
		return nil, fmt.Errorf("%s must be a whole number from %d to %d", st.timePart, limits[0], limits[1])
	}
	return timeTest{part: st.timePart, op: st.compareOp, number: n}, nil
}

func parseCIDR(s string) (netip.Prefix, error) {
	if !strings.Contains(s, "/") {
		addr, err := netip.ParseAddr(s)
		if err != nil || addr.Zone() != "" {
			return netip.Prefix{}, fmt.Errorf("%q is no address block such as 10.0.0.0/8 or 2001:db8::/32", s)
		}
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	prefix, err := netip.ParsePrefix(s)
	if err != nil {
		return prefix, fmt.Errorf("%q is no address block such as 10.0.0.0/8 or 2001:db8::/32", s)
	}
	if prefix != prefix.Masked() {
		return prefix, fmt.Errorf("%q has bits outside of its mask: write %s", s, prefix.Masked())
	}
	return prefix, nil
}

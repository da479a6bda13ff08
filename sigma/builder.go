package sigma

import "fmt"

// builder compiles detections into nodes. All rules of a set share its slots:
// the numbers of the fields that they read.
type builder struct {
	placeholders map[string][]string
	slots        map[string]int // field name → slot
	fieldNames   []string       // slot → field name
	errs         []error
	validateOnly bool // in Parse, where placeholders have no values yet
}

func newBuilder(placeholders map[string][]string) *builder {
	return &builder{placeholders: placeholders, slots: make(map[string]int)}
}

func (b *builder) slot(field string) int {
	if i, ok := b.slots[field]; ok {
		return i
	}
	i := len(b.fieldNames)
	b.slots[field] = i
	b.fieldNames = append(b.fieldNames, field)
	return i
}

// detection returns nil if there are problems.
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

// item builds the node of one detection item. Its values are linked with or, with
// the modifier all with and; neq negates the result, so that it is true if the
// field is missing.
func (b *builder) item(it *item) (node, error) {
	mods := itemModifiers{keyword: it.field == ""}
	err := mods.set(it.mods)
	if err == nil {
		err = mods.checkItem(it)
	}
	if err != nil {
		return nil, errorAt(it.at, "%s: %s", it.label(), err)
	}
	kids := make([]node, 0, len(it.values))
	for _, v := range it.values {
		n, err := b.value(it, mods, v)
		if err != nil {
			return nil, errorAt(v.at, "%s: %s", it.label(), err)
		}
		kids = append(kids, n)
	}
	n := anyOf(kids)
	if mods.all {
		n = allOf(kids)
	}
	if mods.neq {
		n = negatedItem{kid: n, leaf: b.explained(it, it.values[0].text)}
	}
	return n, nil
}

func (it *item) label() string {
	if it.key == "" {
		return "search identifier " + it.search
	}
	return "search identifier " + it.search + ", " + it.key
}

// value builds the node of one value. Placeholders and modifiers may make
// several alternatives of it, which are linked with or.
func (b *builder) value(it *item, mods itemModifiers, v scalar) (node, error) {
	if mods.exists {
		want := v.text == "true"
		return &presenceLeaf{b.explained(it, v.text), func(f *field) bool { return f.present == want }}, nil
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
			n, err := b.leaf(it, mods, o, s)
			if err != nil {
				return nil, err
			}
			kids = append(kids, n)
		}
	}
	if len(kids) == 0 {
		return nil, fmt.Errorf("the value is too short for its modifiers: there is nothing left to compare with")
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

func (b *builder) leaf(it *item, mods itemModifiers, o operand, s scalar) (node, error) {
	x := b.explained(it, s.text)
	switch {
	case o.kind == nullOperand && mods.keyword:
		return nil, fmt.Errorf("null cannot be a keyword")
	case o.kind == nullOperand:
		return &presenceLeaf{x, (*field).isNull}, nil
	case o.kind == refOperand:
		leaf := &refLeaf{explainedField: x, other: b.slot(o.raw), compare: o.compare, cased: mods.cased}
		if leaf.compare == nil {
			leaf.compare = func(value, other string) bool { return value == other }
		}
		return leaf, nil
	}
	check, err := newValueTest(mods, o)
	return &valueLeaf{explainedField: x, keyword: mods.keyword, check: check}, err
}

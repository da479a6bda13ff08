package sigma

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Bounds of one detection; the largest public rule has about 1,300 values.
const (
	maxSearches = 500
	maxValues   = 20_000
)

// detection is a parsed detection: search identifiers and the conditions over
// them. Several conditions are linked with or.
type detection struct {
	searches   []search
	conditions []condition
}

// search is one search identifier with its definition.
type search struct {
	name string
	def  definition
}

// definition is what a search identifier stands for: a list (or) or map (and) of
// definitions, or one item.
type definition struct {
	any  []definition
	all  []definition
	item *item
}

// item is one field with its modifiers and values; keywords have no field.
type item struct {
	search string // the search identifier
	key    string // field and modifiers as written
	field  string
	mods   []string
	values []scalar
	at     Source
}

type scalarKind int

const (
	textScalar scalarKind = iota
	numberScalar
	boolScalar
	nullScalar
)

// scalar is one value of an item as written.
type scalar struct {
	kind   scalarKind
	text   string
	number number // of a numberScalar
	at     Source
}

// detection reads search identifiers and conditions; the keys in skip are neither.
func (r *parser) detection(o object, section string, skip ...string) detection {
	var d detection
	before := len(r.errs)
	values := 0
	for _, p := range o.pairs() {
		switch {
		case p.key.Value == "condition", slices.Contains(skip, p.key.Value):
		case p.key.Value == "timeframe" && p.value.Kind == yaml.ScalarNode:
			r.fail(p.key, "timeframe was removed in Sigma 2: write a correlation with timespan")
		default:
			s := search{name: p.key.Value, def: r.definition(p.key.Value, p.value)}
			d.searches = append(d.searches, s)
			values += s.def.size()
		}
	}
	if len(d.searches) == 0 {
		r.fail(o.node, "%s has no search identifier: add one with fields and values", section)
	}
	if len(d.searches) > maxSearches || values > maxValues {
		r.fail(o.node, "%s has %d search identifiers with %d values, allowed are %d with %d", section, len(d.searches), values, maxSearches, maxValues)
	}
	n := o.get("condition")
	if n == nil {
		r.fail(o.node, "condition is missing in %s", section)
		return d
	}
	d.conditions = r.conditions(n, d.searches)
	if len(r.errs) == before {
		r.validateDetection(d)
	}
	return d
}

// validateDetection builds the detection once, to report the problems of modifiers
// and values. Placeholders are not known yet.
func (r *parser) validateDetection(d detection) {
	b := newBuilder(nil)
	b.validateOnly = true
	b.detection(d)
	for _, err := range b.errs {
		if len(r.errs) < maxErrors {
			r.errs = append(r.errs, err)
		}
	}
}

func (d definition) size() int {
	n := 0
	if d.item != nil {
		n = len(d.item.values)
	}
	for _, child := range d.any {
		n += child.size()
	}
	for _, child := range d.all {
		n += child.size()
	}
	return n
}

func (r *parser) definition(name string, n *yaml.Node) definition {
	switch n.Kind {
	case yaml.MappingNode:
		return r.mapDefinition(name, n)
	case yaml.SequenceNode:
		return r.listDefinition(name, n)
	default:
		r.fail(n, "search identifier %s must be a map of fields or a list, not %s", name, describeNode(n))
		return definition{}
	}
}

// mapDefinition links all entries with and.
func (r *parser) mapDefinition(name string, n *yaml.Node) definition {
	if len(n.Content) == 0 {
		r.fail(n, "search identifier %s is empty", name)
		return definition{}
	}
	var d definition
	for _, p := range (object{r: r, node: n}).pairs() {
		if it := r.item(name, p); it != nil {
			d.all = append(d.all, definition{item: it})
		}
	}
	return d
}

// listDefinition links the entries with or. They are maps, or keywords, which
// become one item.
func (r *parser) listDefinition(name string, n *yaml.Node) definition {
	if len(n.Content) == 0 {
		r.fail(n, "search identifier %s is empty", name)
		return definition{}
	}
	var d definition
	keywords := &item{search: name, at: r.at(n)}
	for _, child := range n.Content {
		switch child.Kind {
		case yaml.MappingNode:
			d.any = append(d.any, r.mapDefinition(name, child))
		case yaml.SequenceNode:
			r.fail(child, "search identifier %s: a list cannot contain a list", name)
		default:
			if v, ok := r.scalar(child); ok {
				keywords.values = append(keywords.values, v)
			}
		}
	}
	if len(keywords.values) > 0 {
		d.any = append(d.any, definition{item: keywords})
	}
	return d
}

func (r *parser) item(name string, p pair) *item {
	parts := strings.Split(p.key.Value, "|")
	it := &item{search: name, key: p.key.Value, field: parts[0], mods: parts[1:], at: r.at(p.key)}
	if it.field == "" && len(it.mods) == 0 {
		r.fail(p.key, "search identifier %s: a field name is empty", name)
		return nil
	}
	switch p.value.Kind {
	case yaml.MappingNode:
		r.fail(p.value, "%s must be a value or a list of values, not a map: nested fields are written with dots", it.key)
		return nil
	case yaml.SequenceNode:
		if len(p.value.Content) == 0 {
			r.fail(p.value, "%s has an empty list of values", it.key)
		}
		for _, child := range p.value.Content {
			if v, ok := r.scalar(child); ok {
				it.values = append(it.values, v)
			}
		}
	default:
		if v, ok := r.scalar(p.value); ok {
			it.values = append(it.values, v)
		}
	}
	if len(it.values) == 0 {
		return nil
	}
	return it
}

// scalar keeps the text of a number besides its value: 0x10 also equals "0x10".
func (r *parser) scalar(n *yaml.Node) (scalar, bool) {
	s := scalar{text: n.Value, at: r.at(n)}
	if n.Kind != yaml.ScalarNode {
		r.fail(n, "a value must be a string, a number, a boolean or null, not %s", describeNode(n))
		return s, false
	}
	switch n.Tag {
	case "!!null":
		s.kind = nullScalar
	case "!!bool":
		s.kind, s.text = boolScalar, strings.ToLower(n.Value)
	case "!!int", "!!float":
		num, err := yamlNumber(n)
		if err != nil {
			r.fail(n, "the number %s is out of range", n.Value)
			return s, false
		}
		s.kind, s.number = numberScalar, num
	}
	return s, true
}

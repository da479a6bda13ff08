package policy

import (
	"bytes"
	"errors"
	"sort"
	"unicode/utf8"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// node is one TOML value with its place. The library decodes without places, so the
// tree is built from its parser.
type node struct {
	kind         unstable.Kind // String, Bool, Integer, Array, InlineTable for every table, or another scalar
	position     Position
	text         string
	list         []*node
	keys         []string // of a table, in order
	table        map[string]*node
	keyPositions map[string]Position
}

func newTable(at Position) *node {
	return &node{kind: unstable.InlineTable, position: at, table: map[string]*node{}, keyPositions: map[string]Position{}}
}

func (n *node) set(key string, at Position, value *node) {
	if _, twice := n.table[key]; !twice {
		n.keys = append(n.keys, key)
		n.keyPositions[key] = at
	}
	n.table[key] = value
}

// child returns the table called key, made if missing. Of a list of tables it is the
// last one.
func (n *node) child(key string, at Position) *node {
	have := n.table[key]
	switch {
	case have == nil:
		have = newTable(at)
		n.set(key, at, have)
	case have.kind == unstable.Array && len(have.list) > 0:
		have = have.list[len(have.list)-1]
	}
	if have.table == nil { // the library has refused such a document already
		have = newTable(at)
	}
	return have
}

// parser builds the tree of one document.
type parser struct {
	file   string
	data   []byte
	starts []int // offset of each line's first byte
	p      unstable.Parser
}

// parse returns the root table, or the one problem that makes the text no TOML.
func parse(file string, data []byte) (*node, *Problem) {
	d := &parser{file: file, data: data, starts: lineStarts(data)}
	if !utf8.Valid(data) {
		return nil, &Problem{Position: d.position(invalidAt(data)), What: "syntax error: not UTF-8"}
	}
	var sound map[string]any // the library knows what may not be defined twice
	if err := toml.Unmarshal(data, &sound); err != nil {
		return nil, d.syntaxProblem(err)
	}
	root := newTable(Position{File: file, Line: 1, Column: 1})
	d.p.Reset(data)
	for section := root; d.p.NextExpression(); {
		switch e := d.p.Expression(); e.Kind {
		case unstable.KeyValue:
			d.addKeyValue(section, e)
		case unstable.Table:
			section = d.openTable(root, e)
		case unstable.ArrayTable:
			section = d.appendTable(root, e)
		}
	}
	if err := d.p.Error(); err != nil {
		return nil, d.syntaxProblem(err)
	}
	return root, nil
}

func invalidAt(data []byte) int {
	for i := 0; i < len(data); {
		r, n := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
	return len(data)
}

func (d *parser) syntaxProblem(err error) *Problem {
	p := &Problem{Position: Position{File: d.file, Line: 1, Column: 1}, What: "syntax error: " + err.Error()}
	if at, ok := errors.AsType[*toml.DecodeError](err); ok {
		p.Position.Line, p.Position.Column = at.Position()
	}
	return p
}

// openTable follows a [header] to its table.
func (d *parser) openTable(root *node, e *unstable.Node) *node {
	n := root
	for it := e.Key(); it.Next(); {
		n = n.child(string(it.Node().Data), d.position(int(it.Node().Raw.Offset)))
	}
	return n
}

// appendTable appends a table to the list of a [[header]].
func (d *parser) appendTable(root *node, e *unstable.Node) *node {
	n := root
	for it := e.Key(); it.Next(); {
		key, at := string(it.Node().Data), d.position(int(it.Node().Raw.Offset))
		if !it.IsLast() {
			n = n.child(key, at)
			continue
		}
		list := n.table[key]
		if list == nil {
			list = &node{kind: unstable.Array, position: at}
			n.set(key, at, list)
		}
		n = newTable(at)
		list.list = append(list.list, n)
	}
	return n
}

// addKeyValue takes key = value; the key may have several parts.
func (d *parser) addKeyValue(section *node, e *unstable.Node) {
	n := section
	for it := e.Key(); it.Next(); {
		part := it.Node()
		key, at := string(part.Data), d.position(int(part.Raw.Offset))
		if it.IsLast() {
			n.set(key, at, d.toNode(e.Value(), d.valuePosition(int(part.Raw.Offset+part.Raw.Length))))
			return
		}
		n = n.child(key, at)
	}
}

// valuePosition is where the value begins whose key ends at end.
func (d *parser) valuePosition(end int) Position {
	rest := d.data[end:]
	return d.position(end + len(rest) - len(bytes.TrimLeft(rest, " \t=")))
}

func (d *parser) toNode(v *unstable.Node, at Position) *node {
	n := &node{kind: v.Kind, position: at, text: string(v.Data)}
	switch v.Kind {
	case unstable.InlineTable:
		n = newTable(at)
		for it := v.Children(); it.Next(); {
			if it.Node().Kind == unstable.KeyValue {
				d.addKeyValue(n, it.Node())
			}
		}
	case unstable.Array:
		for it := v.Children(); it.Next(); {
			if e := it.Node(); e.Kind != unstable.Comment {
				n.list = append(n.list, d.toNode(e, d.elementPosition(e, at)))
			}
		}
	}
	return n
}

// elementPosition falls back to the list's place where the parser gives an element none.
func (d *parser) elementPosition(e *unstable.Node, list Position) Position {
	if e.Raw.Length > 0 {
		return d.position(int(e.Raw.Offset))
	}
	return list
}

func (d *parser) position(offset int) Position {
	line := sort.SearchInts(d.starts, offset+1)
	column := utf8.RuneCount(d.data[d.starts[line-1]:offset]) + 1
	return Position{File: d.file, Line: line, Column: column}
}

func lineStarts(data []byte) []int {
	starts := []int{0}
	for i, b := range data {
		if b == '\n' {
			starts = append(starts, i+1)
		}
	}
	return starts
}

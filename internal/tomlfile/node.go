package tomlfile

import (
	"bytes"
	"errors"
	"sort"
	"unicode/utf8"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// Node is one TOML value with its position. The library decodes without positions, so
// the tree is built from its parser.
type Node struct {
	Kind         unstable.Kind // String, Bool, Integer, Array, InlineTable for every table, or another scalar
	Position     Position
	Text         string           // of a scalar
	List         []*Node          // the elements of an array
	Keys         []string         // of a table, in order
	Table        map[string]*Node // the values of a table
	KeyPositions map[string]Position
}

func newTable(at Position) *Node {
	return &Node{Kind: unstable.InlineTable, Position: at, Table: map[string]*Node{}, KeyPositions: map[string]Position{}}
}

func (n *Node) set(key string, at Position, value *Node) {
	if _, known := n.Table[key]; !known {
		n.Keys = append(n.Keys, key)
		n.KeyPositions[key] = at
	}
	n.Table[key] = value
}

// child returns the table called key, which it makes if needed. For a list of tables it
// is the last one.
func (n *Node) child(key string, at Position) *Node {
	have := n.Table[key]
	switch {
	case have == nil:
		have = newTable(at)
		n.set(key, at, have)
	case have.Kind == unstable.Array && len(have.List) > 0:
		have = have.List[len(have.List)-1]
	}
	if have.Table == nil { // cannot be: the library refuses such a document
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

// Parse returns the root table of the document data, or adds the problem that makes it no TOML. file is for the positions.
func Parse(file string, data []byte, problems *Problems) (root *Section, ok bool) {
	d := &parser{file: file, data: data, starts: []int{0}}
	for i, b := range data {
		if b == '\n' {
			d.starts = append(d.starts, i+1)
		}
	}
	if at := invalidUTF8(data); at < len(data) {
		problems.Add(d.positionAt(at), "", "syntax error: not UTF-8")
		return nil, false
	}
	top := newTable(Position{File: file, Line: 1, Column: 1})
	var ignored map[string]any
	err := toml.Unmarshal(data, &ignored) // refuses what the parser does not, such as a key set twice
	if err == nil {
		err = d.build(top)
	}
	if err == nil {
		return &Section{Node: top, Problems: problems}, true
	}
	at := top.Position
	if syntax, ok := errors.AsType[*toml.DecodeError](err); ok {
		at.Line, at.Column = syntax.Position()
	}
	problems.Add(at, "", "syntax error: %v", err)
	return nil, false
}

// invalidUTF8 returns the offset of the first byte that is not UTF-8, len(data) if none.
func invalidUTF8(data []byte) int {
	for i := 0; i < len(data); {
		r, n := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
	return len(data)
}

func (d *parser) build(root *Node) error {
	d.p.Reset(d.data)
	for section := root; d.p.NextExpression(); {
		switch e := d.p.Expression(); e.Kind {
		case unstable.KeyValue:
			d.addKeyValue(section, e)
		case unstable.Table, unstable.ArrayTable:
			section = d.openSection(root, e)
		}
	}
	return d.p.Error()
}

// openSection returns the table of a [header], or a new one in the list of a [[header]].
func (d *parser) openSection(root *Node, e *unstable.Node) *Node {
	n := root
	for it := e.Key(); it.Next(); {
		key, at := string(it.Node().Data), d.positionAt(int(it.Node().Raw.Offset))
		if e.Kind == unstable.Table || !it.IsLast() {
			n = n.child(key, at)
			continue
		}
		list := n.Table[key]
		if list == nil {
			list = &Node{Kind: unstable.Array, Position: at}
			n.set(key, at, list)
		}
		n = newTable(at)
		list.List = append(list.List, n)
	}
	return n
}

// addKeyValue adds key = value; the key may have several parts.
func (d *parser) addKeyValue(section *Node, e *unstable.Node) {
	n := section
	for it := e.Key(); it.Next(); {
		part := it.Node()
		key, at := string(part.Data), d.positionAt(int(part.Raw.Offset))
		if !it.IsLast() {
			n = n.child(key, at)
			continue
		}
		rest := d.data[part.Raw.Offset+part.Raw.Length:]
		value := len(d.data) - len(bytes.TrimLeft(rest, " \t="))
		n.set(key, at, d.toNode(e.Value(), d.positionAt(value)))
	}
}

func (d *parser) toNode(v *unstable.Node, at Position) *Node {
	n := &Node{Kind: v.Kind, Position: at, Text: string(v.Data)}
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
			e := it.Node()
			if e.Kind == unstable.Comment {
				continue
			}
			elementAt := at // of the list, if the parser gives the element no position
			if e.Raw.Length > 0 {
				elementAt = d.positionAt(int(e.Raw.Offset))
			}
			n.List = append(n.List, d.toNode(e, elementAt))
		}
	}
	return n
}

func (d *parser) positionAt(offset int) Position {
	line := sort.SearchInts(d.starts, offset+1)
	column := utf8.RuneCount(d.data[d.starts[line-1]:offset]) + 1
	return Position{File: d.file, Line: line, Column: column}
}

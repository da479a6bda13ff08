package config

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/pelletier/go-toml/v2/unstable"

	"github.com/ironpost/ironpost/internal/setting"
)

// document is a parsed file: the values that fit the schema, the position of everything, and the problems.
type document struct {
	file     string
	data     []byte
	starts   []int // offset of each line's first byte
	schema   schema
	parser   unstable.Parser
	values   map[string]any
	keys     map[string]Position   // where a key or a section's header stands
	at       map[string]Position   // where a key's value starts
	elements map[string][]Position // where each element of a list starts
	section  string                // that of the expressions that are walked; "" if it is not in the schema
	broken   bool                  // a syntax error: nothing else is known
	problems []Problem
	omitted  int    // problems beyond maxKept
	cursor   cursor // the last position asked for
}

// parse walks a TOML document against a schema. It never fails: mistakes are in document.problems.
func parse(file string, data []byte, s schema) *document {
	d := &document{
		file: file, data: data, starts: []int{0}, schema: s,
		values: map[string]any{}, keys: map[string]Position{}, at: map[string]Position{}, elements: map[string][]Position{},
	}
	for i, b := range data {
		if b == '\n' {
			d.starts = append(d.starts, i+1)
		}
	}
	d.walk()
	return d
}

// walk visits the top-level expressions. A table that is not in the schema is reported once and its keys are skipped.
func (d *document) walk() {
	d.parser.Reset(d.data)
	known := true
	for d.parser.NextExpression() {
		expression := d.parser.Expression()
		switch expression.Kind {
		case unstable.KeyValue:
			if known {
				d.keyValue(d.section, expression)
			}
		case unstable.Table, unstable.ArrayTable:
			d.section, known = d.table(expression)
		}
	}
	if err := d.parser.Error(); err != nil {
		d.syntax(err)
	}
}

// syntax replaces all problems by the syntax error: what was parsed before it may be wrong too.
func (d *document) syntax(err error) {
	d.broken, d.omitted = true, 0
	problem := Problem{File: d.file, What: "syntax error: " + err.Error()}
	if parserError := (*unstable.ParserError)(nil); errors.As(err, &parserError) {
		problem.At = d.position(d.offset(parserError.Highlight))
		if at, what := d.bareValue(problem.At.Line); what != "" {
			problem.At, problem.What = at, "syntax error: "+what
		}
	}
	d.problems = []Problem{problem}
}

// table records a [header] and returns the section's path and whether it is in the schema.
func (d *document) table(node *unstable.Node) (string, bool) {
	path, at, ok := d.resolve("", node.Key())
	if !ok {
		return "", false
	}
	if f, _ := d.schema.lookup(path); f.kind == kindTables && f.key == path {
		return d.listedTable(f, node, at)
	}
	switch _, isSection := d.schema.sections[path]; {
	case !isSection:
		d.report(at, path, "is a key, not a section: write it as "+path+" = value")
		return "", false
	case node.Kind == unstable.ArrayTable:
		d.report(at, path, "must be a section [name], not a list of sections [[name]]")
		return "", false
	}
	if first, twice := d.keys[path]; twice {
		d.report(at, path, fmt.Sprintf("the section is already defined at line %d, allowed once", first.Line))
		return "", false
	}
	d.keys[path] = at
	return path, true
}

// listedTable records a [[header]] and returns the path of the new element.
func (d *document) listedTable(f field, node *unstable.Node, at Position) (string, bool) {
	if node.Kind != unstable.ArrayTable {
		d.report(at, f.key, "is a list of sections: write [["+f.key+"]]")
		return "", false
	}
	first, known := d.keys[f.key]
	if known && d.at[f.key] != first { // it is a value
		d.report(at, f.key, fmt.Sprintf("the list is already set at line %d: write all of its sections as [[%s]]", first.Line, f.key))
		return "", false
	}
	if !known {
		d.keys[f.key], d.at[f.key] = at, at
	}
	return d.addElement(f, at), true
}

// addElement adds an empty element to a list of sections and returns its path.
func (d *document) addElement(f field, at Position) string {
	path := join(f.key, strconv.Itoa(len(d.elements[f.key])))
	d.keys[path] = at
	d.elements[f.key] = append(d.elements[f.key], at)
	return path
}

// tables returns the values of the elements of a list of sections.
func (d *document) tables(f field) []map[string]any {
	list := make([]map[string]any, len(d.elements[f.key]))
	for i := range list {
		list[i] = map[string]any{}
		for _, in := range f.element.fields {
			if value, ok := d.values[join(f.key, strconv.Itoa(i)+"."+in.key)]; ok {
				list[i][in.key] = value
			}
		}
	}
	return list
}

// keyValue records a line key = value, or a pair of an inline table.
func (d *document) keyValue(section string, node *unstable.Node) {
	path, at, ok := d.resolve(section, node.Key())
	if !ok {
		return
	}
	if _, isSection := d.schema.sections[path]; isSection {
		d.inlineTable(path, at, node.Value())
		return
	}
	if first, twice := d.keys[path]; twice {
		d.report(at, path, fmt.Sprintf("the key is already set at line %d, allowed once", first.Line))
		return
	}
	d.keys[path] = at
	f, _ := d.schema.lookup(path)
	d.at[path] = d.position(d.valueOffset(node))
	d.convert(f, node.Value())
}

func (d *document) inlineTable(path string, at Position, value *unstable.Node) {
	if value.Kind != unstable.InlineTable {
		d.report(at, path, "is a section, not a key: write ["+path+"]")
		return
	}
	for it := value.Children(); it.Next(); {
		d.keyValue(path, it.Node())
	}
}

// resolve follows a dotted key through the schema and reports the first part that is not there. The position is that of the last part,
// or of the unknown one.
func (d *document) resolve(path string, parts unstable.Iterator) (string, Position, bool) {
	var at Position
	for parts.Next() {
		part := parts.Node()
		at = d.position(int(part.Raw.Offset))
		name := string(part.Data)
		names, isSection := d.schema.names(path)
		if !isSection {
			d.report(at, path, "is a key, it has no parts such as "+setting.Shown(name))
			return "", at, false
		}
		if !slices.Contains(names, name) {
			d.unknown(at, path, name)
			return "", at, false
		}
		path = join(path, name)
	}
	return path, at, true
}

func (d *document) unknown(at Position, section, name string) {
	what := "unknown key"
	if section == "" {
		what = "unknown section"
	}
	if len(d.problems) < maxReported { // the search costs more than the rest
		what += d.hint(section, name)
	}
	d.report(at, join(section, setting.Key(name)), what)
}

// hint returns what an unknown name may be a misspelling of.
func (d *document) hint(section, name string) string {
	allowed, _ := d.schema.names(section)
	if near := suggest(name, allowed); near != "" {
		return ", did you mean " + near + "?"
	}
	for _, f := range d.schema.fields { // the key of this name in another section
		if strings.HasSuffix(f.key, "."+name) {
			return ", did you mean " + f.key + "?"
		}
	}
	if section == "" {
		return ", allowed are " + strings.Join(allowed, ", ")
	}
	return " in [" + section + "]"
}

// report keeps a problem, up to maxKept: a hostile file could hold a million.
func (d *document) report(at Position, key, what string) {
	if len(d.problems) >= maxKept {
		d.omitted++
		return
	}
	d.problems = append(d.problems, Problem{File: d.file, At: at, Key: key, What: what})
}

// valueOffset is where the value of a pair starts: after the last part of its key, blanks and the equals sign. The parser gives arrays
// and booleans no range of their own.
func (d *document) valueOffset(node *unstable.Node) int {
	end := 0
	for parts := node.Key(); parts.Next(); {
		end = int(parts.Node().Raw.Offset + parts.Node().Raw.Length)
	}
	rest := d.data[end:]
	return end + len(rest) - len(bytes.TrimLeft(rest, " \t="))
}

// offset is where a part of the document starts. The parser hands out slices of the data it was given; any other slice yields the end.
func (d *document) offset(part []byte) int {
	at := cap(d.data) - cap(part)
	if at < 0 || at > len(d.data) {
		return len(d.data)
	}
	return at
}

// cursor remembers a position, so that a long line is counted once and not once for every element of its list.
type cursor struct {
	offset int
	at     Position
}

func (d *document) position(offset int) Position {
	line := sort.SearchInts(d.starts, offset+1)
	from := cursor{offset: d.starts[line-1], at: Position{Line: line, Column: 1}}
	if d.cursor.at.Line == line && d.cursor.offset <= offset {
		from = d.cursor
	}
	from.at.Column += utf8.RuneCount(d.data[from.offset:offset])
	d.cursor = cursor{offset: offset, at: from.at}
	return from.at
}

package config

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"

	"github.com/ironpost/ironpost/internal/setting"
)

// convert keeps the value of a key, or reports that its type is wrong. Nothing is converted silently: 1 is not a bool, "1" not a number.
func (d *document) convert(f field, node *unstable.Node) {
	switch {
	case f.kind == kindString && node.Kind == unstable.String:
		d.values[f.key] = string(node.Data)
	case f.kind == kindBool && node.Kind == unstable.Bool:
		d.values[f.key] = string(node.Data) == "true"
	case f.kind == kindInt && node.Kind == unstable.Integer:
		d.integer(f, node)
	case f.kind == kindList && node.Kind == unstable.Array:
		d.list(f, node)
	case f.kind == kindTables && node.Kind == unstable.Array:
		d.inlineTables(f, node)
	default:
		d.report(d.at[f.key], f.key, fmt.Sprintf("is %s, must be %s", setting.TOMLKind(node.Kind), f.allowed()))
	}
}

// integer has go-toml read TOML's notations (1_000, 0x10).
func (d *document) integer(f field, node *unstable.Node) {
	var one struct{ V int64 }
	if err := toml.Unmarshal(append([]byte("V="), node.Data...), &one); err != nil {
		d.report(d.at[f.key], f.key, fmt.Sprintf("%s is not a whole number of 64 bits", setting.Shown(string(node.Data))))
		return
	}
	if what := f.overflow(one.V); what != "" {
		d.report(d.at[f.key], f.key, what)
		return
	}
	d.values[f.key] = one.V
}

func (d *document) list(f field, node *unstable.Node) {
	list, sound := []string{}, true
	for it := node.Children(); it.Next(); {
		element := it.Node()
		if element.Kind == unstable.Comment {
			continue
		}
		at := d.elementPosition(f, element)
		d.elements[f.key] = append(d.elements[f.key], at)
		list = append(list, string(element.Data))
		if element.Kind != unstable.String {
			sound = false
			d.report(at, f.key, fmt.Sprintf("element %d is %s, must be a string", len(list), setting.TOMLKind(element.Kind)))
		}
	}
	if sound {
		d.values[f.key] = list
	}
}

// inlineTables reads a list of sections that is written as a value: [{name = "a"}, {name = "b"}].
func (d *document) inlineTables(f field, node *unstable.Node) {
	for it := node.Children(); it.Next(); {
		element := it.Node()
		switch element.Kind {
		case unstable.Comment:
		case unstable.InlineTable:
			d.inlineTable(d.addElement(f, d.at[f.key]), d.at[f.key], element)
		default:
			d.report(d.at[f.key], f.key, fmt.Sprintf("element %d is %s, must be a section", len(d.elements[f.key])+1, setting.TOMLKind(element.Kind)))
		}
	}
}

// elementPosition falls back to the start of the list for a nested list, which has no range.
func (d *document) elementPosition(f field, element *unstable.Node) Position {
	switch {
	case element.Raw.Length > 0:
		return d.position(int(element.Raw.Offset))
	case element.Kind == unstable.Bool:
		return d.position(d.offset(element.Data))
	}
	return d.at[f.key]
}

// fromText reads the value of a variable or flag. A list is separated by commas and its elements are trimmed; empty text is an empty list.
func (f field) fromText(text string) (value any, what string) {
	switch f.kind {
	case kindBool:
		if text == "true" || text == "false" {
			return text == "true", ""
		}
		return nil, setting.OneOf(text, "true", "false")
	case kindInt:
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return nil, setting.Shown(text) + " is not " + f.allowed()
		}
		return n, f.overflow(n)
	case kindList:
		list := []string{}
		if strings.TrimSpace(text) == "" {
			return list, ""
		}
		for i, part := range strings.Split(text, ",") {
			part = strings.TrimSpace(part)
			if part == "" {
				return nil, fmt.Sprintf("element %d is empty, must be a list separated by commas", i+1)
			}
			list = append(list, part)
		}
		return list, ""
	}
	return text, ""
}

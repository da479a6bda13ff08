package sigma

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxDepth bounds the nesting of a document; rules need five levels.
const maxDepth = 32

// maxErrors bounds the problems that are reported of one file.
const maxErrors = 50

// parser reads the nodes of one file and collects its problems.
type parser struct {
	file string
	errs []error
}

func (r *parser) at(n *yaml.Node) Source {
	return Source{File: r.file, Line: n.Line, Column: n.Column}
}

func (r *parser) fail(n *yaml.Node, format string, args ...any) {
	r.failAt(r.at(n), format, args...)
}

func (r *parser) failAt(at Source, format string, args ...any) {
	if len(r.errs) < maxErrors {
		r.errs = append(r.errs, errorAt(at, format, args...))
	}
}

// documents returns the root nodes of the YAML documents in data.
func (r *parser) documents(data []byte) []*yaml.Node {
	var roots []*yaml.Node
	for dec := yaml.NewDecoder(bytes.NewReader(data)); ; {
		var doc yaml.Node
		switch err := dec.Decode(&doc); {
		case errors.Is(err, io.EOF):
			return roots
		case err != nil:
			r.failYAML(strings.TrimPrefix(err.Error(), "yaml: "))
			return nil
		}
		root := doc.Content[0]
		if root.Tag == "!!null" && root.Value == "" {
			continue
		}
		if len(roots) == MaxDocuments {
			r.fail(root, "more than %d documents in one file", MaxDocuments)
			return nil
		}
		roots = append(roots, root)
	}
}

var yamlErrorLine = regexp.MustCompile(`line (\d+): `)

// failYAML reports an error of the YAML library, which has the line in its text
// only.
func (r *parser) failYAML(text string) {
	at := Source{File: r.file, Line: 1, Column: 1}
	if m := yamlErrorLine.FindStringSubmatch(text); m != nil {
		at.Line, _ = strconv.Atoi(m[1]) // only digits; out of range is 0
	}
	r.failAt(at, "is not YAML: %s", yamlErrorLine.ReplaceAllString(text, ""))
}

// validateYAML reports whether a document is plain YAML: no aliases, which could
// multiply its size, no custom tags, bounded depth, no duplicate keys.
func (r *parser) validateYAML(n *yaml.Node, depth int) bool {
	if depth > maxDepth {
		r.fail(n, "nested deeper than %d levels", maxDepth)
		return false
	}
	if n.Kind == yaml.AliasNode || n.Anchor != "" {
		r.fail(n, "anchors and aliases are not allowed in rules: write the value out")
		return false
	}
	if n.Style&yaml.TaggedStyle != 0 {
		r.fail(n, "the tag %s is not allowed in rules", n.Tag)
		return false
	}
	ok := n.Kind != yaml.MappingNode || r.validateKeys(n)
	for _, child := range n.Content {
		ok = r.validateYAML(child, depth+1) && ok
	}
	return ok
}

func (r *parser) validateKeys(n *yaml.Node) bool {
	seen := make(map[string]int, len(n.Content)/2)
	ok := true
	for i := 0; i < len(n.Content); i += 2 {
		key := n.Content[i]
		switch line, twice := seen[key.Value]; {
		case key.Kind != yaml.ScalarNode:
			r.fail(key, "a key must be a plain scalar")
			ok = false
		case key.Tag == "!!merge":
			r.fail(key, "merge keys (<<) are not allowed in rules: write the values out")
			ok = false
		case twice:
			r.fail(key, "duplicate key %q, first in line %d", key.Value, line)
			ok = false
		}
		seen[key.Value] = key.Line
	}
	return ok
}

// mapping returns n as an object; what is its name in errors.
func (r *parser) mapping(n *yaml.Node, what string) (object, bool) {
	if n.Kind != yaml.MappingNode {
		r.fail(n, "%s must be a map, not %s", what, describeNode(n))
		return object{}, false
	}
	return object{r: r, node: n}, true
}

// object is a YAML map.
type object struct {
	r    *parser
	node *yaml.Node
}

// pair is one entry of a map.
type pair struct {
	key, value *yaml.Node
}

func (o object) pairs() []pair {
	out := make([]pair, 0, len(o.node.Content)/2)
	for i := 0; i+1 < len(o.node.Content); i += 2 {
		out = append(out, pair{o.node.Content[i], o.node.Content[i+1]})
	}
	return out
}

// get returns the value of key, or nil.
func (o object) get(key string) *yaml.Node {
	for _, p := range o.pairs() {
		if p.key.Value == key {
			return p.value
		}
	}
	return nil
}

// text reads an optional string of at most limit bytes; 0 is no limit.
func (o object) text(key string, limit int) string {
	n := o.get(key)
	if n == nil {
		return ""
	}
	s, ok := o.r.text(n, key)
	if ok && limit > 0 && len(s) > limit {
		o.r.fail(n, "%s is %d bytes long, allowed are %d", key, len(s), limit)
	}
	return s
}

// oneOf reads an optional string that must be one of allowed.
func (o object) oneOf(key string, allowed ...string) string {
	n := o.get(key)
	if n == nil {
		return ""
	}
	s, ok := o.r.text(n, key)
	if !ok {
		return ""
	}
	if slices.Contains(allowed, s) {
		return s
	}
	o.r.fail(n, "%s %q is none of %s", key, s, strings.Join(allowed, ", "))
	return ""
}

// matching reads an optional string that must match form.
func (o object) matching(key string, form *regexp.Regexp, allowed string) string {
	n := o.get(key)
	if n == nil {
		return ""
	}
	s := n.Value
	if n.Tag != "!!timestamp" { // that is a date without quotes
		var ok bool
		if s, ok = o.r.text(n, key); !ok {
			return ""
		}
	}
	if !form.MatchString(s) {
		o.r.fail(n, "%s %q must be %s", key, s, allowed)
		return ""
	}
	return s
}

func (o object) texts(key string) []string { return o.r.texts(o.get(key), key) }

// texts reads an optional list of distinct strings.
func (r *parser) texts(n *yaml.Node, key string) []string {
	if n == nil {
		return nil
	}
	if n.Kind != yaml.SequenceNode {
		r.fail(n, "%s must be a list of strings, not %s", key, describeNode(n))
		return nil
	}
	var out []string
	seen := make(map[string]bool, len(n.Content))
	for _, child := range n.Content {
		s, ok := r.text(child, "each item of "+key)
		if !ok {
			continue
		}
		if seen[s] {
			r.fail(child, "%s holds %q twice", key, s)
		}
		seen[s] = true
		out = append(out, s)
	}
	return out
}

// textOrTexts reads an optional string or list of strings.
func (r *parser) textOrTexts(n *yaml.Node, key string) []string {
	if n == nil || n.Kind != yaml.ScalarNode {
		return r.texts(n, key)
	}
	if s, ok := r.text(n, key); ok {
		return []string{s}
	}
	return nil
}

func (r *parser) text(n *yaml.Node, what string) (string, bool) {
	if n.Kind != yaml.ScalarNode || n.Tag != "!!str" {
		r.fail(n, "%s must be a string, not %s", what, describeNode(n))
		return "", false
	}
	return n.Value, true
}

func describeNode(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a map"
	case yaml.SequenceNode:
		return "a list"
	}
	switch n.Tag {
	case "!!null":
		return "null"
	case "!!str":
		return "a string"
	case "!!int", "!!float":
		return fmt.Sprintf("the number %s", n.Value)
	case "!!bool":
		return fmt.Sprintf("the boolean %s", n.Value)
	}
	return fmt.Sprintf("%q", n.Value)
}

package sigma

import (
	"errors"

	"go.yaml.in/yaml/v3"
)

// MaxFileSize is the size in bytes above which Parse refuses a file.
const MaxFileSize = 1 << 20

// MaxDocuments is the number of YAML documents Parse accepts in one file.
const MaxDocuments = 1000

// Parse reads the YAML documents of one file; name is used in errors only. It
// checks the types and the required attributes of the specification's JSON
// schemas and ignores other attributes. All problems (the first 50) are joined
// into one error of *ParseError; the documents are then nil.
func Parse(name string, data []byte) ([]Document, error) {
	r := &parser{file: name}
	start := Source{File: name, Line: 1, Column: 1}
	if len(data) > MaxFileSize {
		return nil, errorAt(start, "the file has %d bytes, allowed are %d", len(data), MaxFileSize)
	}
	roots := r.documents(data)
	if len(roots) == 0 && len(r.errs) == 0 {
		return nil, errorAt(start, "the file contains no document: a rule needs title, logsource and detection")
	}
	docs := make([]Document, 0, len(roots))
	for _, root := range roots {
		if r.validateYAML(root, 0) {
			docs = append(docs, r.document(root))
		}
	}
	if len(r.errs) > 0 {
		return nil, errors.Join(r.errs...)
	}
	return docs, nil
}

func (r *parser) document(root *yaml.Node) Document {
	o, ok := r.mapping(root, "a document")
	if !ok {
		return Document{}
	}
	if n := o.get("action"); n != nil {
		r.fail(n, "action (global, repeat, reset) was removed in Sigma 2: write each rule out")
		return Document{}
	}
	switch {
	case o.get("correlation") != nil:
		return Document{Correlation: r.correlation(o)}
	case o.get("filter") != nil:
		return Document{Filter: r.filter(o)}
	default:
		return Document{Rule: r.rule(o)}
	}
}

func (r *parser) rule(o object) *Rule {
	rule := &Rule{Meta: r.meta(o), Logsource: r.logsource(o)}
	n := o.get("detection")
	if n == nil {
		r.fail(o.node, "detection is missing: a map of search identifiers and a condition")
		return rule
	}
	if d, ok := r.mapping(n, "detection"); ok {
		rule.detection = r.detection(d, "detection")
	}
	return rule
}

// filter reads a filter document. "rules" may be the word any, as in pySigma,
// besides the list of the schema.
func (r *parser) filter(o object) *Filter {
	f := &Filter{Meta: r.meta(o), Logsource: r.logsource(o)}
	d, ok := r.mapping(o.get("filter"), "filter")
	if !ok {
		return f
	}
	switch n := d.get("rules"); {
	case n == nil:
		r.fail(d.node, "rules is missing in filter: a list of ids and names, or any")
	case n.Kind == yaml.ScalarNode && n.Value == "any":
	default:
		f.Rules, f.refs = r.references(n)
	}
	f.detection = r.detection(d, "filter", "rules")
	return f
}

// references reads a list of ids or names with their positions.
func (r *parser) references(n *yaml.Node) ([]string, []reference) {
	names := r.texts(n, "rules")
	if len(names) == 0 && n.Kind == yaml.SequenceNode {
		r.fail(n, "rules is empty: name at least one rule by its id or name")
	}
	var refs []reference
	if len(names) == len(n.Content) {
		for i, name := range names {
			refs = append(refs, reference{name: name, at: r.at(n.Content[i])})
		}
	}
	return names, refs
}

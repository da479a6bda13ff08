package sigma

import (
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Lengths and patterns of the JSON schemas.
const (
	maxTitle       = 256
	maxDescription = 65535
)

var (
	uuidForm = regexp.MustCompile(`^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$`)
	dateForm = regexp.MustCompile(`^\d{4}-(0[1-9]|1[012])-(0[1-9]|[12][0-9]|3[01])$`)
	tagForm  = regexp.MustCompile(`^[a-z0-9_-]+\.[a-z0-9._-]+$`)
)

const (
	uuidAllowed = "a UUID such as 929a690e-bef0-4204-a928-ef5e620d6fcc"
	dateAllowed = "a date YYYY-MM-DD"
)

// meta reads the attributes that all kinds of documents share.
func (r *parser) meta(o object) Meta {
	m := Meta{
		ID:             strings.ToLower(o.matching("id", uuidForm, uuidAllowed)),
		Title:          o.text("title", maxTitle),
		Name:           o.text("name", maxTitle),
		Taxonomy:       o.text("taxonomy", maxTitle),
		Status:         o.oneOf("status", "stable", "test", "experimental", "deprecated", "unsupported"),
		Level:          o.oneOf("level", "informational", "low", "medium", "high", "critical"),
		Description:    o.text("description", maxDescription),
		License:        o.text("license", 0),
		Author:         o.text("author", 0),
		Date:           o.matching("date", dateForm, dateAllowed),
		Modified:       o.matching("modified", dateForm, dateAllowed),
		Tags:           r.tags(o),
		References:     o.texts("references"),
		FalsePositives: r.textOrTexts(o.get("falsepositives"), "falsepositives"),
		Fields:         o.texts("fields"),
		Scope:          o.texts("scope"),
		Related:        r.related(o),
		Source:         r.at(o.node),
	}
	if o.get("title") == nil {
		r.fail(o.node, "title is missing: a short title for what is detected")
	} else if n := o.get("title"); n.Tag == "!!str" && strings.TrimSpace(n.Value) == "" {
		r.fail(n, "title is empty")
	}
	return m
}

func (r *parser) tags(o object) []string {
	tags := o.texts("tags")
	for i, tag := range tags {
		if !tagForm.MatchString(tag) {
			r.fail(o.get("tags").Content[i], "tag %q must be namespace.name of lower-case letters, digits, dot, hyphen and underscore", tag)
		}
	}
	return tags
}

func (r *parser) related(o object) []Related {
	n := o.get("related")
	if n == nil {
		return nil
	}
	if n.Kind != yaml.SequenceNode {
		r.fail(n, "related must be a list of maps with id and type, not %s", describeNode(n))
		return nil
	}
	var out []Related
	for _, child := range n.Content {
		entry, ok := r.mapping(child, "each item of related")
		if !ok {
			continue
		}
		if entry.get("id") == nil || entry.get("type") == nil {
			r.fail(child, "each item of related needs id and type")
			continue
		}
		out = append(out, Related{
			ID:   strings.ToLower(entry.matching("id", uuidForm, uuidAllowed)),
			Type: entry.oneOf("type", "derived", "obsolete", "merged", "renamed", "similar"),
		})
	}
	return out
}

// logsource refuses an empty logsource, as pySigma does: the rule would match
// events of every source.
func (r *parser) logsource(o object) Logsource {
	n := o.get("logsource")
	if n == nil {
		r.fail(o.node, "logsource is missing: a map of category, product or service")
		return Logsource{}
	}
	m, ok := r.mapping(n, "logsource")
	if !ok {
		return Logsource{}
	}
	_ = m.text("definition", 0) // a description, only its type is checked
	l := Logsource{
		Category: strings.ToLower(m.text("category", maxTitle)),
		Product:  strings.ToLower(m.text("product", maxTitle)),
		Service:  strings.ToLower(m.text("service", maxTitle)),
	}
	if l == (Logsource{}) {
		r.fail(n, "logsource is empty: it needs category, product or service")
	}
	return l
}

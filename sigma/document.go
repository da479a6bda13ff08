package sigma

import (
	"cmp"
	"time"
)

// Document is one YAML document: exactly one of the pointers is set.
type Document struct {
	Rule        *Rule
	Correlation *Correlation
	Filter      *Filter
}

// Meta are the attributes that rules, correlations and filters share. A missing
// attribute is empty; attributes outside of the specification are allowed and
// ignored.
type Meta struct {
	ID             string // UUID, lower case
	Title          string
	Name           string // unique; correlations may refer to it
	Taxonomy       string
	Status         string // stable, test, experimental, deprecated or unsupported
	Level          string // informational, low, medium, high or critical
	Description    string
	License        string
	Author         string
	Date           string // YYYY-MM-DD
	Modified       string // YYYY-MM-DD
	Tags           []string
	References     []string
	FalsePositives []string
	Fields         []string
	Scope          []string
	Related        []Related
	Source         Source
}

// Key returns the id of the document, else its name, else its position.
func (m *Meta) Key() string {
	return cmp.Or(m.ID, m.Name, m.Source.String())
}

// Related is a link to another rule.
type Related struct {
	ID   string
	Type string // derived, obsolete, merged, renamed or similar
}

// Rule is one detection rule. It is immutable after Parse.
type Rule struct {
	Meta
	Logsource Logsource
	detection detection
}

// Filter adds its condition to rules: to those of Rules, or if that is nil to
// every rule whose logsource does not conflict with the filter's.
type Filter struct {
	Meta
	Logsource Logsource
	// Rules are ids or names.
	Rules     []string
	refs      []reference
	detection detection
}

// CorrelationType is how a correlation aggregates.
type CorrelationType string

// The correlation types of the specification. Parse accepts all of them; Compile
// refuses value_sum, value_avg and value_percentile, which are not evaluated.
const (
	EventCount      CorrelationType = "event_count"
	ValueCount      CorrelationType = "value_count"
	Temporal        CorrelationType = "temporal"
	TemporalOrdered CorrelationType = "temporal_ordered"
	ValueSum        CorrelationType = "value_sum"
	ValueAvg        CorrelationType = "value_avg"
	ValuePercentile CorrelationType = "value_percentile"
)

// Correlation aggregates matches of rules, or of other correlations, over time.
// It is immutable after Parse.
type Correlation struct {
	Meta
	Type CorrelationType
	// Rules are ids or names of rules or correlations, in the document's order.
	Rules []string
	// GroupBy are fields or aliases; events with different values are counted
	// separately. Empty means one group.
	GroupBy []string
	// Aliases maps alias → rule (as written in Rules) → field.
	Aliases map[string]map[string]string
	// Timespan is the length of the sliding window.
	Timespan time.Duration
	// Fields are the counted fields of value_count and the other value types.
	Fields []string
	// Condition holds one bound, or two that must both be satisfied.
	Condition []Bound
	// Generate is true if the referenced rules also report on their own.
	Generate bool

	refs   []reference
	typeAt Source
}

// Bound compares a count or a value with a number.
type Bound struct {
	Op    string // gt, gte, lt, lte, eq or neq
	Value float64
}

// reference is an id or name and its position.
type reference struct {
	name string
	at   Source
}

package sigma

import (
	"fmt"
	"time"
)

// Document is one YAML document: exactly one of the pointers is set.
type Document struct {
	Rule        *Rule
	Correlation *Correlation
	Filter      *Filter
}

// Meta is what rules, correlations and filters say about themselves. An
// attribute the document leaves out is empty; attributes the specification does
// not know are allowed and ignored.
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

// Key identifies the document among others: its id, else its name, else where
// it stands.
func (m *Meta) Key() string {
	switch {
	case m.ID != "":
		return m.ID
	case m.Name != "":
		return m.Name
	default:
		return m.Source.String()
	}
}

// Related is a link to another rule.
type Related struct {
	ID   string
	Type string // derived, obsolete, merged, renamed or similar
}

// Source is a place in a file. Line and Column count from 1.
type Source struct {
	File   string
	Line   int
	Column int
}

// String returns file:line:column.
func (s Source) String() string {
	return fmt.Sprintf("%s:%d:%d", s.File, s.Line, s.Column)
}

// Rule is one detection rule. It is immutable after Parse.
type Rule struct {
	Meta
	Logsource Logsource
	detection detection
}

// Filter narrows rules: those of Rules (every rule, if it is nil) whose
// logsource does not conflict with the filter's also need its condition.
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

// The correlation types of the specification. Parse accepts all of them;
// Compile refuses those that this package does not evaluate.
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
	// GroupBy are fields or aliases; events that differ in them are counted
	// apart. Empty means one group.
	GroupBy []string
	// Aliases maps alias → rule (as written in Rules) → field.
	Aliases map[string]map[string]string
	// Timespan is the length of the sliding window.
	Timespan time.Duration
	// Fields are the counted fields of value_count and the other value types.
	Fields []string
	// Condition holds one bound, or two which must both hold.
	Condition []Bound
	// Generate says whether the referred rules also report on their own.
	Generate bool

	refs   []reference
	typeAt Source
}

// Bound compares a count or a value with a number.
type Bound struct {
	Op    string // gt, gte, lt, lte, eq or neq
	Value float64
}

// reference is an id or name and where it is written.
type reference struct {
	name string
	at   Source
}

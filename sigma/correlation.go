package sigma

import (
	"cmp"
	"regexp"
	"slices"
	"strconv"
	"time"

	"go.yaml.in/yaml/v3"
)

// maxTimespan keeps sums of timespans far from overflow.
const maxTimespan = 10 * 365 * 24 * time.Hour

var timespanForm = regexp.MustCompile(`^([0-9]{1,9})([smhd])$`)

// correlationKeys are the attributes of the correlation section. Other keys are
// refused, unlike in the document itself: a misspelled one would change what is
// detected.
var correlationKeys = map[string]bool{
	"type": true, "rules": true, "group-by": true, "timespan": true,
	"condition": true, "aliases": true, "generate": true,
}

func (r *parser) correlation(o object) *Correlation {
	c := &Correlation{Meta: r.meta(o)}
	for _, key := range []string{"detection", "filter"} {
		if n := o.get(key); n != nil {
			r.fail(n, "%s and correlation cannot be in one document", key)
		}
	}
	s, ok := r.mapping(o.get("correlation"), "correlation")
	if !ok {
		return c
	}
	for _, p := range s.pairs() {
		if !correlationKeys[p.key.Value] {
			r.fail(p.key, "correlation has no key %q: allowed are type, rules, group-by, timespan, condition, aliases, generate", p.key.Value)
		}
	}
	if n := s.get("type"); n == nil {
		r.fail(s.node, "type is missing in correlation")
	} else {
		c.typeAt = r.at(n)
		c.Type = CorrelationType(s.oneOf("type", string(EventCount), string(ValueCount), string(Temporal),
			string(TemporalOrdered), string(ValueSum), string(ValueAvg), string(ValuePercentile)))
	}
	if n := s.get("rules"); n == nil {
		r.fail(s.node, "rules is missing in correlation: a list of ids and names")
	} else {
		c.Rules, c.refs = r.references(n)
	}
	c.GroupBy = s.texts("group-by")
	c.Timespan = r.timespan(s)
	c.Generate = r.flag(o, "generate") || r.flag(s, "generate") // the schema and pySigma have it in different places
	r.aliases(c, s)
	r.correlationCondition(c, s)
	return c
}

func (r *parser) timespan(s object) time.Duration {
	n := s.get("timespan")
	if n == nil {
		r.fail(s.node, "timespan is missing in correlation: a number and s, m, h or d, such as 5m")
		return 0
	}
	m := timespanForm.FindStringSubmatch(n.Value)
	if n.Kind != yaml.ScalarNode || m == nil {
		r.fail(n, "timespan must be a number and s, m, h or d, such as 5m")
		return 0
	}
	units := map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour, "d": 24 * time.Hour}
	count, _ := strconv.ParseInt(m[1], 10, 64) // at most nine digits
	if unit := units[m[2]]; count >= 1 && count <= int64(maxTimespan/unit) {
		return time.Duration(count) * unit
	}
	r.fail(n, "timespan %s is out of range: allowed are 1s to 3650d", n.Value)
	return 0
}

func (r *parser) flag(o object, key string) bool {
	n := o.get(key)
	if n == nil {
		return false
	}
	if n.Tag != "!!bool" {
		r.fail(n, "%s must be true or false, not %s", key, describeNode(n))
	}
	return n.Value == "true"
}

func (r *parser) aliases(c *Correlation, s object) {
	n := s.get("aliases")
	if n == nil {
		return
	}
	m, ok := r.mapping(n, "aliases")
	if !ok {
		return
	}
	c.Aliases = make(map[string]map[string]string)
	for _, alias := range m.pairs() {
		fields, ok := r.mapping(alias.value, "an alias")
		if !ok {
			continue
		}
		byRule := make(map[string]string)
		for _, p := range fields.pairs() {
			if !slices.Contains(c.Rules, p.key.Value) {
				r.fail(p.key, "alias for %q, which is not in the rules of this correlation", p.key.Value)
			}
			byRule[p.key.Value] = fields.text(p.key.Value, 0)
		}
		c.Aliases[alias.key.Value] = byRule
	}
}

// correlationCondition reads the bounds. The temporal types need all of their
// rules if there is no condition; the other types require one.
func (r *parser) correlationCondition(c *Correlation, s object) {
	n := s.get("condition")
	temporal := c.Type == Temporal || c.Type == TemporalOrdered
	if n == nil {
		if !temporal {
			r.fail(s.node, "condition is missing in correlation: such as gte: 10")
		}
		c.Condition = []Bound{{Op: "gte", Value: float64(len(c.Rules))}}
		return
	}
	if n.Kind == yaml.ScalarNode {
		r.fail(n, "condition of a correlation must be a map such as gte: 10; boolean conditions over rules are not in Sigma 2.1")
		return
	}
	m, ok := r.mapping(n, "condition of a correlation")
	if !ok {
		return
	}
	for _, p := range m.pairs() {
		if p.key.Value == "field" {
			c.Fields = r.textOrTexts(p.value, "field")
			continue
		}
		r.bound(c, p)
	}
	r.checkCondition(c, n)
}

func (r *parser) bound(c *Correlation, p pair) {
	switch p.key.Value {
	case "gt", "gte", "lt", "lte", "eq", "neq":
	default:
		r.fail(p.key, "condition has no key %q: allowed are gt, gte, lt, lte, eq, neq and field", p.key.Value)
		return
	}
	v, err := strconv.ParseFloat(p.value.Value, 64)
	if err != nil || (p.value.Tag != "!!int" && p.value.Tag != "!!float") {
		r.fail(p.value, "%s must be a number, not %s", p.key.Value, describeNode(p.value))
		return
	}
	if p.value.Tag != "!!int" && countIsWhole(c.Type) || v < 0 || v > 1e15 {
		r.fail(p.value, "%s must be a whole number from 0, not %s", p.key.Value, p.value.Value)
		return
	}
	c.Condition = append(c.Condition, Bound{Op: p.key.Value, Value: v})
}

// countIsWhole reports whether the count of a type is a whole number.
func countIsWhole(t CorrelationType) bool {
	return t == EventCount || t == ValueCount || t == Temporal || t == TemporalOrdered
}

func (r *parser) checkCondition(c *Correlation, n *yaml.Node) {
	needsField := c.Type == ValueCount || c.Type == ValueSum || c.Type == ValueAvg || c.Type == ValuePercentile
	switch {
	case needsField && len(c.Fields) == 0:
		r.fail(n, "%s needs field in its condition: the field whose values count", c.Type)
	case !needsField && len(c.Fields) > 0:
		r.fail(n, "%s takes no field in its condition", c.Type)
	}
	switch {
	case len(c.Condition) == 0:
		r.fail(n, "condition has no bound: one of gt, gte, lt, lte, eq, neq, or a lower with an upper one")
	case len(c.Condition) > 2, len(c.Condition) == 2 && !isRange(c.Condition):
		r.fail(n, "condition may have one bound, or a lower one (gt, gte) with an upper one (lt, lte)")
	case countIsWhole(c.Type) && !satisfiable(c.Condition):
		r.fail(n, "condition can never be true: it is evaluated when an event comes, so the count is at least 1")
	}
}

func isRange(b []Bound) bool {
	lower := func(op string) bool { return op == "gt" || op == "gte" }
	upper := func(op string) bool { return op == "lt" || op == "lte" }
	return lower(b[0].Op) && upper(b[1].Op) || upper(b[0].Op) && lower(b[1].Op)
}

// satisfiable reports whether a count from 1 on satisfies the bounds. It tries the
// counts around every bound.
func satisfiable(bounds []Bound) bool {
	tries := []float64{1, 2}
	for _, b := range bounds {
		tries = append(tries, b.Value-1, b.Value, b.Value+1)
	}
	for _, v := range tries {
		if v >= 1 && satisfies(bounds, v) {
			return true
		}
	}
	return false
}

func satisfies(bounds []Bound, v float64) bool {
	for _, b := range bounds {
		if !inRelation(b.Op, cmp.Compare(v, b.Value)) {
			return false
		}
	}
	return true
}

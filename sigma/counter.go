package sigma

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"
	"time"
)

// minLateness is the least time that events of one group may come late.
const minLateness = 10 * time.Minute

// maxTemporalEvents bounds a group of the temporal types, whose windows are
// searched and not only counted. Runs of one rule are stored as their two ends.
const maxTemporalEvents = 256

// compiledCorrelation is a compiled correlation.
type compiledCorrelation struct {
	correlation *Correlation
	identity    string     // what snapshots know it by
	groupBy     [][]string // rule → the fields to group by, aliases resolved
	fields      [][]string // rule → the fields whose values count
	span        int64      // ns
	maxDistance        int64      // ns: how far events of a group may lie apart
	maxEvents   int
	silent      bool
	dependents       []dependent
}

// dependent leads from a rule or correlation to a correlation built on it.
type dependent struct {
	correlation int // index into RuleSet.counters
	rule    int // index into Correlation.Rules
}

func (c *compiledCorrelation) temporal() bool {
	return c.correlation.Type == Temporal || c.correlation.Type == TemporalOrdered
}

func canonical(name string) string {
	if uuidForm.MatchString(name) {
		return strings.ToLower(name)
	}
	return name
}

func (c *compiler) buildCorrelations() {
	c.rs.ruleDependents = make(map[*Rule][]dependent)
	for _, correlation := range c.rs.correlations {
		c.rs.compiledCorrelations = append(c.rs.compiledCorrelations, c.compileCorrelation(correlation))
	}
	before := len(c.builder.errs)
	for i := range c.rs.compiledCorrelations {
		c.linkReferences(i)
	}
	c.markSilent()
	if len(c.builder.errs) == before {
		c.checkCycles()
	}
}

func (c *compiler) compileCorrelation(correlation *Correlation) compiledCorrelation {
	limits := c.rs.limits
	k := compiledCorrelation{
		correlation: correlation,
		identity:    identity(correlation),
		span:        int64(correlation.Timespan),
		maxEvents:   limits.MaxGroupEvents,
	}
	k.maxDistance = k.span + max(int64(minLateness), k.span)
	if limits.Lateness > 0 {
		k.maxDistance = k.span + int64(limits.Lateness)
	}
	switch correlation.Type {
	case Temporal, TemporalOrdered:
		k.maxEvents = min(k.maxEvents, maxTemporalEvents)
	case EventCount, ValueCount:
	default:
		c.fail(correlation.typeAt, "correlations of type %s are not evaluated: use event_count, value_count, temporal or temporal_ordered", correlation.Type)
	}
	for _, b := range correlation.Condition {
		if countsThings(correlation.Type) && b.Value >= float64(k.maxEvents) {
			c.fail(correlation.typeAt, "the condition %s %.0f needs more events than a group may hold (%d)", b.Op, b.Value, k.maxEvents)
		}
	}
	for _, rule := range correlation.Rules {
		k.groupBy = append(k.groupBy, resolveAliases(correlation, rule, correlation.GroupBy))
		k.fields = append(k.fields, resolveAliases(correlation, rule, correlation.Fields))
	}
	return k
}

// resolveAliases replaces aliases by the field that rule has for them. An alias
// that says nothing for the rule is taken as a field's name.
func resolveAliases(c *Correlation, rule string, names []string) []string {
	out := make([]string, len(names))
	for i, name := range names {
		out[i] = name
		if field, ok := c.Aliases[name][rule]; ok {
			out[i] = field
		}
	}
	return out
}

// identity changes with whatever makes stored events meaningless, so not with
// the bounds or the timespan.
func identity(c *Correlation) string {
	form, _ := json.Marshal(struct { // strings and maps of strings always encode
		Type    CorrelationType
		Rules   []string
		GroupBy []string
		Fields  []string
		Aliases map[string]map[string]string
	}{c.Type, c.Rules, c.GroupBy, c.Fields, c.Aliases})
	sum := sha256.Sum256(form)
	name := c.ID
	if name == "" {
		name = c.Name
	}
	if name == "" {
		name = c.Title
	}
	return name + "#" + hex.EncodeToString(sum[:8])
}

// linkReferences leads the rules that counter i refers to into it.
func (c *compiler) linkReferences(i int) {
	for rule, ref := range c.rs.compiledCorrelations[i].correlation.refs {
		t, ok := c.resolve(ref)
		switch f := (dependent{correlation: i, rule: rule}); {
		case !ok:
		case t.rule >= 0:
			r := c.rs.rules[t.rule]
			c.rs.ruleDependents[r] = append(c.rs.ruleDependents[r], f)
		case t.correlation >= 0:
			inner := &c.rs.compiledCorrelations[t.correlation]
			inner.dependents = append(inner.dependents, f)
		default:
			c.fail(ref.at, "%q is a filter: correlations refer to rules and correlations", ref.name)
		}
	}
}

// markSilent marks what only serves correlations that do not generate.
func (c *compiler) markSilent() {
	for i, r := range c.rs.rules {
		c.rs.compiledRules[i].silent = c.served(c.rs.ruleDependents[r])
	}
	for i := range c.rs.compiledCorrelations {
		c.rs.compiledCorrelations[i].silent = c.served(c.rs.compiledCorrelations[i].dependents)
	}
}

func (c *compiler) served(feeds []dependent) bool {
	for _, f := range feeds {
		if c.rs.compiledCorrelations[f.correlation].correlation.Generate {
			return false
		}
	}
	return len(feeds) > 0
}

// checkCycles finds correlations that are built on themselves.
func (c *compiler) checkCycles() {
	state := make([]int, len(c.rs.compiledCorrelations)) // 0 new, 1 on the way, 2 done
	var visit func(i int) bool
	visit = func(i int) bool {
		if state[i] != 0 {
			return state[i] == 2
		}
		state[i] = 1
		for _, f := range c.rs.compiledCorrelations[i].dependents {
			if !visit(f.correlation) {
				return false
			}
		}
		state[i] = 2
		return true
	}
	for i := range c.rs.compiledCorrelations {
		if !visit(i) {
			k := c.rs.compiledCorrelations[i].correlation
			c.fail(k.Source, "the correlation %q is part of a circle of correlations", k.Title)
			return
		}
	}
}

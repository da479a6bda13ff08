package sigma

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"time"
)

// minLateness is the smallest default of Limits.Lateness.
const minLateness = 10 * time.Minute

// maxTemporalEvents bounds a group of the temporal types, whose whole window is
// read for every event. Runs of one rule are stored as their two ends.
const maxTemporalEvents = 256

// compiledCorrelation is a correlation with its references resolved.
type compiledCorrelation struct {
	correlation *Correlation
	identity    string     // its name in snapshots
	groupBy     [][]string // rule → group-by fields, aliases resolved
	fields      [][]string // rule → counted fields, aliases resolved
	span        int64      // timespan in ns
	maxDistance int64      // ns that events of a group may lie apart
	maxEvents   int
	silent      bool        // only serves correlations without generate
	dependents  []dependent // correlations that refer to this one
}

// dependent is a correlation that refers to a rule or to another correlation.
type dependent struct {
	correlation int // index into RuleSet.compiledCorrelations
	rule        int // index into Correlation.Rules
}

func (c *compiledCorrelation) temporal() bool {
	return c.correlation.Type == Temporal || c.correlation.Type == TemporalOrdered
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
		if countIsWhole(correlation.Type) && b.Value >= float64(k.maxEvents) {
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
// without a field for the rule is read as the name of a field.
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

// identity changes with everything that makes stored events meaningless; the
// bounds and the timespan do not.
func identity(c *Correlation) string {
	form, _ := json.Marshal(struct { // strings and maps of strings cannot fail
		Type    CorrelationType
		Rules   []string
		GroupBy []string
		Fields  []string
		Aliases map[string]map[string]string
	}{c.Type, c.Rules, c.GroupBy, c.Fields, c.Aliases})
	sum := sha256.Sum256(form)
	return cmp.Or(c.ID, c.Name, c.Title) + "#" + hex.EncodeToString(sum[:8])
}

// linkReferences adds correlation i to the dependents of what it refers to.
func (c *compiler) linkReferences(i int) {
	for rule, ref := range c.rs.compiledCorrelations[i].correlation.refs {
		t, ok := c.resolve(ref)
		switch d := (dependent{correlation: i, rule: rule}); {
		case !ok:
		case t.rule >= 0:
			r := c.rs.rules[t.rule]
			c.rs.ruleDependents[r] = append(c.rs.ruleDependents[r], d)
		case t.correlation >= 0:
			inner := &c.rs.compiledCorrelations[t.correlation]
			inner.dependents = append(inner.dependents, d)
		default:
			c.fail(ref.at, "%q is a filter: correlations refer to rules and correlations", ref.name)
		}
	}
}

// markSilent marks the rules and correlations that only serve correlations
// without generate.
func (c *compiler) markSilent() {
	onlyServes := func(dependents []dependent) bool {
		generates := func(d dependent) bool { return c.rs.compiledCorrelations[d.correlation].correlation.Generate }
		return len(dependents) > 0 && !slices.ContainsFunc(dependents, generates)
	}
	for i, r := range c.rs.rules {
		c.rs.compiledRules[i].silent = onlyServes(c.rs.ruleDependents[r])
	}
	for i := range c.rs.compiledCorrelations {
		c.rs.compiledCorrelations[i].silent = onlyServes(c.rs.compiledCorrelations[i].dependents)
	}
}

// checkCycles refuses correlations that refer to themselves through others.
func (c *compiler) checkCycles() {
	const (
		unvisited = iota
		visiting
		done
	)
	state := make([]int, len(c.rs.compiledCorrelations))
	var visit func(i int) bool
	visit = func(i int) bool {
		if state[i] != unvisited {
			return state[i] == done
		}
		state[i] = visiting
		for _, d := range c.rs.compiledCorrelations[i].dependents {
			if !visit(d.correlation) {
				return false
			}
		}
		state[i] = done
		return true
	}
	for i := range c.rs.compiledCorrelations {
		if !visit(i) {
			k := c.rs.compiledCorrelations[i].correlation
			c.fail(k.Source, "the correlation %q refers to itself through other correlations", k.Title)
			return
		}
	}
}

package sigma

import "sync"

// RuleSet is a compiled set of rules and correlations. It is immutable.
type RuleSet struct {
	rules        []*Rule
	compiledRules     []compiledRule // as rules
	logsources      []Logsource    // the distinct ones of rules
	correlations []*Correlation
	compiledCorrelations     []compiledCorrelation // as correlations
	ruleDependents    map[*Rule][]dependent
	limits       Limits
	pool         *sync.Pool // of *evaluation
}

type compiledRule struct {
	root   node
	logsource int // index into sources
	silent bool
}

// Match is one rule that an event satisfies.
type Match struct {
	Rule *Rule
	// Matched says what in the event satisfied the rule: at most 32 entries.
	Matched []Matched
	// Silent is set for a rule that only serves correlations (their generate
	// is false): hand it to Correlator.Observe, but do not report it.
	Silent bool
}

// Matched is one field value that satisfied one search of a rule.
type Matched struct {
	Field string // empty if the event itself is not named by a field
	Value string // at most 512 bytes, cut at a character
	Why   string // such as: selection: CommandLine|contains "curl"; at most 256 bytes
}

// Rules returns the rules in the order of the documents. Do not change them.
func (rs *RuleSet) Rules() []*Rule { return rs.rules }

// Correlations returns the correlations in the order of the documents. Do not
// change them.
func (rs *RuleSet) Correlations() []*Correlation { return rs.correlations }

// Match returns the rules that ev satisfies, in the order of the documents,
// silent ones included. It may be called concurrently.
func (rs *RuleSet) Match(ev Event) []Match {
	e := rs.pool.Get().(*evaluation)
	defer rs.pool.Put(e)
	defer e.reset()
	e.event = ev.Fields
	skip := rs.skipped(ev.Logsource, e.skip[:0])
	e.skip = skip
	var out []Match
	for i := range rs.compiledRules {
		r := &rs.compiledRules[i]
		if skip[r.logsource] || !r.root.eval(e) {
			continue
		}
		out = append(out, Match{Rule: rs.rules[i], Matched: r.root.explain(e, nil), Silent: r.silent})
	}
	return out
}

// skipped says for each of the sources whether it conflicts with l.
func (rs *RuleSet) skipped(l Logsource, out []bool) []bool {
	for _, source := range rs.logsources {
		out = append(out, source.Conflicts(l))
	}
	return out
}

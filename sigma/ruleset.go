package sigma

import "sync"

// RuleSet is a compiled set of rules and correlations. It is immutable and safe
// for concurrent use.
type RuleSet struct {
	rules                []*Rule
	compiledRules        []compiledRule // as rules
	logsources           []Logsource    // the distinct ones of rules
	correlations         []*Correlation
	compiledCorrelations []compiledCorrelation // as correlations
	ruleDependents       map[*Rule][]dependent
	limits               Limits
	pool                 *sync.Pool // of *evaluation
}

type compiledRule struct {
	root      node
	logsource int  // index into RuleSet.logsources
	silent    bool // only serves correlations without generate
}

// Match is one rule that an event satisfies.
type Match struct {
	Rule *Rule
	// Matched are the values of the event that satisfied the rule: at most 32.
	Matched []Matched
	// Silent is set for a rule that only serves correlations (their generate
	// is false): pass it to Correlator.Observe, but do not report it.
	Silent bool
}

// Matched is one field value that satisfied one search identifier of a rule.
type Matched struct {
	Field string // empty if the whole event is the value
	Value string // at most 512 bytes, cut between characters
	Why   string // such as: selection: CommandLine|contains "curl"; at most 256 bytes
}

// Rules returns the rules in the order of the documents. Do not change them.
func (rs *RuleSet) Rules() []*Rule { return rs.rules }

// Correlations returns the correlations in the order of the documents. Do not
// change them.
func (rs *RuleSet) Correlations() []*Correlation { return rs.correlations }

// Match returns the rules that ev satisfies, in the order of the documents,
// silent ones included.
func (rs *RuleSet) Match(ev Event) []Match {
	e := rs.pool.Get().(*evaluation)
	defer rs.pool.Put(e)
	defer e.reset()
	conflict := true
	for _, l := range rs.logsources {
		conflicts := l.Conflicts(ev.Logsource)
		e.conflicts = append(e.conflicts, conflicts)
		conflict = conflict && conflicts
	}
	if conflict {
		return nil
	}
	e.begin(ev.Fields)
	var out []Match
	for i := range rs.compiledRules {
		r := &rs.compiledRules[i]
		if e.conflicts[r.logsource] || !r.root.eval(e) {
			continue
		}
		out = append(out, Match{Rule: rs.rules[i], Matched: r.root.explain(e, nil), Silent: r.silent})
	}
	return out
}

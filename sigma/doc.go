// Package sigma reads Sigma 2.1 rules and evaluates them on events: Parse turns
// YAML into documents, Compile turns documents into a RuleSet, RuleSet.Match
// says which rules one event satisfies and why, and a Correlator counts those
// matches over event time. It knows nothing about logs or alerts; the caller
// turns lines into events and matches into whatever it reports.
//
// Rules are evaluated as a plain tree: patterns are compiled and lower-cased
// once, nothing else is clever, so that the result can serve as the oracle of
// a faster engine. Where the specification leaves room, or contradicts itself,
// the choice is written beside the code that makes it.
//
// Source: the Sigma rules, modifiers, correlation and filter specifications,
// version 2.1.0, with pySigma as the reference for what they leave out.
package sigma

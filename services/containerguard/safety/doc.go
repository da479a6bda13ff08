// Package safety keeps the guard from doing harm: how old an alert may be (age.go), which
// containers are protected (protected.go), which addresses are never blocked
// (blockfilter.go), how many containers may be isolated and how often a target is acted
// on (state.go), and how many independent alerts a policy has seen (corroboration.go).
// It decides and remembers; it changes no container. State and corroboration are exact
// in memory at once and on disk when Save returns, in sizes that are bounded.
package safety

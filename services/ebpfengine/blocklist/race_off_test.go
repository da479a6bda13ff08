//go:build !race

package blocklist_test

// randomLists and randomSequences are how many the properties are tried with.
const (
	randomLists     = 100_000
	randomSequences = 3000
)

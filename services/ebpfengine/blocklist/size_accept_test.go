//go:build accept && !race

package blocklist_test

// randomLists and randomSequences are how many the properties are tried with.
const (
	randomLists     = 100_000
	randomSequences = 3000
	kernelLists     = 100_000 // with the program itself
	feedLines       = 1_000_000
	expiringEntries = 100_000
)

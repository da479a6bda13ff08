//go:build !race && !accept

package blocklist_test

// randomLists and randomSequences are how many the properties are tried with.
const (
	randomLists     = 100_000
	randomSequences = 1000
	kernelLists     = 2000 // with the program itself
	feedLines       = 1_000_000
)

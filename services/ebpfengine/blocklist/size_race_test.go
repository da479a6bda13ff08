//go:build race

package blocklist_test

// randomLists and randomSequences are fewer where everything takes ten times as long.
const (
	randomLists     = 2000
	randomSequences = 200
	kernelLists     = 300 // with the program itself
	feedLines       = 50_000
	expiringEntries = 10_000
)

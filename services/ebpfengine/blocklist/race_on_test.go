//go:build race

package blocklist_test

// randomLists and randomSequences are fewer where everything takes ten times as long.
const (
	randomLists     = 5000
	randomSequences = 200
)

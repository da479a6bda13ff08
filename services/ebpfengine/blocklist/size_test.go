//go:build !race && !accept

package blocklist_test

// randomLists and randomSequences are how many the properties are tried with; make accept-ebpf-engine tries more.
const (
	randomLists     = 10_000
	randomSequences = 1000
	kernelLists     = 500 // with the program itself
	feedLines       = 100_000
	expiringEntries = 20_000
)

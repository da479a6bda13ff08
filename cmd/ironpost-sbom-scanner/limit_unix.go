//go:build unix

package main

import "golang.org/x/sys/unix"

// limitMemory ends the process when it needs much more than bytes. The runtime's own limit only makes it collect garbage more often.
func limitMemory(bytes int64) error {
	most := uint64(bytes) + uint64(bytes)/2
	return unix.Setrlimit(unix.RLIMIT_DATA, &unix.Rlimit{Cur: most, Max: most})
}

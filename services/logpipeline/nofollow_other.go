//go:build !unix

package logpipeline

import "os"

// openNoFollow opens path for reading; links are not refused on this system.
func openNoFollow(path string) (*os.File, error) { return os.Open(path) }

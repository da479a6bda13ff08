//go:build !unix

package logpipeline

import "os"

// syncFolder does nothing where folders cannot be synced.
func syncFolder(string) error { return nil }

func openNoFollow(path string) (*os.File, error) { return os.Open(path) }

//go:build !unix

package safety

import "os"

// syncFolder does nothing where a folder cannot be synced.
func syncFolder(string) error { return nil }

func openNoFollow(path string) (*os.File, error) { return os.Open(path) }

//go:build unix

package logpipeline

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// syncFolder makes a rename in folder durable.
func syncFolder(folder string) (err error) {
	dir, err := os.Open(folder)
	if err != nil {
		return fmt.Errorf("sync data folder: %w", err)
	}
	defer func() { err = errors.Join(err, dir.Close()) }()
	if err := dir.Sync(); err != nil {
		return fmt.Errorf("sync data folder: %w", err)
	}
	return nil
}

// openNoFollow opens path for reading, but not through a link put in its place.
func openNoFollow(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW, 0)
}

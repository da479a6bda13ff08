//go:build unix

package safety

import (
	"errors"
	"os"
	"syscall"
)

// syncFolder makes a rename in folder durable.
func syncFolder(folder string) (err error) {
	dir, err := os.Open(folder)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dir.Close()) }()
	return dir.Sync()
}

// openNoFollow opens path for reading, but not through a link put in its place.
func openNoFollow(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW, 0)
}

//go:build !linux && !darwin

package pidfile

import (
	"errors"
	"os"
)

// openLocked opens path without a lock: on these systems the file only informs.
func openLocked(path string) (*os.File, error) { return open(path, lockMode) }

func open(path string, mode os.FileMode) (*os.File, error) {
	return os.OpenFile(path, os.O_RDWR|os.O_CREATE, mode)
}

// removeAndClose closes first: some systems cannot remove an open file.
func removeAndClose(path string, file *os.File) error {
	return errors.Join(file.Close(), os.Remove(path))
}

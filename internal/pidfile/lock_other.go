//go:build !linux && !darwin

package pidfile

import (
	"errors"
	"fmt"
	"os"
)

// openLocked opens path without a lock: on these systems the file only informs.
func openLocked(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, fileMode)
	if err != nil {
		return nil, fmt.Errorf("pid file: %w", err)
	}
	return file, nil
}

// removeAndClose closes first: some systems cannot remove an open file.
func removeAndClose(path string, file *os.File) error {
	return errors.Join(file.Close(), os.Remove(path))
}

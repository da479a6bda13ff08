//go:build !unix

package advisory

import (
	"io"
	"os"
)

// This system has no such flags.
const (
	noFollow = 0
	nonBlock = 0
)

// mapFile reads the whole file: on this system it is not mapped.
func mapFile(file *os.File) (data []byte, unmap func() error, err error) {
	data, err = io.ReadAll(file)
	return data, func() error { return nil }, err
}

//go:build !unix

package advisory

import "os"

// This system has no such flags.
const (
	noFollow = 0
	nonBlock = 0
)

// mapFile reads a part of a file: on this system it is not mapped.
func mapFile(file *os.File, from, length int64) (data []byte, unmap func() error, err error) {
	data = make([]byte, length)
	_, err = file.ReadAt(data, from)
	return data, func() error { return nil }, err
}

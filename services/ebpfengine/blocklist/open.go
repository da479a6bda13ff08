package blocklist

import (
	"errors"
	"os"
	"syscall"
)

var errNotRegular = errors.New("not a regular file")

// openRegular opens a regular file to read and returns its version. It does not wait for the other end of a pipe in the file's
// place: that is errNotRegular, with the version of the pipe.
func openRegular(path string) (*os.File, version, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOCTTY, 0)
	if err != nil {
		return nil, version{}, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, version{}, errors.Join(err, f.Close())
	}
	if !info.Mode().IsRegular() {
		_ = f.Close() // was not read
		return nil, versionOf(info), errNotRegular
	}
	return f, versionOf(info), nil
}

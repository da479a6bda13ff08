package blocklist

import (
	"os"
	"syscall"
)

// openWithoutWaiting opens a file to read. It does not wait for the other end of a pipe in the file's place.
func openWithoutWaiting(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOCTTY, 0)
}

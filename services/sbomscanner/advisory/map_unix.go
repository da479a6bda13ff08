//go:build unix

package advisory

import (
	"errors"
	"math"
	"os"

	"golang.org/x/sys/unix"
)

// Opening a symbolic link is an error, and opening a FIFO does not wait.
const (
	noFollow = unix.O_NOFOLLOW
	nonBlock = unix.O_NONBLOCK
)

// mapFile maps a part of a file for reading; unmap gives it back. Pages are read when they are touched and are not the process's
// own memory.
func mapFile(file *os.File, from, length int64) (data []byte, unmap func() error, err error) {
	if length == 0 {
		return nil, func() error { return nil }, nil
	}
	skipped := from % int64(os.Getpagesize()) // a mapping begins at the start of a page
	if length+skipped > math.MaxInt {
		return nil, nil, errors.New("it is larger than the address space")
	}
	pages, err := unix.Mmap(int(file.Fd()), from-skipped, int(length+skipped), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, nil, os.NewSyscallError("mmap", err)
	}
	return pages[skipped:], func() error { return os.NewSyscallError("munmap", unix.Munmap(pages)) }, nil
}

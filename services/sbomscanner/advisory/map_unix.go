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

// mapFile maps a whole file for reading; unmap gives it back. Pages are read when they are touched and are not the process's own.
func mapFile(file *os.File) (data []byte, unmap func() error, err error) {
	info, err := file.Stat()
	if err != nil {
		return nil, nil, err
	}
	if info.Size() == 0 || info.Size() > math.MaxInt {
		return nil, nil, errors.New("its size is not that of an index")
	}
	data, err = unix.Mmap(int(file.Fd()), 0, int(info.Size()), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, nil, os.NewSyscallError("mmap", err)
	}
	// Lookups touch single records: reading ahead would only fill memory.
	err = unix.Madvise(data, unix.MADV_RANDOM)
	if err != nil {
		return nil, nil, errors.Join(os.NewSyscallError("madvise", err), unix.Munmap(data))
	}
	return data, func() error { return unix.Munmap(data) }, nil
}

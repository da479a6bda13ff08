package kmsg

import (
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// openDevice opens the log so that reading does not wait. The runtime's poller is not used: each read returns one record.
func openDevice() (*os.File, error) {
	fd, err := unix.Open(device, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: device, Err: err}
	}
	if err := unix.SetNonblock(fd, false); err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	file := os.NewFile(uintptr(fd), device)
	return file, unix.SetNonblock(fd, true)
}

func isEmpty(err error) bool       { return errors.Is(err, unix.EAGAIN) }
func isOverwritten(err error) bool { return errors.Is(err, unix.EPIPE) }

// uptime returns the time since the start of the machine as the kernel's log counts it.
func uptime() time.Duration {
	var t unix.Timespec
	if unix.ClockGettime(unix.CLOCK_MONOTONIC, &t) != nil {
		return 0
	}
	return time.Duration(t.Nano())
}

package sdnotify

import "golang.org/x/sys/unix"

// monotonicMicroseconds reads CLOCK_MONOTONIC, which systemd compares with its own.
func monotonicMicroseconds() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return 0
	}
	return ts.Nano() / 1000
}

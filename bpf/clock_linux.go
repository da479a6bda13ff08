package bpf

import (
	"time"

	"golang.org/x/sys/unix"
)

// kernelClock returns how the monotonic clock and the wall stand at now. It moves with every step of the wall clock, so it is
// asked anew each time.
func kernelClock(now time.Time) clock {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return clock{} // never: the clock exists since Linux 2.6
	}
	return clock{offset: now.UnixNano() - ts.Nano()}
}

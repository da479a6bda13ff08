package bpf

import "time"

// clock converts between the program's time and wall-clock time. The program's time is in nanoseconds of the kernel's monotonic
// clock, or, in replay, since 1970.
type clock struct{ offset int64 }

func (c clock) programTime(t time.Time) uint64 {
	return uint64(max(0, t.UnixNano()-c.offset))
}

func (c clock) wallTime(ns uint64) time.Time {
	return time.Unix(0, int64(ns)+c.offset)
}

// clockFor returns the clock of programs that are loaded for replay or not.
func clockFor(replay bool) clock {
	if replay {
		return clock{}
	}
	return kernelClock(time.Now())
}

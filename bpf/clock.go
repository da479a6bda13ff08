package bpf

import "time"

// clock relates the programs' time, in nanoseconds, to the wall's: the kernel's monotonic clock, or in replay the nanoseconds
// since 1970.
type clock struct{ offset int64 }

// to returns the program's time of t.
func (c clock) to(t time.Time) uint64 {
	return uint64(max(0, t.UnixNano()-c.offset))
}

// from returns the wall's time of ns.
func (c clock) from(ns uint64) time.Time {
	return time.Unix(0, int64(ns)+c.offset)
}

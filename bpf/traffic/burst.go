package traffic

import "time"

// SliceLength is the length of one of Target.Slices.
const SliceLength = 1 << 26 * time.Nanosecond

// Burst returns how many packets came in the slices with at least half as many as the busiest one, and how long these slices are
// together. Traffic at a steady rate is one burst as long as the window.
func (t *Target) Burst() (packets uint64, lasting time.Duration) {
	var most uint64
	for _, n := range t.Slices {
		most = max(most, n)
	}
	for _, n := range t.Slices {
		if n > 0 && 2*n >= most {
			packets += n
			lasting += SliceLength
		}
	}
	return packets, lasting
}

package blocklist

// state is where the reconciliation of the kernel's blocklist stands. The writer derives it from what is read, queued and
// failed; it is never stored anywhere else.
//
//	          something to write                     a comparison found it equal, or all is written
//	loading ──────────────────────▶ out of sync ──────────────────────────────────▶ in sync
//	   ▲     ◀──────────────────────     ▲  │ ▲  ◀──────────────────────────────────    ▲ │
//	   │          all is written         │  │ └── entry, feed, expiry, difference ──────┼─┘
//	 start       compared, then a batch  │  │ the kernel refuses                        │ room for all
//	                        was written  │  ▼                                           ▼
//	                                   failing                                     kernel full
//
// A failed batch is no longer queued, so failing ends only after a comparison that could read the kernel (compareIfDue): at once
// if it found no difference, else with the next batch that is written; what is then still queued is out of sync. The kernel may
// refuse in any state, and failing leads to the state that holds then.
// "in sync" and "kernel full" differ only in whether all desired entries have room.
type state string

const (
	// loading: the bucket or a feed file has not been read since the start, the bucket perhaps because it is unavailable. What
	// the unread ones put into the kernel before stays in force.
	loading state = "loading"
	// outOfSync: prefixes are queued whose entry in the kernel may differ from the desired one; the writer works through them.
	outOfSync state = "out of sync"
	// inSync: the kernel holds the desired state.
	inSync state = "in sync"
	// kernelFull: the kernel holds as much of the desired state as it has room for (see plan.allocate).
	kernelFull state = "kernel full"
	// failing: the kernel refused a read or write, and what it lacks has not been found by a comparison and begun to be written.
	// The writer compares, and tries again, after retryDelay.
	failing state = "failing"
)

// state returns the present state. r.mu is held.
func (r *Reconciler) state() state {
	overBucket, overFeeds := r.plan.overflow()
	switch {
	case r.kernel.err != nil:
		return failing
	case r.plan.pending() > 0:
		return outOfSync
	case !r.plan.bucketKnown || !r.plan.feedsKnown:
		return loading
	case overBucket+overFeeds > 0:
		return kernelFull
	}
	return inSync
}

package blocklist

import (
	"context"
	"net/netip"
	"time"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/internal/task"
)

// maxInvalid bounds how many keys with unusable values are remembered.
const maxInvalid = 10_000

// watchBucket follows the bucket; until it can be opened, it tries every retryDelay.
func (r *Reconciler) watchBucket(ctx context.Context) error {
	for ctx.Err() == nil {
		kv, err := r.deps.Bus.KV(ctx, bus.BlocklistBucket)
		r.mu.Lock()
		first := err != nil && r.bucket.err == nil && ctx.Err() == nil
		r.bucket.err = err
		r.mu.Unlock()
		if err == nil {
			return kv.Watch(ctx, r.applyBucketEvent)
		}
		if first {
			r.deps.Log.WithError(err).Warn("bucket of the blocklist unavailable, retrying")
		}
		task.Pause(ctx, retryDelay)
	}
	return nil
}

// applyBucketEvent takes over a change of the bucket. A value that is not a valid block removes the block that the key had.
func (r *Reconciler) applyBucketEvent(e bus.KVEvent) {
	r.mu.Lock()
	defer r.mu.Unlock()
	defer r.wakeWriter()
	now := time.Now()
	if e.Snapshot {
		clear(r.bucket.invalid)
		blocks := make([]bus.Block, 0, len(e.Entries))
		for _, entry := range e.Entries {
			if b, ok := r.decode(entry, now); ok {
				blocks = append(blocks, b)
			}
		}
		r.compareNow = r.plan.replace(blocks) || r.compareNow
		return
	}
	delete(r.bucket.invalid, e.Entry.Key)
	if !e.Removed {
		if b, ok := r.decode(e.Entry, now); ok {
			r.plan.put(b)
			return
		}
	}
	if prefix, err := bus.ParseBlockKey(e.Entry.Key); err == nil {
		r.plan.drop(prefix)
	}
}

// decode returns the block in a bucket entry; false for an expired or an invalid one. r.mu is held.
func (r *Reconciler) decode(e bus.KVEntry, now time.Time) (bus.Block, bool) {
	b, err := bus.DecodeBlock(e.Key, e.Value)
	if err == nil {
		return b, b.Expires.After(now)
	}
	r.bucket.rejected++
	if len(r.bucket.invalid) < maxInvalid {
		r.bucket.invalid[e.Key] = struct{}{}
	}
	if r.bucket.rejected <= maxNamedBad {
		r.deps.Log.WithError(err).WithField("key", e.Key).Warn("blocklist entry of the bus is invalid, ignored")
	}
	return b, false
}

// block returns the bucket's entry of prefix.
func (r *Reconciler) block(prefix netip.Prefix) (bus.Block, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	b, ok := r.plan.blocks[prefix]
	return b, ok
}

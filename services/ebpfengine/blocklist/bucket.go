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
		blocks, r.bucket.shadowed = longest(blocks)
		r.compareNow = r.plan.replace(blocks) || r.compareNow
		return
	}
	delete(r.bucket.invalid, e.Entry.Key)
	if !e.Removed {
		if b, ok := r.decode(e.Entry, now); ok {
			r.put(b)
			return
		}
	}
	if r.plan.dropScope(e.Entry.Key) {
		return
	}
	if prefix, hub, err := bus.ParseBlockKey(e.Entry.Key); err == nil {
		r.remove(prefix, hub, now)
	}
}

// longest returns, for each prefix, the block that lasts longest, and the other one of a prefix that is blocked both by
// this host and by the hub. Blocks of a part of the packets are all kept: see scopes.
func longest(blocks []bus.Block) (kept []bus.Block, shadowed map[netip.Prefix]bus.Block) {
	shadowed = map[netip.Prefix]bus.Block{}
	index := make(map[netip.Prefix]int, len(blocks))
	for _, b := range blocks {
		i, twice := index[b.Prefix]
		switch {
		case !b.All():
			kept = append(kept, b)
		case !twice:
			index[b.Prefix] = len(kept)
			kept = append(kept, b)
		case b.Expires.After(kept[i].Expires):
			shadowed[b.Prefix], kept[i] = kept[i], b
		default:
			shadowed[b.Prefix] = b
		}
	}
	return kept, shadowed
}

// put takes over one block. Of the block of this host and that of the hub, the one that lasts longer is in the plan and
// the other in r.bucket.shadowed. r.mu is held.
func (r *Reconciler) put(b bus.Block) {
	if !b.All() {
		r.plan.put(b)
		return
	}
	other, both := r.plan.blocks[b.Prefix]
	if !both || other.Hub == b.Hub {
		other, both = r.bucket.shadowed[b.Prefix]
	}
	if !both || other.Hub == b.Hub {
		r.plan.put(b)
		return
	}
	if other.Expires.After(b.Expires) {
		b, other = other, b
	}
	r.bucket.shadowed[b.Prefix] = other
	r.plan.put(b)
}

// remove takes the block of this host or of the hub out; the other's then holds, if there is one. r.mu is held.
func (r *Reconciler) remove(prefix netip.Prefix, hub bool, now time.Time) {
	if b, known := r.plan.blocks[prefix]; known && b.Hub != hub {
		delete(r.bucket.shadowed, prefix)
		return
	}
	other, both := r.bucket.shadowed[prefix]
	delete(r.bucket.shadowed, prefix)
	if both && other.Expires.After(now) {
		r.plan.put(other)
		return
	}
	r.plan.drop(prefix)
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

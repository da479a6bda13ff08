package blocklist

import (
	"context"
	"net/netip"
	"slices"
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
		blocks, r.plan.shadowed = longest(blocks)
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
	if prefix, _, err := bus.ParseBlockKey(e.Entry.Key); err == nil {
		r.remove(prefix, e.Entry.Key, now)
	}
}

// longest returns, for each prefix, the block that lasts longest, and the others of a prefix that has several: of this
// host, of all hosts, and of the hub. Blocks of a part of the packets are all kept: see scopes.
func longest(blocks []bus.Block) (kept []bus.Block, shadowed map[netip.Prefix][]bus.Block) {
	shadowed = map[netip.Prefix][]bus.Block{}
	index := make(map[netip.Prefix]int, len(blocks))
	for _, b := range blocks {
		i, several := index[b.Prefix]
		switch {
		case !b.All():
			kept = append(kept, b)
		case !several:
			index[b.Prefix] = len(kept)
			kept = append(kept, b)
		case b.Expires.After(kept[i].Expires):
			shadowed[b.Prefix], kept[i] = append(shadowed[b.Prefix], kept[i]), b
		default:
			shadowed[b.Prefix] = append(shadowed[b.Prefix], b)
		}
	}
	return kept, shadowed
}

// put takes over one block. r.mu is held.
func (r *Reconciler) put(b bus.Block) {
	if !b.All() {
		r.plan.put(b)
		return
	}
	r.enforce(append(r.others(b.Prefix, b.Key()), b))
}

// remove takes the block with a key out; another one of the prefix then holds, if there is one. r.mu is held.
func (r *Reconciler) remove(prefix netip.Prefix, key string, now time.Time) {
	left := slices.DeleteFunc(r.others(prefix, key), func(b bus.Block) bool { return !b.Expires.After(now) })
	if len(left) == 0 {
		r.plan.drop(prefix)
		return
	}
	r.enforce(left)
}

// others returns the blocks of a prefix but the one with a key. r.mu is held.
func (r *Reconciler) others(prefix netip.Prefix, key string) []bus.Block {
	all := slices.Clone(r.plan.shadowed[prefix])
	if b, known := r.plan.blocks[prefix]; known {
		all = append(all, b)
	}
	return slices.DeleteFunc(all, func(b bus.Block) bool { return b.Key() == key })
}

// enforce puts the one of the blocks of a prefix into the plan that lasts longest, with the others beside it. r.mu is held.
func (r *Reconciler) enforce(blocks []bus.Block) {
	kept, shadowed := longest(blocks)
	prefix := kept[0].Prefix
	r.plan.shadow(prefix, shadowed[prefix])
	if r.plan.blocks[prefix] != kept[0] {
		r.plan.put(kept[0])
	}
}

// decode returns the block in a bucket entry; false for an expired or an invalid one, and for one of other hosts. r.mu is held.
func (r *Reconciler) decode(e bus.KVEntry, now time.Time) (bus.Block, bool) {
	b, err := bus.DecodeBlock(e.Key, e.Value)
	if err == nil {
		return b, b.Expires.After(now) && b.Hosts.Include(r.deps.Host)
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

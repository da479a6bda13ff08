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

// watchBucket hears the bucket, as soon as there is one.
func (k *Reconciler) watchBucket(ctx context.Context) error {
	for ctx.Err() == nil {
		kv, err := k.deps.Bus.KV(ctx, bus.BlocklistBucket)
		k.mu.Lock()
		first := err != nil && k.bucketErr == nil && ctx.Err() == nil
		k.bucketErr = err
		k.mu.Unlock()
		if err == nil {
			return kv.Watch(ctx, k.hear)
		}
		if first {
			k.deps.Log.WithError(err).Warn("blocklist of the bus not readable")
		}
		task.Pause(ctx, retryAfter)
	}
	return nil
}

// hear takes in what the bucket says. What it says is the wish: a value that is no block is none, also where there was one.
func (k *Reconciler) hear(e bus.KVEvent) {
	k.mu.Lock()
	defer k.mu.Unlock()
	defer k.wakeUp()
	now := time.Now()
	if e.Snapshot {
		k.hearAll(e.Entries, now)
		return
	}
	delete(k.invalid, e.Entry.Key)
	if !e.Removed {
		if b, ok := k.read(e.Entry, now); ok {
			k.plan.put(b)
			return
		}
	}
	if prefix, err := bus.ParseBlockKey(e.Entry.Key); err == nil {
		k.plan.drop(prefix)
	}
}

func (k *Reconciler) hearAll(entries []bus.KVEntry, now time.Time) {
	clear(k.invalid)
	blocks := make([]bus.Block, 0, len(entries))
	for _, e := range entries {
		if b, ok := k.read(e, now); ok {
			blocks = append(blocks, b)
		}
	}
	k.heard = k.plan.replace(blocks) || k.heard
}

// read returns false for a block that is over or none.
func (k *Reconciler) read(e bus.KVEntry, now time.Time) (bus.Block, bool) {
	b, err := bus.DecodeBlock(e.Key, e.Value)
	if err != nil {
		k.reject(e.Key, err)
		return b, false
	}
	return b, b.Expires.After(now)
}

func (k *Reconciler) reject(key string, err error) {
	k.rejected++
	if len(k.invalid) < maxInvalid {
		k.invalid[key] = struct{}{}
	}
	if k.rejected <= maxNamedBad {
		k.deps.Log.WithError(err).WithField("key", key).Warn("blocklist entry not used")
	}
}

// block returns the bucket's entry of prefix.
func (k *Reconciler) block(prefix netip.Prefix) (bus.Block, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	b, ok := k.plan.wanted[prefix]
	return b, ok
}

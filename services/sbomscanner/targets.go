package sbomscanner

import (
	"maps"
	"slices"
	"time"

	"github.com/ironpost/ironpost/services/sbomscanner/inventory"
)

// maxQueue is how many assets may wait for a scan; what is beyond is scanned at the next interval.
const maxQueue = 4096

// queue is the assets that wait for a scan, each once, the oldest first. It is for one goroutine.
type queue struct {
	waiting []inventory.Asset
	dropped uint64
}

// add adds an asset that does not wait yet. What Docker says of one that waits is taken over.
func (q *queue) add(a inventory.Asset) {
	i := slices.IndexFunc(q.waiting, func(b inventory.Asset) bool { return a.Key() == b.Key() })
	switch {
	case i >= 0:
		q.waiting[i] = a
	case len(q.waiting) == maxQueue:
		q.dropped++
	default:
		q.waiting = append(q.waiting, a)
	}
}

// take removes and returns the oldest.
func (q *queue) take() (inventory.Asset, bool) {
	if len(q.waiting) == 0 {
		return inventory.Asset{}, false
	}
	a := q.waiting[0]
	q.waiting = q.waiting[1:]
	return a, true
}

// remove forgets an asset.
func (q *queue) remove(key string) {
	q.waiting = slices.DeleteFunc(q.waiting, func(a inventory.Asset) bool { return a.Key() == key })
}

// retries are assets whose scan failed, and when each is tried again. It is for one goroutine.
type retries struct {
	at       map[string]time.Time
	assets   map[string]inventory.Asset
	failures map[string]int
}

func newRetries() retries {
	return retries{at: map[string]time.Time{}, assets: map[string]inventory.Asset{}, failures: map[string]int{}}
}

// failed notes a failure; pause returns how long to wait after the n-th, counted from 0.
func (r *retries) failed(a inventory.Asset, now time.Time, pause func(n int) time.Duration) {
	key := a.Key()
	r.at[key], r.assets[key] = now.Add(pause(r.failures[key])), a
	r.failures[key]++
}

// worked forgets the failures of an asset.
func (r *retries) worked(key string) {
	delete(r.at, key)
	delete(r.assets, key)
	delete(r.failures, key)
}

// due removes and returns the assets whose time has come.
func (r *retries) due(now time.Time) []inventory.Asset {
	var out []inventory.Asset
	for _, key := range sortedKeys(r.at) {
		if !now.Before(r.at[key]) {
			out = append(out, r.assets[key])
			delete(r.at, key)
		}
	}
	return out
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

package bus

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/ironpost/ironpost/internal/task"
)

// copyAgain is when a copy of the blocklist that failed is tried again, and checkCopy how often one
// is compared with the hub's, which heals what others changed.
const (
	copyAgain = 2 * time.Second
	checkCopy = 30 * time.Second
)

// HubBlocklist keeps the entries of the hub in the bucket of an edge, marked (Block.Hub), equal to
// the hub's blocklist. While the hub cannot be reached they stay until they expire. The entries of
// the edge itself are not touched. An entry that the hub has from another hub is left out.
type HubBlocklist struct {
	edge, hub *Conn
	changed   chan struct{} // wakes the writer; holds one

	mu      sync.Mutex
	known   bool                   // the hub's list was read since the start
	wanted  map[netip.Prefix]Block // the hub's list
	pending map[netip.Prefix]struct{}
	all     bool // compare the whole bucket
	invalid int
	failure error
}

// NewHubBlocklist returns a HubBlocklist that does nothing yet.
func NewHubBlocklist(edge, hub *Conn) *HubBlocklist {
	return &HubBlocklist{edge: edge, hub: hub, changed: make(chan struct{}, 1), wanted: map[netip.Prefix]Block{}, pending: map[netip.Prefix]struct{}{}}
}

// State returns how many entries the hub has, how many of them are not valid, and why the copy is
// not complete, nil if it is. It may be called concurrently.
func (l *HubBlocklist) State() (entries, invalid int, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.wanted), l.invalid, l.failure
}

// Run copies until ctx ends; then it returns nil. It returns an error when one of the connections is
// closed for good.
func (l *HubBlocklist) Run(ctx context.Context) error {
	g := task.New(ctx)
	g.Go("watch the hub's blocklist", func(ctx context.Context) error {
		for ctx.Err() == nil {
			kv, err := l.hub.KV(ctx, BlocklistBucket)
			if err == nil {
				return kv.Watch(ctx, l.apply)
			}
			if l.hub.nc.IsClosed() {
				return err
			}
			l.setFailure(err)
			task.Pause(ctx, copyAgain)
		}
		return nil
	})
	g.Go("copy the hub's blocklist", l.write)
	return g.Wait()
}

// apply takes over a snapshot or a change of the hub's bucket.
func (l *HubBlocklist) apply(e KVEvent) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e.Snapshot {
		l.known, l.all, l.invalid = true, true, 0
		clear(l.wanted)
		for _, entry := range e.Entries {
			l.put(entry)
		}
	} else if prefix, ofHub, err := ParseBlockKey(e.Entry.Key); err == nil && !ofHub {
		delete(l.wanted, prefix)
		if !e.Removed {
			l.put(e.Entry)
		}
		l.pending[prefix] = struct{}{}
	}
	select {
	case l.changed <- struct{}{}:
	default: // it will wake
	}
}

// put adds an entry to the hub's list. l.mu is held.
func (l *HubBlocklist) put(e KVEntry) {
	b, err := DecodeBlock(e.Key, e.Value)
	switch {
	case err != nil:
		l.invalid++
	case !b.Hub:
		b.Hub = true
		l.wanted[b.Prefix] = b
	}
}

// write makes the bucket of the edge equal to the hub's list whenever that changed.
func (l *HubBlocklist) write(ctx context.Context) error {
	timer := time.NewTimer(checkCopy)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-l.changed:
		case <-timer.C:
			l.mu.Lock()
			l.all = l.known
			l.mu.Unlock()
		}
		err := l.writeOnce(ctx)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // being stopped is no error
		}
		if l.edge.nc.IsClosed() {
			return l.edge.closeReason()
		}
		l.setFailure(err)
		if timer.Reset(checkCopy); err != nil {
			timer.Reset(copyAgain)
		}
	}
}

func (l *HubBlocklist) setFailure(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failure = err
}

// writeOnce writes what has to be changed in the bucket of the edge. What cannot be written is tried
// again with the whole.
func (l *HubBlocklist) writeOnce(ctx context.Context) error {
	list, err := l.edge.Blocklist(ctx)
	if err != nil {
		return err
	}
	put, remove, err := l.changes(ctx, list)
	if err != nil {
		return err
	}
	var errs []error
	for _, b := range put {
		if err := list.Put(ctx, b); err != nil && b.Expires.After(time.Now()) {
			errs = append(errs, err)
		}
	}
	for _, prefix := range remove {
		errs = append(errs, list.kv.Delete(ctx, Block{Prefix: prefix, Hub: true}.key()))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("copy the hub's blocklist: %d entries not written: %w", len(errs), errs[0])
	}
	return nil
}

// changes returns what to put into the bucket of the edge and what to remove from it.
func (l *HubBlocklist) changes(ctx context.Context, list *Blocklist) (put []Block, remove []netip.Prefix, err error) {
	l.mu.Lock()
	all := l.all
	l.mu.Unlock()
	have := map[netip.Prefix]Block{}
	if all {
		blocks, _, err := list.List(ctx)
		if err != nil {
			return nil, nil, err
		}
		for _, b := range blocks {
			if b.Hub {
				have[b.Prefix] = b
			}
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now, compare := time.Now(), l.pending
	if all {
		compare = map[netip.Prefix]struct{}{}
		for prefix := range have {
			compare[prefix] = struct{}{}
		}
		for prefix := range l.wanted {
			compare[prefix] = struct{}{}
		}
	}
	for prefix := range compare {
		wanted, isWanted := l.wanted[prefix]
		isWanted = isWanted && wanted.Expires.After(now)
		copied, isCopied := have[prefix]
		switch {
		case isWanted && copied != wanted:
			put = append(put, wanted)
		case !isWanted && (isCopied || !all):
			remove = append(remove, prefix)
		}
	}
	l.all, l.pending = false, map[netip.Prefix]struct{}{}
	return put, remove, nil
}

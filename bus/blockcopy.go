package bus

import (
	"context"
	"errors"
	"fmt"
	"strings"
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

// maxHubBlocks bounds the entries that are copied, so that the hub leaves room in the bucket of the edge
// for those of the edge: each has less than a kilobyte. Large lists are files (ebpf.blocklist_files).
const maxHubBlocks = 1 << 16

// errNotRead is the state before the first snapshot.
var errNotRead = errors.New("it was not read yet since this daemon reached the hub")

// HubBlocklist keeps the entries of the hub in the bucket of an edge, marked (Block.Hub), equal to
// the hub's blocklist. While the hub cannot be reached they stay until they expire. The entries of
// the edge itself are not touched. An entry that the hub has from another hub is left out, and so are
// networks that the hub's guard blocks: it knows of the hub only that nothing else uses them. So that a
// hub in the hands of an attacker cannot block everything, entries that CheckBlockWidth refuses and
// those beyond maxHubBlocks are not copied.
type HubBlocklist struct {
	edge, hub *Conn
	changed   chan struct{} // wakes the writer; holds one

	mu      sync.Mutex
	unread  error               // why the hub's list was not read since the start; nil: it was
	wanted  map[string]Block    // the hub's list, by the keys of the copies
	refused map[string]struct{} // keys of entries that are not copied, at most maxHubBlocks
	pending map[string]struct{} // keys of copies that may have to change, at most maxHubBlocks
	all     bool                // compare the whole bucket
	failure error               // of the last write
}

// NewHubBlocklist returns a HubBlocklist that does nothing yet.
func NewHubBlocklist(edge, hub *Conn) *HubBlocklist {
	return &HubBlocklist{
		edge: edge, hub: hub, changed: make(chan struct{}, 1), unread: errNotRead,
		wanted: map[string]Block{}, refused: map[string]struct{}{}, pending: map[string]struct{}{},
	}
}

// State returns how many entries of the hub are copied and how many are refused, and why the copy is
// not complete, nil if it is. It may be called concurrently.
func (l *HubBlocklist) State() (entries, refused int, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.unread != nil {
		return len(l.wanted), len(l.refused), l.unread
	}
	return len(l.wanted), len(l.refused), l.failure
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
			l.mu.Lock()
			l.unread = err
			l.mu.Unlock()
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
		l.unread, l.all = nil, true
		clear(l.wanted)
		clear(l.refused)
		for _, entry := range e.Entries {
			l.put(entry)
		}
	} else {
		l.change(e)
	}
	select {
	case l.changed <- struct{}{}:
	default: // it will wake
	}
}

// change takes over a change. l.mu is held.
func (l *HubBlocklist) change(e KVEvent) {
	delete(l.refused, e.Entry.Key)
	if key := hubKeys + e.Entry.Key; !strings.HasPrefix(e.Entry.Key, hubKeys) {
		delete(l.wanted, key)
		l.pending[key] = struct{}{}
		if len(l.pending) > maxHubBlocks {
			clear(l.pending)
			l.all = true
		}
	}
	if !e.Removed {
		l.put(e.Entry)
	}
}

// put adds an entry to the hub's list. l.mu is held.
func (l *HubBlocklist) put(e KVEntry) {
	b, err := DecodeBlock(e.Key, e.Value)
	switch {
	case err == nil && (b.Hub || b.Source == ContainerGuard && !b.Prefix.IsSingleIP()): // of another hub, or known to be good on the hub only
	case err == nil && CheckBlockWidth(b.Prefix) == nil && len(l.wanted) < maxHubBlocks:
		b.Hub = true
		l.wanted[b.Key()] = b
	case len(l.refused) < maxHubBlocks:
		l.refused[e.Key] = struct{}{}
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
			l.all = l.unread == nil
			l.mu.Unlock()
		}
		err := l.writeOnce(ctx)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // being stopped is no error
		}
		if l.edge.nc.IsClosed() {
			return l.edge.closeReason()
		}
		l.mu.Lock()
		l.failure = err
		l.all = l.all || err != nil && l.unread == nil // a change meanwhile must not hide what is missing
		l.mu.Unlock()
		if err != nil {
			timer.Reset(copyAgain)
		} else {
			timer.Reset(checkCopy)
		}
	}
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
	for _, key := range remove {
		if err := list.kv.Delete(ctx, key); err != nil {
			errs = append(errs, err)
		}
	}
	if len(errs) == 0 {
		return nil
	}
	return fmt.Errorf("%d entries not written: %w", len(errs), errs[0])
}

// changes returns what to put into the bucket of the edge and which keys to remove from it.
func (l *HubBlocklist) changes(ctx context.Context, list *Blocklist) (put []Block, remove []string, err error) {
	all, pending := l.takeChanges()
	have := map[string]Block{} // the copies in the bucket
	if all {
		blocks, _, err := list.List(ctx)
		if err != nil {
			return nil, nil, err
		}
		for _, b := range blocks {
			if b.Hub {
				have[b.Key()] = b
				pending[b.Key()] = struct{}{}
			}
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if all {
		for key := range l.wanted {
			pending[key] = struct{}{}
		}
	}
	now := time.Now()
	for key := range pending {
		wanted, isWanted := l.wanted[key]
		isWanted = isWanted && wanted.Expires.After(now)
		copied, isCopied := have[key]
		switch {
		case isWanted && copied != wanted:
			put = append(put, wanted)
		case !isWanted && (isCopied || !all):
			remove = append(remove, key)
		}
	}
	return put, remove, nil
}

// takeChanges returns what is to be compared, and begins to collect anew: what changes from now on is compared the next time.
func (l *HubBlocklist) takeChanges() (all bool, pending map[string]struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	all, pending = l.all, l.pending
	l.all, l.pending = false, map[string]struct{}{}
	return all, pending
}

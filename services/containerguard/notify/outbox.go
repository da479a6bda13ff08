package notify

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/ironpost/ironpost/internal/folder"
)

// maxFile bounds the file of a message: an alert has at most 64 KiB.
const maxFile = 1 << 20

// Open queues the messages that an earlier run left in the directory at path, oldest
// first, and keeps there those that wait from now on. A file that is no message is removed.
func (n *Notifier) Open(path string) error {
	outbox, err := folder.Open(path)
	if err != nil {
		return fmt.Errorf("directory of notifications: %w", err)
	}
	left, err := readOutbox(outbox)
	if err != nil {
		return fmt.Errorf("directory of notifications: %w", errors.Join(err, outbox.Close()))
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.outbox = outbox
	for _, q := range left[:min(len(left), maxPending)] { // Send let in no more
		n.pending[q.name] = q
	}
	return nil
}

// Close closes the directory. What waits stays there.
func (n *Notifier) Close() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.outbox == nil {
		return nil
	}
	return n.outbox.Close()
}

func readOutbox(outbox *folder.Folder) ([]*queued, error) {
	names, err := outbox.Names()
	if err != nil {
		return nil, err
	}
	var out []*queued
	for _, name := range names {
		q := &queued{name: name, saved: make(chan struct{})}
		data, err := outbox.Read(name, maxFile)
		if err == nil && json.Unmarshal(data, q) == nil && len(q.Body) > 0 && name[0] != '.' {
			close(q.saved)
			out = append(out, q)
			continue
		}
		if err := outbox.Remove(name); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(out, func(a, b *queued) int {
		return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.name, b.name))
	})
	return out, nil
}

// write writes the file of a message that is pending.
func (n *Notifier) write(q *queued) error {
	if n.outbox == nil {
		return nil
	}
	data, err := json.Marshal(q)
	if err == nil && len(data) > maxFile {
		err = folder.ErrTooLong
	}
	if err == nil {
		err = n.outbox.Write(q.name, data)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotSaved, err)
	}
	return nil
}

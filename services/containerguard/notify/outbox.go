package notify

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/ironpost/ironpost/services/containerguard/folder"
)

// maxFile bounds what is read of a message: an alert has at most 64 KiB.
const maxFile = 1 << 20

// Open queues what an earlier run left at path, oldest first, and keeps there what
// waits from now on. A file that is no message is removed.
func (n *Notifier) Open(path string) error {
	outbox, err := folder.Open(path)
	if err != nil {
		return fmt.Errorf("folder of notifications: %w", err)
	}
	left, err := readOutbox(outbox)
	if err != nil {
		return fmt.Errorf("folder of notifications: %w", errors.Join(err, outbox.Close()))
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.outbox = outbox
	for _, q := range left[:min(len(left), queueSize)] { // no more were ever let in
		n.pending[q.name] = alreadySaved()
		n.queue <- q
	}
	return nil
}

// Close gives the folder up. What waits stays there.
func (n *Notifier) Close() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.outbox == nil {
		return nil
	}
	return n.outbox.Close()
}

func readOutbox(outbox *folder.Folder) ([]queued, error) {
	names, err := outbox.Names()
	if err != nil {
		return nil, err
	}
	var out []queued
	for _, name := range names {
		q := queued{name: name}
		data, err := outbox.Read(name, maxFile)
		if err == nil && json.Unmarshal(data, &q) == nil && len(q.Body) > 0 && name[0] != '.' {
			out = append(out, q)
			continue
		}
		if err := outbox.Remove(name); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(out, func(a, b queued) int {
		return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.name, b.name))
	})
	return out, nil
}

// write writes a message whose name is reserved.
func (n *Notifier) write(q queued) error {
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

// remove drops a message that was sent or given up. If its file stays it is sent
// again after the next start.
func (n *Notifier) remove(q queued, sent bool) {
	if n.outbox != nil {
		_ = n.outbox.Remove(q.name) // while the name is reserved: nobody writes it
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.pending, q.name)
	if sent {
		n.sent = append(n.sent, q.name)
		n.sent = n.sent[max(0, len(n.sent)-maxSent):]
	}
}

func fileName(id string) string {
	sum := sha256.Sum256([]byte(id))
	return hex.EncodeToString(sum[:16]) + ".json"
}

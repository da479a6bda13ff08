package actioncollector

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/services/actioncollector/audit"
)

// storeTimeout bounds one write of the head to the bucket.
const storeTimeout = 5 * time.Second

// headStore writes the head of the trail to the bucket. Only the newest counts: heads that arrive during a
// write are skipped but for the last.
type headStore struct {
	kv         *bus.KV
	key        string
	initial    audit.Head // as the bucket held it at the start
	unreadable error      // why the head in the bucket cannot be used; nil if it can
	next       chan audit.Head

	storedFirst atomic.Uint64 // First of the head in the bucket
}

// newHeadStore reads the head of host from the bucket.
func newHeadStore(ctx context.Context, conn *bus.Conn, host string) (*headStore, error) {
	kv, err := conn.KV(ctx, bus.AuditBucket)
	if err != nil {
		return nil, err
	}
	h := &headStore{kv: kv, key: host, next: make(chan audit.Head, 1)}
	h.initial, err = readHead(ctx, kv, host)
	if errors.Is(err, errUnreadable) {
		h.unreadable, err = err, nil
	}
	return h, err
}

// StoredHead returns the head of host's audit trail as it is stored on the bus, the zero Head if none is.
func StoredHead(ctx context.Context, conn *bus.Conn, host string) (audit.Head, error) {
	kv, err := conn.KV(ctx, bus.AuditBucket)
	if err != nil {
		return audit.Head{}, err
	}
	return readHead(ctx, kv, host)
}

var errUnreadable = errors.New("the stored head of the audit trail is unreadable")

func readHead(ctx context.Context, kv *bus.KV, host string) (audit.Head, error) {
	var head audit.Head
	value, _, err := kv.Get(ctx, host)
	if errors.Is(err, bus.ErrNotFound) {
		return head, nil
	}
	if err != nil {
		return head, err
	}
	if err := json.Unmarshal(value, &head); err != nil {
		return audit.Head{}, fmt.Errorf("%w: key %s of bucket %s: %w", errUnreadable, host, bus.AuditBucket, err)
	}
	return head, nil
}

// put has head written soon. It must not be called concurrently, nor after stop.
func (h *headStore) put(head audit.Head) {
	select {
	case <-h.next: // an older one that is not being written yet
	default:
	}
	h.next <- head
}

// stop ends storeHeads after the last head.
func (h *headStore) stop() { close(h.next) }

// storeHeads writes heads to the bucket until the store is stopped. One that cannot be written, or a newer
// one, is tried again; meanwhile a cut end would not be detected, which is a health reason.
func (s *Service) storeHeads(ctx context.Context) error {
	head, more := <-s.heads.next
	for more {
		err := s.heads.write(ctx, head)
		if err == nil {
			s.reasons.Clear(topicHead)
			head, more = <-s.heads.next
			continue
		}
		if s.reasons.Set(topicHead, "the head of the audit trail cannot be stored: "+err.Error()) {
			s.log.WithError(err).Warn("cannot store the head of the audit trail, trying again")
		}
		select {
		case head, more = <-s.heads.next:
		case <-time.After(retryInterval):
		}
	}
	return nil
}

func (h *headStore) write(ctx context.Context, head audit.Head) error {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	value, err := json.Marshal(head)
	if err != nil {
		return err
	}
	if _, err = h.kv.Put(ctx, h.key, value, 0); err == nil {
		h.storedFirst.Store(head.First)
	}
	return err
}

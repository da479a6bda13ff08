package actioncollector

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/services/actioncollector/audit"
)

// keepTimeout bounds one write of the head.
const keepTimeout = 5 * time.Second

// keeper writes the head of the trail to the bucket, the newest one only: while a
// write is under way, heads that come are passed over but for the last.
type keeper struct {
	kv    *bus.KV
	key   string
	start audit.Head // as the bucket held it
	bad   error      // why the bucket's head could not be used
	next  chan audit.Head
}

// newKeeper reads the head of host from the bucket.
func newKeeper(ctx context.Context, conn *bus.Conn, host string) (*keeper, error) {
	kv, err := conn.KV(ctx, bus.AuditBucket)
	if err != nil {
		return nil, err
	}
	k := &keeper{kv: kv, key: host, next: make(chan audit.Head, 1)}
	k.start, err = readHead(ctx, kv, host)
	if errors.Is(err, errUnreadable) {
		k.bad, err = err, nil
	}
	return k, err
}

// KeptHead returns the head of host's audit trail as it is kept on the bus, the zero Head if none is.
func KeptHead(ctx context.Context, conn *bus.Conn, host string) (audit.Head, error) {
	kv, err := conn.KV(ctx, bus.AuditBucket)
	if err != nil {
		return audit.Head{}, err
	}
	return readHead(ctx, kv, host)
}

var errUnreadable = errors.New("the kept head is unreadable")

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

// put has head written soon. One goroutine calls it at a time.
func (k *keeper) put(head audit.Head) {
	select {
	case <-k.next: // an older one nobody has taken yet
	default:
	}
	k.next <- head
}

// stop ends the writing after the last head. put must not be called any more.
func (k *keeper) stop() { close(k.next) }

func (k *keeper) write(ctx context.Context, head audit.Head) error {
	ctx, cancel := context.WithTimeout(ctx, keepTimeout)
	defer cancel()
	value, err := json.Marshal(head)
	if err != nil {
		return err
	}
	_, err = k.kv.Put(ctx, k.key, value, 0)
	return err
}

// keepHead writes heads until the keeper is stopped. While one cannot be written, which is a
// reason, the end of the trail is not guarded; it or a newer one is tried again.
func (s *Service) keepHead(ctx context.Context) error {
	head, more := <-s.keep.next
	for more {
		err := s.keep.write(ctx, head)
		if err == nil {
			s.health.clear(reasonHead)
			head, more = <-s.keep.next
			continue
		}
		if s.health.set(reasonHead, "the head of the audit trail is not kept: "+err.Error()) {
			s.log.WithError(err).Warn("audit head not kept")
		}
		head, more = s.keep.newer(head)
	}
	return nil
}

// newer waits before the next attempt and returns the head to write then, false if
// the keeper was stopped meanwhile.
func (k *keeper) newer(head audit.Head) (audit.Head, bool) {
	timer := time.NewTimer(retry)
	defer timer.Stop()
	select {
	case next, more := <-k.next:
		return next, more
	case <-timer.C:
		return head, true
	}
}

// reportHead says if the bucket's head is none.
func (s *Service) reportHead() {
	if s.keep.bad == nil {
		return
	}
	s.health.set(reasonBroken, s.keep.bad.Error())
	s.log.WithError(s.keep.bad).Error("audit head unreadable")
}

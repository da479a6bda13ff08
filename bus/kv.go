package bus

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// codeWrongRevision is the server's code for a key whose revision is another.
const codeWrongRevision = 10071

// KV is a bucket: the newest value of each key. All its methods may be called
// concurrently. Keys are made of letters, digits and "-", "_", "=", "/", ".".
type KV struct {
	c      *Conn
	bucket string
	kv     jetstream.KeyValue
	key    *regexp.Regexp
}

// KVEntry is a key and its newest value.
type KVEntry struct {
	Key      string
	Value    []byte
	Revision uint64
}

// KVEvent is a snapshot or a change. A Snapshot has the whole bucket in Entries, sorted
// by key; a change has the Entry that was put or Removed.
type KVEvent struct {
	Snapshot bool
	Entries  []KVEntry
	Removed  bool
	Entry    KVEntry
}

// KV returns a bucket that Provision made, or ErrNotFound.
func (c *Conn) KV(ctx context.Context, bucket string) (*KV, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	kv, err := c.js.KeyValue(ctx, bucket)
	if err != nil {
		return nil, fmt.Errorf("bucket %s: %w", bucket, kvError(err))
	}
	return &KV{c: c, bucket: bucket, kv: kv, key: regexp.MustCompile(`^[-_=/a-zA-Z0-9]+(\.[-_=/a-zA-Z0-9]+)*$`)}, nil
}

// Get returns the value of key and its revision, or ErrNotFound.
func (k *KV) Get(ctx context.Context, key string) ([]byte, uint64, error) {
	if !k.key.MatchString(key) {
		return nil, 0, k.wrap(key, jetstream.ErrInvalidKey)
	}
	change, err := k.newest(ctx, key)
	switch {
	case err != nil:
		return nil, 0, k.wrap(key, err)
	case change.removed || change.reflected:
		return nil, 0, k.wrap(key, ErrNotFound)
	}
	return change.entry.Value, change.entry.Revision, nil
}

// Put writes key and returns its revision. The key is removed after ttl, rounded up to
// seconds; 0 keeps it.
func (k *KV) Put(ctx context.Context, key string, value []byte, ttl time.Duration) (uint64, error) {
	return k.write(ctx, key, value, ttl)
}

// Create writes key if it does not exist, else it returns ErrConflict. For ttl see Put.
func (k *KV) Create(ctx context.Context, key string, value []byte, ttl time.Duration) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var opts []jetstream.KVCreateOpt
	if ttl > 0 {
		opts = append(opts, jetstream.KeyTTL(wholeSeconds(ttl)))
	}
	revision, err := k.kv.Create(ctx, key, value, opts...)
	return revision, k.wrap(key, err)
}

// Update writes key if its revision still is revision, else it returns ErrConflict.
// For ttl see Put; the ttl of the value before is not kept.
func (k *KV) Update(ctx context.Context, key string, value []byte, revision uint64, ttl time.Duration) (uint64, error) {
	return k.write(ctx, key, value, ttl, jetstream.WithExpectLastSequencePerSubject(revision))
}

// write publishes the value itself: the library's Put and Update take no ttl.
func (k *KV) write(ctx context.Context, key string, value []byte, ttl time.Duration, opts ...jetstream.PublishOpt) (uint64, error) {
	if !k.key.MatchString(key) {
		return 0, k.wrap(key, jetstream.ErrInvalidKey)
	}
	if ttl > 0 {
		opts = append(opts, jetstream.WithMsgTTL(wholeSeconds(ttl)))
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	done, err := k.c.js.PublishMsg(ctx, &nats.Msg{Subject: "$KV." + k.bucket + "." + key, Data: value}, opts...)
	if err != nil {
		return 0, k.wrap(key, err)
	}
	return done.Sequence, nil
}

// wholeSeconds rounds up: the server takes no less than a second, and no fractions.
func wholeSeconds(d time.Duration) time.Duration {
	return (d + time.Second - 1).Truncate(time.Second)
}

// Delete removes key; a missing one is no error.
func (k *KV) Delete(ctx context.Context, key string) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return k.wrap(key, k.kv.Delete(ctx, key))
}

// List returns all entries, sorted by key.
func (k *KV) List(ctx context.Context) ([]KVEntry, error) {
	entries, _, err := k.snapshot(ctx)
	return entries, k.wrap("*", err)
}

func (k *KV) wrap(key string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("bucket %s, key %q: %w", k.bucket, key, kvError(err))
}

func kvError(err error) error {
	switch {
	case errors.Is(err, jetstream.ErrKeyNotFound), errors.Is(err, jetstream.ErrBucketNotFound):
		return fmt.Errorf("%w: %w", ErrNotFound, err)
	case errors.Is(err, jetstream.ErrKeyExists), codeOf(err) == codeWrongRevision:
		return fmt.Errorf("%w: %w", ErrConflict, err)
	}
	return err
}

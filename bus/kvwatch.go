package bus

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/ironpost/ironpost/event"
)

// kvPollInterval is how often a watcher reads without an announcement.
const kvPollInterval = 5 * time.Second

// errBucketReplaced ends a watch of a bucket that was deleted and made again.
var errBucketReplaced = errors.New("the bucket was deleted and made again")

// Watch calls each with a snapshot, then with every change, and with a snapshot again after
// every reconnect. Of several changes of one key in quick succession it may report the
// last only. Expired, deleted and purged keys are all Removed. It returns nil when ctx ends,
// and an error when the connection is closed for good.
//
// It makes no consumer: a client that may make one could have the server deliver to any
// subject. The bucket's stream republishes the header of every change; the watcher takes
// that as a hint and reads the stream from where it was, so that a lost or forged hint does
// no harm.
func (k *KV) Watch(ctx context.Context, each func(KVEvent)) error {
	for n := 0; ; n++ {
		began, link := time.Now(), k.c.link.Load()
		err := k.watchOnce(ctx, link, each)
		switch {
		case ctx.Err() != nil:
			return nil //nolint:nilerr // being stopped is no error
		case k.c.nc.IsClosed():
			return k.wrap("*", k.c.closeReason())
		case link.ctx.Err() != nil: // reconnected
			n = 0
			continue
		case time.Since(began) > lastPause:
			n = 0
		}
		k.c.log.WithError(err).WithField("bucket", k.bucket).Warn("watch interrupted")
		sleep(ctx, retryPause(n))
	}
}

// watchOnce watches until ctx or link ends. It subscribes before it reads, so that no
// change is missed between.
func (k *KV) watchOnce(ctx context.Context, link *link, each func(KVEvent)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(link.ctx, cancel) //nolint:contextcheck // ends with the link, whatever ctx does
	defer stop()
	changed := make(chan struct{}, 1)
	sub, err := k.c.nc.Subscribe(bucketChanges(k.bucket), func(*nats.Msg) {
		select {
		case changed <- struct{}{}:
		default: // one is enough
		}
	})
	if err != nil {
		return err
	}
	defer func() { _ = sub.Unsubscribe() }() // gone with the connection at the latest
	entries, last, err := k.snapshot(ctx)
	if err != nil {
		return err
	}
	each(KVEvent{Snapshot: true, Entries: entries})
	return k.follow(ctx, changed, last, each)
}

// follow calls each for what the stream stores after last.
func (k *KV) follow(ctx context.Context, changed <-chan struct{}, last uint64, each func(KVEvent)) error {
	ticker := time.NewTicker(kvPollInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		case <-ticker.C:
			if err := k.checkSameBucket(ctx, last); err != nil {
				return err
			}
		}
		err := k.changes(ctx, last, func(c change) {
			last = c.entry.Revision
			if !c.reflected {
				each(KVEvent{Removed: c.removed, Entry: c.entry})
			}
		})
		if err != nil {
			return err
		}
	}
}

// checkSameBucket returns errBucketReplaced if the stream ends before what was read of it.
func (k *KV) checkSameBucket(ctx context.Context, last uint64) error {
	ctx, cancel := k.c.callContext(ctx)
	defer cancel()
	stream, err := k.c.js.Stream(ctx, string(k.stream()))
	if err != nil {
		return err
	}
	if stream.CachedInfo().State.LastSeq < last {
		return errBucketReplaced
	}
	return nil
}

// snapshot returns the entries, sorted by key, and the last sequence it read.
func (k *KV) snapshot(ctx context.Context) ([]KVEntry, uint64, error) {
	found, last := map[string]KVEntry{}, uint64(0)
	err := k.changes(ctx, 0, func(c change) {
		last = c.entry.Revision
		delete(found, c.entry.Key)
		if !c.removed && !c.reflected {
			found[c.entry.Key] = c.entry
		}
	})
	if err != nil {
		return nil, 0, err
	}
	entries := make([]KVEntry, 0, len(found))
	for _, e := range found {
		entries = append(entries, e)
	}
	slices.SortFunc(entries, func(a, b KVEntry) int { return strings.Compare(a.Key, b.Key) })
	return entries, last, nil
}

// change is one message of a bucket's stream. A reflected one was not written by a client
// that may write.
type change struct {
	entry     KVEntry
	removed   bool
	reflected bool
}

// changes calls each for what the stream holds after the sequence after, in order.
func (k *KV) changes(ctx context.Context, after uint64, each func(change)) error {
	req := pageRequest{Seq: after + 1, Subject: k.subject(">")}
	return k.c.readRaw(ctx, k.stream(), req, func(m *nats.Msg) error {
		c, err := k.change(m)
		if err == nil {
			each(c)
		}
		return err
	})
}

// newest reads the last change of key.
func (k *KV) newest(ctx context.Context, key string) (change, error) {
	m, err := k.c.directGet(ctx, k.stream(), k.subject(key), nil)
	if err != nil {
		return change{}, err
	}
	return k.change(m)
}

// change parses the answer to a direct get. A message with the header of a marker means
// that the key was removed, whatever the header says.
func (k *KV) change(m *nats.Msg) (change, error) {
	s, err := storedOf(m)
	if err != nil {
		return change{}, err
	}
	c := change{entry: KVEntry{Key: strings.TrimPrefix(s.Subject, k.subject("")), Value: s.Data, Revision: s.Sequence}}
	c.removed = m.Header.Get("KV-Operation") != "" || m.Header.Get(jetstream.MarkerReasonHeader) != ""
	if c.reflected = len(m.Header[jetstream.SequenceHeader]) > 1; c.reflected {
		k.c.log.WithField("bucket", k.bucket).WithField("key", event.PrintableASCII(c.entry.Key, maxHeader)).Warn("copy of a stored message in a bucket ignored")
	}
	return c, nil
}

func (k *KV) stream() StreamName { return bucketStream(k.bucket) }

func (k *KV) subject(key string) string { return "$KV." + k.bucket + "." + key }

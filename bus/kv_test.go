package bus_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/bus/bustest"
)

func bucket(t *testing.T, b *bustest.Bus, module string) *bus.KV {
	t.Helper()
	kv, err := b.Conn(module).KV(within(t, patience), bus.BlocklistBucket)
	require.NoError(t, err)
	return kv
}

func TestKV(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	ctx := within(t, patience)
	kv := bucket(t, b, bus.ContainerGuard)
	_, _, err := kv.Get(ctx, "c0000207")
	require.ErrorIs(t, err, bus.ErrNotFound)

	first, err := kv.Create(ctx, "c0000207", []byte("one"), 0)
	require.NoError(t, err)
	_, err = kv.Create(ctx, "c0000207", []byte("two"), 0)
	require.ErrorIs(t, err, bus.ErrConflict)

	second, err := kv.Update(ctx, "c0000207", []byte("two"), first, 0)
	require.NoError(t, err)
	_, err = kv.Update(ctx, "c0000207", []byte("three"), first, 0)
	require.ErrorIs(t, err, bus.ErrConflict)
	value, revision, err := kv.Get(ctx, "c0000207")
	require.NoError(t, err)
	require.Equal(t, "two", string(value))
	require.Equal(t, second, revision)

	_, err = kv.Put(ctx, "a", []byte("x"), 0)
	require.NoError(t, err)
	list, err := kv.List(ctx)
	require.NoError(t, err)
	require.Len(t, list, 2)
	require.NoError(t, kv.Delete(ctx, "a"))
	_, _, err = kv.Get(ctx, "a")
	require.ErrorIs(t, err, bus.ErrNotFound)
}

func TestKVRefusesKeysThatAreSubjects(t *testing.T) {
	t.Parallel()
	kv := bucket(t, bustest.New(t), bus.ContainerGuard)
	for _, key := range []string{"", ".", "a..b", "a.", "*", "a.>", "2001:db8::1", "a b", "a\nb"} {
		_, err := kv.Put(within(t, patience), key, nil, 0)
		require.Error(t, err, "%q", key)
	}
}

func TestKVReaderMayNotWrite(t *testing.T) {
	t.Parallel()
	kv := bucket(t, bustest.New(t), bus.EBPFEngine)
	_, err := kv.Put(within(t, 300*time.Millisecond), "a", nil, 0)
	require.Error(t, err)
	_, _, err = kv.Get(within(t, patience), "a")
	require.ErrorIs(t, err, bus.ErrNotFound)
}

// watched runs Watch beside a test.
func watched(t *testing.T, kv *bus.KV) <-chan bus.KVEvent {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	events, done := make(chan bus.KVEvent, 100), make(chan error, 1)
	go func() { done <- kv.Watch(ctx, func(e bus.KVEvent) { events <- e }) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
	})
	return events
}

func receive(t *testing.T, events <-chan bus.KVEvent) bus.KVEvent {
	t.Helper()
	select {
	case e := <-events:
		return e
	case <-time.After(patience):
		require.FailNow(t, "no event")
		return bus.KVEvent{}
	}
}

func TestKVWatchReportsChangesAndExpiry(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	guard, ctx := bucket(t, b, bus.ContainerGuard), within(t, patience)
	_, err := guard.Put(ctx, "kept", []byte("1"), 0)
	require.NoError(t, err)
	events := watched(t, bucket(t, b, bus.EBPFEngine))
	e := receive(t, events)
	require.True(t, e.Snapshot)
	require.Len(t, e.Entries, 1)

	_, err = guard.Put(ctx, "short", []byte("2"), time.Second)
	require.NoError(t, err)
	e = receive(t, events)
	require.Equal(t, "short", e.Entry.Key)
	require.False(t, e.Removed)
	e = receive(t, events)
	require.Equal(t, "short", e.Entry.Key)
	require.True(t, e.Removed, "expired")

	require.NoError(t, guard.Delete(ctx, "kept"))
	e = receive(t, events)
	require.True(t, e.Removed && e.Entry.Key == "kept")
}

// After a restart a watcher gets a snapshot at once, not after 10 s.
func TestKVWatchSendsSnapshotAfterARestart(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	guard, ctx := bucket(t, b, bus.ContainerGuard), within(t, patience)
	events := watched(t, bucket(t, b, bus.EBPFEngine))
	require.True(t, receive(t, events).Snapshot)
	b.Restart()
	_, err := guard.Put(ctx, "after", []byte("1"), 0)
	require.NoError(t, err)
	began := time.Now()
	for {
		e := receive(t, events)
		if e.Entry.Key == "after" || e.Snapshot && len(e.Entries) == 1 {
			break
		}
	}
	require.Less(t, time.Since(began), 5*time.Second)
}

// A ttl that is written again counts from then.
func TestKVPutExtendsTheTTL(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	guard, ctx := bucket(t, b, bus.ContainerGuard), within(t, patience)
	_, err := guard.Create(ctx, "a", []byte("1"), time.Second)
	require.NoError(t, err)
	_, err = guard.Put(ctx, "a", []byte("2"), time.Hour)
	require.NoError(t, err)
	_, err = guard.Create(ctx, "b", []byte("1"), time.Second)
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		_, _, err := guard.Get(ctx, "b")
		return err != nil
	}, patience, 10*time.Millisecond)
	value, _, err := guard.Get(ctx, "a")
	require.NoError(t, err)
	require.Equal(t, "2", string(value))
}

// A snapshot holds all of a bucket larger than a page, and every change comes once, in order.
func TestKVWatchReportsEveryKeyOfALargeBucket(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	guard, ctx := bucket(t, b, bus.ContainerGuard), within(t, patience)
	const half = 700
	write := func(from int) {
		for i := range half {
			_, err := guard.Put(ctx, fmt.Sprintf("k%05d", from+i), nil, 0)
			require.NoError(t, err)
		}
	}
	write(0)
	events := watched(t, bucket(t, b, bus.EBPFEngine))
	e := receive(t, events)
	require.True(t, e.Snapshot)
	require.Len(t, e.Entries, half)
	write(half)
	for i := range half {
		require.Equal(t, fmt.Sprintf("k%05d", half+i), receive(t, events).Entry.Key)
	}
}

// A bucket that was deleted and made again gives a new snapshot.
func TestKVWatchNoticesAReplacedBucket(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	ctx := within(t, patience)
	_, err := bucket(t, b, bus.ContainerGuard).Put(ctx, "old", nil, 0)
	require.NoError(t, err)
	events := watched(t, bucket(t, b, bus.EBPFEngine))
	require.Len(t, receive(t, events).Entries, 1)
	require.NoError(t, admin(t, b).DeleteKeyValue(ctx, bus.BlocklistBucket))
	b.Provision()
	e := receive(t, events)
	require.True(t, e.Snapshot)
	require.Empty(t, e.Entries)
}

// BenchmarkKVWatch measures from before a put to the watcher's knowing.
func BenchmarkKVWatch(b *testing.B) {
	bed := bustest.New(b)
	ctx, cancel := context.WithCancel(context.Background())
	kv, err := bed.Conn(bus.ContainerGuard).KV(ctx, bus.BlocklistBucket)
	require.NoError(b, err)
	events, done := make(chan bus.KVEvent), make(chan error, 1)
	go func() { done <- kv.Watch(ctx, func(e bus.KVEvent) { events <- e }) }()
	<-events
	for b.Loop() {
		_, err := kv.Put(ctx, "a", nil, 0)
		require.NoError(b, err)
		<-events
	}
	cancel()
	require.NoError(b, <-done)
}

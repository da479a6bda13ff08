package rowqueue_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/services/logpipeline/rowqueue"
)

const room = 1 << 30

func open(t *testing.T, dir string, maxBytes int64, committed uint64) *rowqueue.Queue {
	t.Helper()
	q, err := rowqueue.Open(dir, maxBytes, committed)
	require.NoError(t, err)
	t.Cleanup(func() { _ = q.Close() })
	return q
}

func add(t *testing.T, q *rowqueue.Queue, from, to int) {
	t.Helper()
	for n := from; n <= to; n++ {
		require.NoError(t, q.Append(fmt.Append(nil, "record ", n)))
	}
}

func synced(t *testing.T, q *rowqueue.Queue) uint64 {
	t.Helper()
	position, err := q.Sync()
	require.NoError(t, err)
	return position
}

// take takes everything, a few at a time.
func take(t *testing.T, q *rowqueue.Queue) []string {
	t.Helper()
	var all []string
	for {
		records, position, err := q.Next(7)
		require.NoError(t, err)
		if len(records) == 0 {
			return all
		}
		for _, r := range records {
			all = append(all, string(r))
		}
		require.NoError(t, q.Done(position))
	}
}

func records(from, to int) (all []string) {
	for n := from; n <= to; n++ {
		all = append(all, fmt.Sprint("record ", n))
	}
	return all
}

// Only what a checkpoint covers is taken; after a crash the rest is appended again.
func TestRecordsAreTakenOnceAfterTheirCheckpoint(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	q := open(t, dir, room, 0)
	add(t, q, 1, 100)
	require.Empty(t, take(t, q), "not committed")
	checkpoint := synced(t, q)
	q.Commit(checkpoint)
	<-q.Ready()
	add(t, q, 101, 120)
	synced(t, q) // on the disk, but no checkpoint
	got, _, err := q.Next(30)
	require.NoError(t, err)
	require.Len(t, got, 30) // not done: taken again

	q = open(t, dir, room, checkpoint) // after a crash
	<-q.Ready()
	require.Equal(t, records(1, 100), take(t, q))
	add(t, q, 101, 130)
	q.Commit(synced(t, q))
	require.Equal(t, records(101, 130), take(t, q))
	require.Zero(t, q.Waiting())

	q = open(t, dir, room, rowqueue.All) // without a checkpoint
	require.Empty(t, take(t, q))
	add(t, q, 131, 140)
	synced(t, q)
	q = open(t, dir, room, rowqueue.All)
	require.Equal(t, records(131, 140), take(t, q))
	require.Zero(t, q.Damaged())
}

func TestSegmentsAreRemovedAndTheQueueIsBounded(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	const maxBytes = 64 << 20
	q := open(t, dir, maxBytes, 0)
	record := bytes.Repeat([]byte("x"), 100_000)
	n := 0
	for ; q.Append(record) == nil; n++ {
	}
	require.ErrorIs(t, q.Append(record), rowqueue.ErrFull)
	require.Equal(t, maxBytes/(len(record)+8), n)
	q.Commit(synced(t, q))
	files, err := filepath.Glob(filepath.Join(dir, "*.rows"))
	require.NoError(t, err)
	require.Len(t, files, 4)
	require.Len(t, take(t, q), n)
	files, err = filepath.Glob(filepath.Join(dir, "*.rows"))
	require.NoError(t, err)
	require.Len(t, files, 1, "the one that is written")
	require.NoError(t, q.Append(record), "there is room again")
}

// Damage costs the rest of its segment, and is counted.
func TestDamageIsSkippedAndCounted(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	q := open(t, dir, room, 0)
	add(t, q, 1, 10)
	q.Commit(synced(t, q))
	position := synced(t, q)
	require.NoError(t, q.Close())
	path := filepath.Join(dir, strings.Repeat("0", 20)+".rows")
	whole, err := os.ReadFile(path)
	require.NoError(t, err)
	at := bytes.Index(whole, []byte("record 5"))
	whole[at] ^= 1
	require.NoError(t, os.WriteFile(path, whole, 0o600))
	q = open(t, dir, room, position)
	add(t, q, 11, 12)
	q.Commit(synced(t, q))
	require.Equal(t, append(records(1, 4), records(11, 12)...), take(t, q))
	require.EqualValues(t, len(whole)-at+8, q.Damaged())
}

// FuzzSegment: a segment of any bytes is read to its end without a panic.
func FuzzSegment(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x01\x00\x00\x00\x00x"))
	f.Fuzz(func(t *testing.T, data []byte) {
		dir := t.TempDir()
		require.NoError(t, os.WriteFile(filepath.Join(dir, strings.Repeat("0", 20)+".rows"), data, 0o600))
		q := open(t, dir, room, uint64(len(data)))
		take(t, q)
		require.Zero(t, q.Waiting())
	})
}

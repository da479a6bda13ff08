// Package rowqueue is a queue of records on disk: the log pipeline appends the lines it processed, and they wait
// there until PostgreSQL has stored them. What the pipeline appended can be read only after it committed a
// checkpoint that covers it; after a crash the rest is cut off, and its lines are processed, and appended,
// once more. So each line is in the queue once.
//
// The queue is a folder of segment files, each named after the position of its first byte. A position counts
// the bytes since the first record ever. A record is its length and its CRC-32C, four bytes each, big-endian, and
// its bytes.
package rowqueue

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/ironpost/ironpost/internal/atomicfile"
)

const (
	suffix      = ".rows"
	cursorFile  = "stored" // the position up to which records were taken
	frameHeader = 8
	maxRecord   = 1 << 20
	segmentSize = 16 << 20
	writeSize   = 1 << 20 // appended bytes that are kept in memory before they are written
)

// All is the position for Open that commits every record on the disk.
const All = math.MaxUint64

// ErrFull is returned by Append for a record that the queue has no room for.
var ErrFull = errors.New("the queue of log rows is full")

// Queue is the queue. One goroutine may call Append, Sync, Commit and Close, another one Next and Done; the
// other methods may be called by any.
type Queue struct {
	root     *os.Root
	maxBytes int64
	ready    chan struct{}

	// of the appending goroutine
	file    *os.File // nil until the first write
	start   uint64   // position of its first byte
	written uint64   // position up to which it is written
	pending []byte   // appended after written

	// of the taking goroutine
	from uint64 // position of the next record

	mu        sync.Mutex
	segments  []uint64 // starts of the segments on disk, in order
	end       uint64
	committed uint64
	stored    uint64
	damaged   uint64
}

// Open opens the queue in dir, which it makes, of at most maxBytes. committed is the position of the last
// checkpoint; what was appended after it is removed.
func Open(dir string, maxBytes int64, committed uint64) (*Queue, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	q := &Queue{root: root, maxBytes: maxBytes, ready: make(chan struct{}, 1)}
	if err := q.recover(committed); err != nil {
		return nil, errors.Join(fmt.Errorf("queue of log rows: %w", err), root.Close())
	}
	return q, nil
}

// recover finds the segments, cuts them off at committed and goes on from the cursor.
func (q *Queue) recover(committed uint64) error {
	entries, err := fs.ReadDir(q.root.FS(), ".")
	if err != nil {
		return err
	}
	for _, e := range entries {
		if start, err := strconv.ParseUint(strings.TrimSuffix(e.Name(), suffix), 10, 64); err == nil && strings.HasSuffix(e.Name(), suffix) {
			q.segments = append(q.segments, start)
		}
	}
	slices.Sort(q.segments)
	if committed == All {
		if committed, err = q.lastEnd(); err != nil {
			return err
		}
	}
	for len(q.segments) > 0 && q.segments[len(q.segments)-1] >= committed {
		last := len(q.segments) - 1
		if err := q.root.Remove(name(q.segments[last])); err != nil {
			return err
		}
		q.segments = q.segments[:last]
	}
	if n := len(q.segments); n > 0 {
		if err := q.cut(q.segments[n-1], committed); err != nil {
			return err
		}
	}
	q.end, q.committed, q.start, q.written = committed, committed, committed, committed
	q.stored = min(q.readCursor(), committed)
	if len(q.segments) > 0 {
		q.stored = max(q.stored, q.segments[0])
	} else {
		q.stored = committed
	}
	q.from = q.stored
	q.signal()
	return nil
}

// lastEnd returns the position after the last whole record on the disk.
func (q *Queue) lastEnd() (uint64, error) {
	if len(q.segments) == 0 {
		return q.readCursor(), nil
	}
	start := q.segments[len(q.segments)-1]
	data, err := q.root.ReadFile(name(start))
	if err != nil {
		return 0, err
	}
	at := 0
	for {
		_, size := decode(data[at:])
		if size == 0 {
			return start + uint64(at), nil
		}
		at += size
	}
}

// cut removes what a segment holds at position to and after it.
func (q *Queue) cut(start, to uint64) error {
	file, err := q.root.OpenFile(name(start), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	info, err := file.Stat()
	if err == nil && info.Size() > int64(to-start) {
		err = file.Truncate(int64(to - start))
	}
	return errors.Join(err, file.Close())
}

func (q *Queue) readCursor() uint64 {
	text, err := q.root.ReadFile(cursorFile)
	if err != nil {
		return 0
	}
	n, err := strconv.ParseUint(string(text), 10, 64)
	if err != nil {
		return 0 // taken again: each row is stored once
	}
	return n
}

// Append adds a record; Sync puts it on the disk. It returns ErrFull, or an error of the disk; then the
// record is not in the queue.
func (q *Queue) Append(record []byte) error {
	q.mu.Lock()
	used := int64(q.end - q.stored)
	q.mu.Unlock()
	if used+int64(len(record)+frameHeader) > q.maxBytes || len(record) > maxRecord {
		return ErrFull
	}
	if len(q.pending) >= writeSize {
		if err := q.write(); err != nil {
			return err
		}
	}
	q.pending = binary.BigEndian.AppendUint32(q.pending, uint32(len(record)))
	q.pending = binary.BigEndian.AppendUint32(q.pending, checksum(record))
	q.pending = append(q.pending, record...)
	q.mu.Lock()
	defer q.mu.Unlock()
	q.end += uint64(len(record) + frameHeader)
	return nil
}

// Sync puts on the disk what was appended and returns the position after it, for Commit. After an error it
// can be called again.
func (q *Queue) Sync() (uint64, error) {
	err := q.write()
	if err == nil && q.file != nil {
		err = q.file.Sync()
	}
	if err != nil {
		return 0, fmt.Errorf("queue of log rows: %w", err)
	}
	return q.written, nil
}

// write writes what is pending to the segment, or to the next one if it is large. After an error the same bytes
// are written to the same place.
func (q *Queue) write() error {
	if len(q.pending) == 0 {
		return nil
	}
	if q.file != nil && q.written-q.start >= segmentSize {
		if err := q.file.Sync(); err != nil {
			return err
		}
		if err := q.file.Close(); err != nil {
			return err
		}
		q.file = nil
	}
	if q.file == nil {
		if err := q.next(); err != nil {
			return err
		}
	}
	if _, err := q.file.WriteAt(q.pending, int64(q.written-q.start)); err != nil {
		return err
	}
	q.written += uint64(len(q.pending))
	q.pending = q.pending[:0]
	return nil
}

// next begins a segment.
func (q *Queue) next() error {
	file, err := q.root.OpenFile(name(q.written), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if err := atomicfile.Sync(q.root); err != nil {
		return errors.Join(err, file.Close())
	}
	q.file, q.start = file, q.written
	q.mu.Lock()
	defer q.mu.Unlock()
	q.segments = append(q.segments, q.start)
	return nil
}

// Commit lets the records before position be taken: a checkpoint covers them.
func (q *Queue) Commit(position uint64) {
	q.mu.Lock()
	q.committed = position
	q.mu.Unlock()
	q.signal()
}

func (q *Queue) signal() {
	select {
	case q.ready <- struct{}{}:
	default: // already set
	}
}

// Ready returns a channel that gets a value when there may be something to take.
func (q *Queue) Ready() <-chan struct{} { return q.ready }

// AlmostFull reports whether less than an eighth of the queue is free.
func (q *Queue) AlmostFull() bool { return int64(q.Waiting()) > q.maxBytes-q.maxBytes/8 }

// Waiting returns how many bytes are appended and not taken.
func (q *Queue) Waiting() uint64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.end - q.stored
}

// Damaged returns how many bytes could not be read and were skipped.
func (q *Queue) Damaged() uint64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.damaged
}

// Close closes the files. What is not synced is lost, and is appended again.
func (q *Queue) Close() error {
	var err error
	if q.file != nil {
		err = q.file.Close()
	}
	return errors.Join(err, q.root.Close())
}

func name(start uint64) string { return fmt.Sprintf("%020d%s", start, suffix) }

func checksum(record []byte) uint32 { return crc32.Checksum(record, crc32.MakeTable(crc32.Castagnoli)) }

// decode returns the record that data begins with and its size in the file, 0 if there is no whole one.
func decode(data []byte) (record []byte, size int) {
	if len(data) < frameHeader {
		return nil, 0
	}
	n := binary.BigEndian.Uint32(data)
	if n > maxRecord || len(data) < frameHeader+int(n) {
		return nil, 0
	}
	record = data[frameHeader : frameHeader+int(n)]
	if binary.BigEndian.Uint32(data[4:]) != checksum(record) {
		return nil, 0
	}
	return record, frameHeader + int(n)
}

package rowqueue

import (
	"fmt"
	"io"
	"slices"
	"strconv"

	"github.com/ironpost/ironpost/internal/atomicfile"
)

// readSize bounds the bytes of one Next; it holds any one record.
const readSize = 4 << 20

// Next returns the oldest committed records that were not taken, at most limit, and the position after them for Done;
// none if there are none. Bytes that are damaged are skipped to the next segment and counted. The error is one of the
// disk, and the call can be repeated.
func (q *Queue) Next(limit int) (records [][]byte, position uint64, err error) {
	for {
		start, until, ok := q.segmentAt(q.from)
		if !ok {
			return nil, q.from, nil
		}
		data, err := q.read(start, until)
		if err != nil {
			return nil, q.from, fmt.Errorf("queue of log rows: %w", err)
		}
		at := 0
		for len(records) < limit {
			record, size := decode(data[at:])
			if size == 0 {
				break
			}
			records, at = append(records, record), at+size
		}
		if len(records) > 0 {
			return records, q.from + uint64(at), nil
		}
		q.skip(until)
	}
}

// segmentAt returns the start of the segment that holds position, and the position up to which it may be read.
func (q *Queue) segmentAt(position uint64) (start, until uint64, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if position >= q.committed {
		return 0, 0, false
	}
	until = q.committed
	for _, v := range slices.Backward(q.segments) {
		if v <= position {
			return v, until, true
		}
		until = min(until, v)
	}
	return position, until, true // the file is gone: reading it fails to find a record
}

// read returns the bytes from q.from up to until, at most readSize.
func (q *Queue) read(start, until uint64) ([]byte, error) {
	file, err := q.root.Open(name(start))
	if err != nil {
		return nil, nil //nolint:nilerr // a segment that is gone has no records
	}
	defer func() { _ = file.Close() }() // only read
	return io.ReadAll(io.NewSectionReader(file, int64(q.from-start), int64(min(until-q.from, readSize))))
}

// skip counts what lies before position as damaged.
func (q *Queue) skip(position uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.damaged += position - q.from
	q.from, q.stored = position, position // all before q.from is done
}

// Done records that everything before position was stored, and removes the segments before it. After an error
// the same records may be taken again, by a later process.
func (q *Queue) Done(position uint64) error {
	q.from = position
	err := atomicfile.Write(q.root, cursorFile, strconv.AppendUint(nil, position, 10), 0o600)
	if err != nil {
		return fmt.Errorf("queue of log rows: %w", err)
	}
	for _, start := range q.forget(position) {
		if err := q.root.Remove(name(start)); err != nil {
			return fmt.Errorf("queue of log rows: %w", err)
		}
	}
	return nil
}

// forget moves stored to position and returns the segments that lie before it, but for the one that is written.
func (q *Queue) forget(position uint64) (segments []uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.stored = position
	for len(q.segments) > 1 && q.segments[1] <= position {
		segments, q.segments = append(segments, q.segments[0]), q.segments[1:]
	}
	return segments
}

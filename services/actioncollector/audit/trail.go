package audit

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// The errors a caller branches on.
var (
	// ErrLocked means that another process writes the trail.
	ErrLocked = errors.New("the audit trail is in use by another process")
	// ErrTampered means that the newest segment is no longer what was written, though nobody
	// else may write it: close the trail and open it again, with Head, to declare the break.
	ErrTampered = errors.New("the audit trail was changed while in use")
	// ErrFull means that the disk has no space. What was to be written is not in the trail.
	ErrFull = errors.New("no space left for the audit trail")
)

// DefaultSegmentSize is how large a segment grows before the next is begun, in bytes.
const DefaultSegmentSize = 64 << 20

// Config says where a trail is.
type Config struct {
	// Dir is the folder, made with mode 0700 if it is not there.
	Dir string
	// SegmentSize in bytes; 0 is DefaultSegmentSize.
	SegmentSize int64
	// Head is the newest record as it was kept outside Dir, zero if nothing was.
	Head Head
}

// Trail is an open trail. Its methods may be called concurrently; one process
// has it open at a time.
type Trail struct {
	dir         string
	segmentSize int64
	found       Found
	lock        *os.File

	mu    sync.Mutex
	file  *os.File // the active segment; nil until the next write where it could not be made
	size  int64    // bytes of it that are records
	start uint64   // seq of its first record
	head  Head
	seen  *seen
}

// Found is what Open found.
type Found struct {
	Records uint64
	// Break is the damage that Open declared in a record of its own, nil if there was none.
	Break *Problem
	// LastBreak is when the newest break was declared, now or before; zero if none was.
	LastBreak time.Time
	// Repaired is what Open cut off because a crash had left it unfinished.
	Repaired *Repair
}

// Repair tells of an unfinished record at the end. Its action was never
// acknowledged and comes again.
type Repair struct {
	Seq   uint64
	Bytes int64
	Aside string // where the bytes were put; empty if the disk is full
}

// Head names the newest record.
func (t *Trail) Head() Head {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.head
}

// Found returns what Open found.
func (t *Trail) Found() Found { return t.found }

// Append writes one record for each entry, in this order, and returns when all are on the disk. Either all
// are in the trail, or, with an error, none is. ErrFull may be tried again; ErrTampered wants a
// new Open. After any other error close the trail.
func (t *Trail) Append(entries ...Entry) (Head, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.append(time.Now(), actions(entries))
}

func actions(entries []Entry) []Record {
	records := make([]Record, len(entries))
	for i, e := range entries {
		records[i] = Record{Kind: Action, ID: e.ID, StreamSeq: e.StreamSeq, Action: e.Action}
	}
	return records
}

func (t *Trail) append(now time.Time, records []Record) (Head, error) {
	lines, head, err := t.encode(now, records)
	if err != nil {
		return t.head, err
	}
	if err := t.prepare(int64(len(lines))); err != nil {
		return t.head, err
	}
	if err := t.write(lines); err != nil {
		return t.head, err
	}
	t.head = head
	for _, r := range records {
		if r.Kind == Action {
			t.seen.add(r.ID, r.StreamSeq)
		}
	}
	return head, nil
}

// encode chains records after the head and returns their lines and the new head.
func (t *Trail) encode(now time.Time, records []Record) ([]byte, Head, error) {
	var lines []byte
	head := t.head
	for i := range records {
		r := &records[i]
		r.Seq, r.Prev, r.Time = head.Seq+1, head.Hash, now
		line, err := r.encode()
		if err != nil {
			return nil, head, err
		}
		head = Head{Seq: r.Seq, Hash: r.Hash}
		lines = append(lines, line...)
	}
	return lines, head, nil
}

// prepare makes sure that the active segment is ours, untouched and has room for n bytes.
func (t *Trail) prepare(n int64) error {
	if err := t.untouched(); err != nil {
		return err
	}
	if t.size > 0 && t.size+n > t.segmentSize {
		if _, err := t.closeSegment(); err != nil {
			return err
		}
	}
	if t.file == nil {
		return t.openSegment()
	}
	return nil
}

// untouched compares the active segment with what was written to it.
func (t *Trail) untouched() error {
	if t.file == nil {
		return nil
	}
	mine, err := t.file.Stat()
	if err != nil {
		return err
	}
	named, err := os.Lstat(t.path(activeName))
	if err != nil || !os.SameFile(mine, named) || mine.Size() != t.size {
		return fmt.Errorf("%s: %w", t.path(activeName), ErrTampered)
	}
	return nil
}

// write appends lines durably, or leaves the segment as it was.
func (t *Trail) write(lines []byte) error {
	_, err := t.file.Write(lines)
	if err == nil {
		err = t.file.Sync()
	}
	if err == nil {
		t.size += int64(len(lines))
		return nil
	}
	if diskFull(err) {
		err = fmt.Errorf("%w: %w", ErrFull, err)
	}
	return errors.Join(err, t.file.Truncate(t.size))
}

// closeSegment gives the active segment its final name and returns it.
func (t *Trail) closeSegment() (string, error) {
	name, err := closedAs(t.dir, t.start)
	if err != nil {
		return "", err
	}
	if err := os.Rename(t.path(activeName), t.path(name)); err != nil {
		return "", err
	}
	err = t.file.Close()
	t.file, t.size = nil, 0
	return name, errors.Join(err, syncDir(t.dir))
}

// openSegment begins a new active segment.
func (t *Trail) openSegment() error {
	f, err := openWrite(t.path(activeName))
	if diskFull(err) {
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	if err != nil {
		return err
	}
	t.file, t.start = f, t.head.Seq+1
	return syncDir(t.dir)
}

func (t *Trail) path(name string) string { return filepath.Join(t.dir, name) }

// Close closes the files and gives up the lock.
func (t *Trail) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	var err error
	if t.file != nil {
		err = t.file.Close()
		t.file = nil
	}
	return errors.Join(err, t.lock.Close())
}

package audit

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/ironpost/ironpost/internal/atomicfile"
)

// The errors a caller branches on.
var (
	// ErrLocked means that another process writes the trail.
	ErrLocked = errors.New("the audit trail is in use by another process")
	// ErrTampered means that the trail is not what was written: close it and open it again, with Head and
	// ReadAll, to declare the damage.
	ErrTampered = errors.New("the audit trail was changed while in use")
	// ErrFull means that the disk has no space. Nothing was appended.
	ErrFull = errors.New("no space left for the audit trail")
)

// DefaultSegmentSize is the size in bytes at which a segment is closed.
const DefaultSegmentSize = 64 << 20

// Config describes a trail to open.
type Config struct {
	// Dir is the folder of the trail. It is created with mode 0700 if it is missing.
	Dir string
	// SegmentSize in bytes; 0 means DefaultSegmentSize.
	SegmentSize int64
	// Head is the newest record as stored outside Dir, zero if none is stored.
	Head Head
	// ReadAll makes Open read the closed segments too, and not rely on the index.
	ReadAll bool
}

// Trail is an open trail. Its methods may be called concurrently; one process has it open at a time.
type Trail struct {
	dir         string
	segmentSize int64
	openedWith  Head // Config.Head
	found       Found
	lock        *os.File

	mu       sync.Mutex
	progress               // up to the last record on the disk
	begin    beginning     // where the trail begins
	closed   []indexedFile // the closed segments, oldest first
	file     *os.File      // the active segment; nil from its closing until the next append
	size     int64         // of the active segment, records only
	start    uint64        // seq of its first record
	ids      *recentIDs
}

// Found is what Open found.
type Found struct {
	Records uint64
	// Break is the damage that Open declared by a new record, nil if there was none.
	Break *Problem
	// LastBreak is when the newest damage that is not accepted was declared, now or before; zero if none was.
	LastBreak time.Time
	// Repaired is the unfinished record that Open cut off, nil if there was none.
	Repaired *Repair
}

// Repair describes an unfinished record that a crash left at the end. Its action was never acknowledged and
// is delivered again.
type Repair struct {
	Seq   uint64
	Bytes int64
	Aside string // the file the bytes were copied to; empty if the disk is full
}

// Head returns the newest record.
func (t *Trail) Head() Head {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.head()
}

func (t *Trail) head() Head { return Head{Seq: t.last.Seq, Hash: t.last.Hash, First: t.begin.first} }

// Found returns what Open found.
func (t *Trail) Found() Found { return t.found }

// Append writes one record for each entry, in this order, and returns the new head when all are on the
// disk. Either all are in the trail or, with an error, none is. After ErrFull it may be called again; after
// ErrTampered the trail must be opened again; after any other error the trail must be closed.
func (t *Trail) Append(entries ...Entry) (Head, error) {
	records := make([]Record, len(entries))
	for i, e := range entries {
		records[i] = Record{Kind: Action, ID: e.ID, StreamSeq: e.StreamSeq, Action: e.Action}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	_, err := t.append(time.Now(), records)
	return t.head(), err
}

func (t *Trail) append(now time.Time, records []Record) (Head, error) {
	var lines []byte
	head := t.last
	for i := range records {
		r := &records[i]
		r.Seq, r.Prev, r.Time = head.Seq+1, head.Hash, now
		line, err := r.encode()
		if err != nil {
			return t.last, err
		}
		head = Head{Seq: r.Seq, Hash: r.Hash}
		lines = append(lines, line...)
	}
	if err := t.prepareSegment(int64(len(lines))); err != nil {
		return t.last, err
	}
	if err := t.write(lines); err != nil {
		return t.last, err
	}
	t.digest.Write(lines) // never fails
	t.last, t.lastTime, t.records = head, now, t.records+uint64(len(records))
	for _, r := range records {
		t.remember(r)
	}
	return head, nil
}

// prepareSegment makes sure that the active segment is the one that was written and has room for n bytes.
func (t *Trail) prepareSegment(n int64) error {
	if t.file != nil {
		written, err := t.file.Stat()
		if err != nil {
			return err
		}
		named, err := os.Lstat(t.path(activeName))
		if err != nil || !os.SameFile(written, named) || written.Size() != t.size {
			return fmt.Errorf("%s: %w", t.path(activeName), ErrTampered)
		}
	}
	if t.size > 0 && t.size+n > t.segmentSize {
		if _, err := t.closeSegment(); err != nil {
			return err
		}
		t.saveIndex()
	}
	if t.file == nil {
		return t.openSegment()
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
	name, err := freeClosedName(t.dir, t.start)
	if err != nil {
		return "", err
	}
	info, err := t.file.Stat()
	if err != nil {
		return "", err
	}
	if err := os.Rename(t.path(activeName), t.path(name)); err != nil {
		return "", err
	}
	t.closed = append(t.closed, t.progress.indexed(name, info.Size()))
	err = t.file.Close()
	t.file, t.size = nil, 0
	return name, errors.Join(err, atomicfile.SyncDir(t.dir))
}

// openSegment creates the next active segment.
func (t *Trail) openSegment() error {
	f, err := openWrite(t.path(activeName))
	if diskFull(err) {
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	if err != nil {
		return err
	}
	t.file, t.start = f, t.last.Seq+1
	return atomicfile.SyncDir(t.dir)
}

func (t *Trail) path(name string) string { return filepath.Join(t.dir, name) }

// Close closes the files and releases the lock.
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

package syslog

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
)

// errFull says that the spool holds as many bytes as it may.
var errFull = errors.New("the spool is full")

const (
	segmentPrefix = "spool-"
	segmentSuffix = ".log"
)

// spool is a folder of segment files. Each line is written whole by one write, so
// that what a sender was taken off is in the page cache when this process dies.
type spool struct {
	dir      string
	segBytes int64 // Config.SegmentBytes

	mu     sync.Mutex
	limit  int64
	opened bool
	next   uint64        // number of the next segment
	file   *os.File      // being written, nil if none is
	segs   []segment     // on disk, in order; the last one belongs to file
	total  int64         // bytes of all
	room   chan struct{} // closed when there may be room again
	err    error         // why the last write failed
}

type segment struct {
	path string
	size int64
}

func newSpool(cfg Config) *spool {
	return &spool{dir: cfg.Dir, limit: cfg.MaxBytes, segBytes: cfg.SegmentBytes, room: make(chan struct{})}
}

// maxSegment is the size at which the next segment begins. The lock is held.
func (s *spool) maxSegment() int64 { return min(s.segBytes, max(1, s.limit/4)) }

// resize changes how many bytes all segments may have. What is there stays.
func (s *spool) resize(limit int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.limit = limit
	close(s.room)
	s.room = make(chan struct{})
}

// portion is how many bytes are worth one write.
func (s *spool) portion() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return min(putBytes, s.maxSegment())
}

// append writes lines, whole lines, or nothing of them. The error is errFull or
// that of the disk; both may pass.
func (s *spool) append(lines []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.write(lines)
	s.err = err
	return err
}

func (s *spool) write(lines []byte) error {
	if err := s.open(); err != nil {
		return err
	}
	if s.total > 0 && s.total+int64(len(lines)) > s.limit { // one message fits into an empty spool
		s.seal() // so that it can be released
		return errFull
	}
	if err := s.ready(); err != nil {
		return err
	}
	last := &s.segs[len(s.segs)-1]
	n, err := s.file.Write(lines)
	if err == nil {
		last.size += int64(n)
		s.total += int64(n)
		return nil
	}
	s.undo(last)
	return err
}

// undo removes a line that was written in part. If that fails the segment ends
// here, and its reader skips the torn end.
func (s *spool) undo(last *segment) {
	if err := s.file.Truncate(last.size); err == nil {
		return
	}
	if st, err := s.file.Stat(); err == nil {
		s.total += st.Size() - last.size
		last.size = st.Size()
	}
	s.seal()
}

// open makes the folder and takes stock of it, once.
func (s *spool) open() error {
	if s.opened {
		return nil
	}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return err
	}
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return err
	}
	s.segs, s.total, s.next = nil, 0, 1
	for _, e := range entries {
		n, ok := segmentNumber(e.Name())
		st, err := e.Info()
		if !ok || err != nil || !st.Mode().IsRegular() {
			continue
		}
		s.segs = append(s.segs, segment{filepath.Join(s.dir, e.Name()), st.Size()})
		s.total += st.Size()
		s.next = max(s.next, n+1)
	}
	s.opened = true
	return nil
}

func segmentNumber(name string) (uint64, bool) {
	digits, ok := strings.CutPrefix(name, segmentPrefix)
	digits, ok2 := strings.CutSuffix(digits, segmentSuffix)
	n, err := strconv.ParseUint(digits, 10, 63)
	return n, ok && ok2 && err == nil && len(digits) >= 8
}

// ready makes sure that there is a segment to write to. A segment of an earlier
// life is never continued: its last line may be half a line.
func (s *spool) ready() error {
	if s.file != nil && s.segs[len(s.segs)-1].size < s.maxSegment() {
		return nil
	}
	s.seal()
	path := filepath.Join(s.dir, fmt.Sprintf("%s%08d%s", segmentPrefix, s.next, segmentSuffix))
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL|os.O_APPEND|noFollow, 0o600)
	if err != nil {
		s.opened = !errors.Is(err, os.ErrExist) && !errors.Is(err, os.ErrNotExist) // look again
		return err
	}
	s.file = f
	s.next++
	s.segs = append(s.segs, segment{path: path})
	return nil
}

// seal ends the segment being written. It is synced, so that a power cut costs at
// most one segment.
func (s *spool) seal() {
	if s.file == nil {
		return
	}
	_ = s.file.Sync() // the bytes are written; there is nobody to tell
	_ = s.file.Close()
	s.file = nil
}

// release deletes the finished segments for which passed reports true.
func (s *spool) release(passed func(path string, size int64) bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.open(); err != nil {
		return err
	}
	var kept []segment
	var errs []error
	for i, seg := range s.segs {
		writing := s.file != nil && i == len(s.segs)-1
		if writing || !passed(seg.path, seg.size) {
			kept = append(kept, seg)
			continue
		}
		if err := os.Remove(seg.path); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
			kept = append(kept, seg)
			continue
		}
		s.total -= seg.size
	}
	if len(kept) < len(s.segs) {
		close(s.room)
		s.room = make(chan struct{})
	}
	s.segs = kept
	return errors.Join(errs...)
}

// waitRoom returns a channel that is closed when there may be room.
func (s *spool) waitRoom() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.room
}

func (s *spool) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seal()
}

// usage returns what is on disk and why the last write failed.
func (s *spool) usage() (files int, total int64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.segs), s.total, s.err
}

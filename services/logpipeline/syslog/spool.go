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

// errFull says that the spool holds Config.MaxBytes.
var errFull = errors.New("the spool is full")

const (
	segmentPrefix = "spool-"
	segmentSuffix = ".log"
	// writeBytes is at how many bytes the records found in one read of a connection are written.
	writeBytes = 64 << 10
)

// spool is a folder of segment files. Records are written whole by one write: those
// acknowledged to a sender are in the page cache when this process dies.
type spool struct {
	dir          string
	segmentBytes int64 // Config.SegmentBytes

	mu       sync.Mutex
	maxBytes int64 // Config.MaxBytes
	opened   bool
	next     uint64        // number of the next segment
	file     *os.File      // the segment being written, nil if there is none
	segments []segment     // on disk, in order; the last one belongs to file
	total    int64         // bytes of all
	room     chan struct{} // closed when there may be room again
	err      error         // why the last write failed
}

type segment struct {
	path string
	size int64
}

func newSpool(cfg Config) *spool {
	return &spool{dir: cfg.Dir, maxBytes: cfg.MaxBytes, segmentBytes: cfg.SegmentBytes, room: make(chan struct{})}
}

// maxSegment is the size at which the next segment begins: a quarter of a small spool, so
// that read segments can be deleted while one is written. s.mu is held.
func (s *spool) maxSegment() int64 { return min(s.segmentBytes, max(1, s.maxBytes/4)) }

// setMaxBytes changes the limit of all segments together. Nothing is deleted.
func (s *spool) setMaxBytes(n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.maxBytes = n
	s.signalRoom()
}

// signalRoom wakes all that wait on waitRoom. s.mu is held.
func (s *spool) signalRoom() {
	close(s.room)
	s.room = make(chan struct{})
}

// waitRoom returns a channel that is closed when there may be room.
func (s *spool) waitRoom() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.room
}

// writeSize is how many bytes of records are collected for one write.
func (s *spool) writeSize() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return min(writeBytes, s.maxSegment())
}

// append writes records, which are whole lines, or none of them. The error is errFull or
// that of the disk; both may pass.
func (s *spool) append(records []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = s.write(records)
	return s.err
}

func (s *spool) write(records []byte) error {
	if err := s.open(); err != nil {
		return err
	}
	if s.total > 0 && s.total+int64(len(records)) > s.maxBytes { // one message fits into an empty spool
		s.endSegment() // it can be deleted once it is read
		return errFull
	}
	if s.file == nil || s.segments[len(s.segments)-1].size >= s.maxSegment() {
		if err := s.beginSegment(); err != nil {
			return err
		}
	}
	last := &s.segments[len(s.segments)-1]
	n, err := s.file.Write(records)
	if err == nil {
		last.size += int64(n)
		s.total += int64(n)
		return nil
	}
	// Remove the records that were written in part. If that fails the segment ends here, and its
	// reader skips the torn end.
	if s.file.Truncate(last.size) == nil {
		return err
	}
	if st, statErr := s.file.Stat(); statErr == nil {
		s.total += st.Size() - last.size
		last.size = st.Size()
	}
	s.endSegment()
	return err
}

// open creates the folder and lists its segments, once.
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
	s.segments, s.total, s.next = nil, 0, 1
	for _, e := range entries {
		n, ok := segmentNumber(e.Name())
		st, err := e.Info()
		if !ok || err != nil || !st.Mode().IsRegular() {
			continue
		}
		s.segments = append(s.segments, segment{filepath.Join(s.dir, e.Name()), st.Size()})
		s.total += st.Size()
		s.next = max(s.next, n+1)
	}
	s.opened = true
	return nil
}

// segmentNumber returns the number in the name of a segment, false for another file.
func segmentNumber(name string) (uint64, bool) {
	digits, ok := strings.CutPrefix(name, segmentPrefix)
	digits, ok2 := strings.CutSuffix(digits, segmentSuffix)
	n, err := strconv.ParseUint(digits, 10, 63)
	return n, ok && ok2 && err == nil && len(digits) >= 8
}

// beginSegment starts the next segment. One of an earlier process is never continued:
// its last line may be half a line.
func (s *spool) beginSegment() error {
	s.endSegment()
	path := filepath.Join(s.dir, fmt.Sprintf("%s%08d%s", segmentPrefix, s.next, segmentSuffix))
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL|os.O_APPEND|noFollow, 0o600)
	if err != nil {
		s.opened = !errors.Is(err, os.ErrExist) && !errors.Is(err, os.ErrNotExist) // list the folder again
		return err
	}
	s.file = file
	s.next++
	s.segments = append(s.segments, segment{path: path})
	return nil
}

// endSegment closes the segment being written. It is synced: a power cut costs at most
// one segment.
func (s *spool) endSegment() {
	if s.file == nil {
		return
	}
	_ = s.file.Sync() // the records are written; a failing disk shows at the next write
	_ = s.file.Close()
	s.file = nil
}

// deleteConsumed deletes the ended segments for which consumed reports true.
func (s *spool) deleteConsumed(consumed func(path string, size int64) bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.open(); err != nil {
		return err
	}
	var kept []segment
	var errs []error
	for i, seg := range s.segments {
		writing := s.file != nil && i == len(s.segments)-1
		if writing || !consumed(seg.path, seg.size) {
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
	if len(kept) < len(s.segments) {
		s.signalRoom()
	}
	s.segments = kept
	return errors.Join(errs...)
}

func (s *spool) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.endSegment()
}

// usage returns the segments on disk, their bytes and why the last write failed.
func (s *spool) usage() (files int, total int64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.segments), s.total, s.err
}

package syslog

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// ErrFull says that the spool has no more room for a sender.
var ErrFull = errors.New("the spool is full")

const (
	segmentPrefix = "spool-"
	segmentSuffix = ".log"
	spoolMode     = 0o700
	// writeBytes is at how many bytes the records found in one read of a connection are written.
	writeBytes = 64 << 10

	// maxSequences bounds the sequences of one transport besides the one that all other senders share.
	maxSequences = 64
	// sequenceShare is how much one sequence may hold, as a multiple of the bytes that are still free: one alone gets four fifths of
	// the spool, n of them together all but one in 4n+1, and another sender always finds room.
	sequenceShare = 4
	maxSyncing    = 4 // segments
	endConsumed   = 1 << 20
	endSilent     = time.Minute
)

// spool is a folder of segment files. Each sender has a sequence of segments of its own, so that one that floods delays and drops only
// its own messages. Records are written whole by one write: those acknowledged to a sender are in the page cache when this process dies.
type spool struct {
	dir          string
	segmentBytes int64 // Config.SegmentBytes

	mu        sync.Mutex
	maxBytes  int64 // Config.MaxBytes
	opened    bool
	next      uint64               // number of the next segment
	sequences map[string]*sequence // by name
	total     int64                // bytes of all
	room      chan struct{}        // closed when there may be room again
	err       error                // why the folder cannot be opened

	syncs   sync.WaitGroup
	syncing chan struct{} // holds one for each segment that is synced
}

// sequence is the segments of one sender, or of those that share one.
type sequence struct {
	file     *os.File  // the segment being written, nil if there is none
	written  time.Time // when it was last written
	segments []segment // on disk, in order; the last one belongs to file
	size     int64     // bytes of all
	err      error     // why the last write failed
}

type segment struct {
	path string
	size int64
}

func newSpool(cfg Config) *spool {
	return &spool{
		dir: cfg.Dir, maxBytes: cfg.MaxBytes, segmentBytes: cfg.SegmentBytes, sequences: map[string]*sequence{}, room: make(chan struct{}),
		syncing: make(chan struct{}, maxSyncing),
	}
}

// sequenceName returns the name of the sequence of a sender: its transport and its address, of an IPv6 address the network of 64 bits.
// Whoever sends UDP may forge addresses, so the senders of one transport use up only its own sequences.
func sequenceName(transport string, sender netip.Addr) string {
	sender = sender.Unmap().WithZone("")
	if sender.Is6() {
		network, _ := sender.Prefix(64) // it has 128 bits
		sender = network.Addr()
	}
	return transport + "-" + strings.ReplaceAll(sender.String(), ":", "_")
}

// othersOf returns the name of the sequence that senders of transport share where there are too many.
func othersOf(transport string) string { return transport + "-others" }

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

// append writes records, which are whole lines, to the sequence called name, or none of them. The error is ErrFull or
// that of the disk; both may pass.
func (s *spool) append(name string, records []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err = s.open(); s.err != nil {
		return s.err
	}
	name, q := s.find(name)
	q.err = s.write(name, q, records)
	return q.err
}

// find returns the sequence called name, a new one if there is none yet. When its transport has too many it is the one that the other
// senders share.
func (s *spool) find(name string) (string, *sequence) {
	if q := s.sequences[name]; q != nil {
		return name, q
	}
	transport, _, _ := strings.Cut(name, "-")
	others, own := othersOf(transport), 0
	for other := range s.sequences {
		if strings.HasPrefix(other, transport+"-") && other != others {
			own++
		}
	}
	if own >= maxSequences {
		name = others
	}
	if s.sequences[name] == nil {
		s.sequences[name] = &sequence{}
	}
	return name, s.sequences[name]
}

func (s *spool) write(name string, q *sequence, records []byte) error {
	n := int64(len(records))
	free := s.maxBytes - s.total
	if s.total > 0 && q.size+n > sequenceShare*(free-n) { // one message fits into an empty spool
		return ErrFull
	}
	if q.file == nil || q.segments[len(q.segments)-1].size >= s.maxSegment() {
		if err := s.beginSegment(name, q); err != nil {
			return err
		}
	}
	last := &q.segments[len(q.segments)-1]
	q.written = time.Now()
	_, err := q.file.Write(records)
	if err == nil {
		s.grow(q, last, n)
		return nil
	}
	// Remove the records that were written in part. If that fails the segment ends here, and its
	// reader skips the torn end.
	if q.file.Truncate(last.size) == nil {
		return err
	}
	if st, statErr := q.file.Stat(); statErr == nil {
		s.grow(q, last, st.Size()-last.size)
	}
	s.endSegment(q)
	return err
}

// grow counts n more bytes of a segment of q.
func (s *spool) grow(q *sequence, to *segment, n int64) {
	to.size += n
	q.size += n
	s.total += n
}

// open creates the folder, or lists its segments and begins the next one of each sequence, once.
func (s *spool) open() error {
	if s.opened {
		return nil
	}
	if err := os.MkdirAll(s.dir, spoolMode); err != nil {
		return err
	}
	entries, err := os.ReadDir(s.dir) // sorted
	if err != nil {
		return err
	}
	for _, q := range s.sequences {
		s.endSegment(q)
	}
	s.sequences, s.total, s.next = map[string]*sequence{}, 0, 1
	for _, e := range entries {
		name, n, ok := parseSegment(e.Name())
		st, err := e.Info()
		if !ok || err != nil || !st.Mode().IsRegular() {
			continue
		}
		q := s.sequences[name]
		if q == nil {
			q = &sequence{}
			s.sequences[name] = q
		}
		q.segments = append(q.segments, segment{path: filepath.Join(s.dir, e.Name())})
		s.grow(q, &q.segments[len(q.segments)-1], st.Size())
		s.next = max(s.next, n+1)
	}
	s.opened = true
	for name, q := range s.sequences { // the end of the last one may be torn: only with a later one it is complete
		if err := s.beginSegment(name, q); err != nil {
			return err
		}
	}
	return nil
}

// parseSegment returns the sequence and the number in the name of a segment, false for another file. Earlier versions had one sequence
// without a name.
func parseSegment(file string) (name string, n uint64, ok bool) {
	rest, ok := strings.CutPrefix(file, segmentPrefix)
	rest, ok2 := strings.CutSuffix(rest, segmentSuffix)
	digits := rest
	if i := strings.LastIndexByte(rest, '-'); i >= 0 {
		name, digits = rest[:i], rest[i+1:]
	}
	n, err := strconv.ParseUint(digits, 10, 63)
	return name, n, ok && ok2 && err == nil && len(digits) >= 8
}

// beginSegment starts the next segment. One of an earlier process is never continued:
// its last line may be half a line.
func (s *spool) beginSegment(name string, q *sequence) error {
	s.endSegment(q)
	path := filepath.Join(s.dir, fmt.Sprintf("%s%s%08d%s", segmentPrefix, strings.TrimPrefix(name+"-", "-"), s.next, segmentSuffix))
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL|os.O_APPEND|noFollow, 0o600)
	if err != nil {
		s.opened = !errors.Is(err, os.ErrExist) && !errors.Is(err, os.ErrNotExist) // list the folder again
		return err
	}
	q.file = file
	s.next++
	q.segments = append(q.segments, segment{path: path})
	return nil
}

// endSegment ends the segment that q writes. It is synced, so that a power cut costs at most one segment, but not while
// others wait for s.mu, unless the disk has several to sync already. s.mu is held.
func (s *spool) endSegment(q *sequence) {
	if q.file == nil {
		return
	}
	file := q.file
	q.file = nil
	end := func() {
		_ = file.Sync() // the records are written; a failing disk shows at the next write
		_ = file.Close()
	}
	select {
	case s.syncing <- struct{}{}:
		s.syncs.Go(func() {
			end()
			<-s.syncing
		})
	default:
		end()
	}
}

// deleteConsumed deletes the segments for which consumed reports true, and forgets sequences without one. A segment being written is
// deleted if it has a size that matters, if its sender has been silent for a while, or if the sender finds no room.
func (s *spool) deleteConsumed(consumed func(path string, size int64) bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.open(); err != nil {
		return err
	}
	before := s.total
	var errs []error
	for name, q := range s.sequences {
		var kept []segment
		for i, seg := range q.segments {
			writing := q.file != nil && i == len(q.segments)-1
			inUse := writing && seg.size < endConsumed && time.Since(q.written) < endSilent && !errors.Is(q.err, ErrFull)
			if len(kept) > 0 || inUse || !consumed(seg.path, seg.size) {
				kept = append(kept, seg)
				continue
			}
			if writing {
				_ = q.file.Close() // it is deleted
				q.file = nil
			}
			if err := os.Remove(seg.path); err != nil && !errors.Is(err, os.ErrNotExist) {
				errs = append(errs, err)
				kept = append(kept, seg)
				continue
			}
			s.grow(q, &seg, -seg.size)
		}
		if q.segments = kept; len(kept) == 0 {
			delete(s.sequences, name)
		}
	}
	if s.total < before {
		s.signalRoom()
	}
	return errors.Join(errs...)
}

func (s *spool) close() {
	s.mu.Lock()
	for _, q := range s.sequences {
		s.endSegment(q)
	}
	s.mu.Unlock()
	s.syncs.Wait()
}

// usage returns the segments on disk, their bytes, the senders whose share of the spool is used up, sorted, and why the last write
// failed otherwise.
func (s *spool) usage() (files int, total int64, full []string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	err = s.err
	for name, q := range s.sequences {
		files += len(q.segments)
		switch {
		case errors.Is(q.err, ErrFull):
			full = append(full, name)
		case q.err != nil:
			err = q.err
		}
	}
	slices.Sort(full)
	return files, s.total, full, err
}

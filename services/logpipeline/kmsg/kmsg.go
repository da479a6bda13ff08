// Package kmsg reads the kernel's log from /dev/kmsg (Linux, Documentation/ABI/testing/dev-kmsg), for hosts without a journal that has it.
package kmsg

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/ironpost/ironpost/internal/task"
)

const (
	device = "/dev/kmsg"
	bootID = "/proc/sys/kernel/random/boot_id"

	poll      = 100 * time.Millisecond // between two reads of the device, which is opened without blocking
	retry     = 10 * time.Second       // after the device could not be opened
	maxQueued = 4096
	maxRecord = 8 << 10 // bytes; the kernel's own limit
)

// Record is one record of the kernel's log.
type Record struct {
	// Position identifies the record: read again it has the same one, no other has it.
	Position string
	// Priority is the syslog priority. Its facility is not 0 if a program wrote the record.
	Priority int
	Time     time.Time
	Text     string
	seq      uint64
}

// IsKernel reports whether the kernel itself wrote the record.
func (r Record) IsKernel() bool { return r.Priority>>3 == 0 }

// State is how far the log of one boot was taken. It marshals to JSON.
type State struct {
	Boot string `json:"boot"`
	Next uint64 `json:"next"` // sequence number of the record to take next
}

// Stats are the counters and health reasons of a Source.
type Stats struct {
	Records uint64 // returned by Next
	Lost    uint64 // overwritten before they were read
	Waiting int
	Reason  string // why the log is not read, "" if it is
}

// Source reads the log while it is enabled. One goroutine calls Next and Done; the other methods may be called from any.
type Source struct {
	wake    func()
	onLoss  func(n uint64)
	log     logrus.FieldLogger
	changed chan struct{}

	mu      sync.Mutex
	enabled bool
	state   State
	since   time.Time // records before are not read; zero if all are since the position
	reading bool
	queue   []Record
	taken   int // of the queue, not done
	stats   Stats
}

// New returns a disabled Source that goes on from saved. Without one of this boot it begins with records that are written from then on; a
// new boot is read from its start. wake is called whenever Next may have records, onLoss when records were overwritten.
func New(saved *State, wake func(), onLoss func(n uint64), log logrus.FieldLogger) *Source {
	s := &Source{wake: wake, onLoss: onLoss, log: log, changed: make(chan struct{}, 1)}
	if saved != nil {
		s.state = *saved
	}
	return s
}

// SetEnabled turns the source on or off. Turned off it forgets its position.
func (s *Source) SetEnabled(enabled bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.enabled == enabled {
		return
	}
	s.enabled = enabled
	if !enabled {
		s.state, s.queue, s.taken, s.stats.Reason, s.reading = State{}, nil, 0, "", false
	}
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// Run reads until ctx ends. A log that cannot be read is in Stats, never an error.
func (s *Source) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		if !s.isEnabled() {
			select {
			case <-ctx.Done():
			case <-s.changed:
			}
			continue
		}
		if err := s.follow(ctx); err != nil {
			s.mu.Lock()
			s.stats.Reason, s.reading = "the kernel's log is not read: "+err.Error(), false
			s.mu.Unlock()
			task.Pause(ctx, retry)
		}
	}
	return nil
}

// Covers reports whether a record that the kernel wrote at the time at is, or will be, returned by Next.
func (s *Source) Covers(at time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.enabled && s.reading && at.After(s.since)
}

func (s *Source) isEnabled() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.enabled
}

// follow reads until ctx ends or the source is turned off.
func (s *Source) follow(ctx context.Context) error {
	id, err := os.ReadFile(bootID)
	if err != nil {
		return err
	}
	boot := strings.TrimSpace(string(id))
	file, err := openDevice()
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }() // only read
	var since time.Time
	if s.isFresh() {
		if _, err := file.Seek(0, io.SeekEnd); err != nil {
			return err
		}
		since = time.Now()
	}
	next := s.begin(boot, since)
	for b := make([]byte, maxRecord); ctx.Err() == nil && s.isEnabled(); {
		if !s.hasRoom() {
			task.Pause(ctx, poll)
			continue
		}
		n, err := file.Read(b)
		switch {
		case isEmpty(err):
			task.Pause(ctx, poll)
		case isOverwritten(err): // the next record says how many are missing
		case err != nil:
			return err
		default:
			r, ok := parseRecord(b[:n], boot, time.Now(), uptime())
			if ok && r.seq >= next {
				s.put(r, next)
				next = r.seq + 1
			}
		}
	}
	return nil
}

func (s *Source) isFresh() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state.Boot == ""
}

// begin notes which boot is read and since when, and returns the number of the record to read next.
func (s *Source) begin(boot string, since time.Time) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state.Boot != boot {
		s.state = State{Boot: boot}
	}
	s.stats.Reason, s.reading = "", true
	if !since.IsZero() {
		s.since = since
	}
	return s.state.Next
}

func (s *Source) hasRoom() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.queue) < maxQueued
}

// put queues r; next is the number that was expected, 0 if none was.
func (s *Source) put(r Record, next uint64) {
	s.mu.Lock()
	lost := r.seq - next
	if next == 0 {
		lost = 0
	}
	if s.enabled {
		s.stats.Lost += lost
		s.queue = append(s.queue, r)
	}
	s.mu.Unlock()
	if lost > 0 {
		s.onLoss(lost)
	}
	s.wake()
}

// Next returns the records that wait, at most limit, in order. No more are returned, and State stays before these, until Done. It does not
// wait.
func (s *Source) Next(limit int) []Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.taken > 0 {
		return nil
	}
	s.taken = min(limit, len(s.queue))
	s.stats.Records += uint64(s.taken)
	return s.queue[:s.taken:s.taken]
}

// Done says that the records that Next returned have taken effect.
func (s *Source) Done() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.taken == 0 { // turned off meanwhile
		return
	}
	s.state.Next = s.queue[s.taken-1].seq + 1
	s.queue, s.taken = s.queue[s.taken:], 0
	if len(s.queue) > 0 {
		s.wake()
	}
}

// State returns the position after all records that are done, nil if the source is off or has not begun.
func (s *Source) State() *State {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.enabled || s.state.Boot == "" {
		return nil
	}
	out := s.state
	return &out
}

// Stats returns the counters and the reason. Any goroutine may call it at any time.
func (s *Source) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.stats
	out.Waiting = len(s.queue)
	return out
}

// parseRecord parses "priority,sequence,microseconds,flags;text\n", after which may be lines " KEY=value". now and up, the time since the
// start of the machine, belong together.
func parseRecord(b []byte, boot string, now time.Time, up time.Duration) (Record, bool) {
	head, text, ok := bytes.Cut(b, []byte(";"))
	fields := strings.SplitN(string(head), ",", 4)
	if !ok || len(fields) < 3 {
		return Record{}, false
	}
	priority, err1 := strconv.ParseUint(fields[0], 10, 16)
	seq, err2 := strconv.ParseUint(fields[1], 10, 64)
	micros, err3 := strconv.ParseInt(fields[2], 10, 64)
	if errors.Join(err1, err2, err3) != nil {
		return Record{}, false
	}
	text, _, _ = bytes.Cut(text, []byte("\n"))
	r := Record{Position: fmt.Sprintf("kernel.%s.%d", boot, seq), Priority: int(priority), Time: now, Text: unescape(text), seq: seq}
	if ago := up - time.Duration(micros)*time.Microsecond; up > 0 && ago > 0 {
		r.Time = now.Add(-ago)
	}
	return r, true
}

// unescape replaces \xHH, as the kernel writes bytes that are not printable.
func unescape(b []byte) string {
	if !bytes.Contains(b, []byte(`\x`)) {
		return string(b)
	}
	out := make([]byte, 0, len(b))
	for i := 0; i < len(b); i++ {
		if b[i] == '\\' && i+3 < len(b) && b[i+1] == 'x' {
			if n, err := strconv.ParseUint(string(b[i+2:i+4]), 16, 8); err == nil {
				out, i = append(out, byte(n)), i+3
				continue
			}
		}
		out = append(out, b[i])
	}
	return string(out)
}

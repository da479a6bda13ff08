package logging

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/ironpost/ironpost/internal/task"
)

const (
	maxWaiting = 1 << 20          // bytes of lines that wait for the reader
	maxBatch   = 64 << 10         // bytes of one write, roughly what a pipe holds
	stuckAfter = 2 * time.Second  // how long a write takes until it is a reason
	dropsShown = 10 * time.Minute // how long the last drop is a reason
)

// Output passes lines on to a writer whose reader may be slow, not read at all or have gone. Its callers never
// wait: what does not fit into 1 MiB, or cannot be written, is dropped and counted. Once the writer takes lines
// again, the log says how many were dropped. Its methods may be called concurrently.
type Output struct {
	to       io.Writer
	group    *task.Group
	wake     chan struct{} // lines wait, or Close was called; holds one
	done     chan struct{} // closed when the last line has been written
	mu       sync.Mutex
	log      logrus.FieldLogger // says what was dropped; nil: nobody
	waiting  [][]byte
	size     int // bytes of waiting
	closed   bool
	began    time.Time // of the write under way; zero: none
	drops    drops
	unsaid   uint64 // dropped lines that the log has not said yet
	midLine  bool   // the last write ended within a line
	lastFail error  // of the last write; nil if it succeeded
}

// drops counts lines that were not written.
type drops struct {
	total       uint64
	recent      uint64 // since then
	since, last time.Time
}

// NewOutput returns an Output that writes to w, one call at a time. It must be closed.
func NewOutput(w io.Writer) *Output {
	o := &Output{to: w, group: task.New(context.Background()), wake: make(chan struct{}, 1), done: make(chan struct{})}
	o.group.Go("log output", func(context.Context) error {
		defer close(o.done)
		o.run()
		return nil
	})
	return o
}

// Write takes one line or several, complete ones. It never fails and never blocks.
func (o *Output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed || o.size+len(p) > maxWaiting {
		o.drop(p)
		return len(p), nil
	}
	o.waiting = append(o.waiting, bytes.Clone(p))
	o.size += len(p)
	o.signal()
	return len(p), nil
}

// ReportTo has log, which writes to o, say how many lines were dropped when lines are taken again.
func (o *Output) ReportTo(log logrus.FieldLogger) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.log = log
}

// Dropped returns how many lines were dropped.
func (o *Output) Dropped() uint64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.drops.total
}

// Reason returns why the log is not complete or not being read, "" if it is. Lines that were dropped are a
// reason for 10 minutes.
func (o *Output) Reason() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.drops.recent > 0 && time.Since(o.drops.last) < dropsShown {
		why := "its reader does not read"
		if o.lastFail != nil {
			why = o.lastFail.Error()
		} else if o.began.IsZero() {
			why = "its reader was too slow"
		}
		return fmt.Sprintf("%d lines of the log were dropped since %s: %s", o.drops.recent, o.drops.since.UTC().Format(time.RFC3339), why)
	}
	if !o.began.IsZero() && time.Since(o.began) > stuckAfter {
		return fmt.Sprintf("the log is not read since %s: %d bytes wait", o.began.UTC().Format(time.RFC3339), o.size)
	}
	return ""
}

// Close waits until all lines are written, at most for patience; what is left then is dropped, and a write that
// hangs is left behind. Lines after it are dropped.
func (o *Output) Close(patience time.Duration) {
	o.mu.Lock()
	o.closed = true
	o.signal()
	o.mu.Unlock()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-o.done:
	case <-timer.C:
	}
}

// drop counts the lines of p. o.mu is held.
func (o *Output) drop(p []byte) {
	now := time.Now()
	if o.drops.last.IsZero() || now.Sub(o.drops.last) >= dropsShown {
		o.drops.recent, o.drops.since = 0, now
	}
	n := uint64(max(bytes.Count(p, []byte("\n")), 1))
	o.drops.total += n
	o.drops.recent += n
	o.unsaid += n
	o.drops.last = now
}

// signal wakes run. o.mu is held.
func (o *Output) signal() {
	select {
	case o.wake <- struct{}{}:
	default: // it is awake
	}
}

// run writes lines until o is closed and all are written.
func (o *Output) run() {
	for {
		batch, closed := o.take()
		switch {
		case len(batch) > 0:
			n, err := o.to.Write(batch)
			o.written(batch, n, err)
		case closed:
			return
		default:
			o.sayDropped()
			<-o.wake
		}
	}
}

// take returns lines to write, and whether o is closed.
func (o *Output) take() (batch []byte, closed bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.midLine && len(o.waiting) > 0 {
		batch = append(batch, '\n')
	}
	n := 0
	for _, line := range o.waiting {
		if n > 0 && len(batch)+len(line) > maxBatch {
			break
		}
		batch = append(batch, line...)
		n++
	}
	o.waiting = o.waiting[n:]
	if len(batch) > 0 {
		o.began = time.Now()
	}
	return batch, o.closed
}

// written notes how the write of batch ended. Lines count against the bound until then.
func (o *Output) written(batch []byte, n int, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n = min(max(n, 0), len(batch))
	if o.midLine {
		o.size++ // the line feed that take put before
	}
	o.size -= len(batch)
	o.began, o.lastFail = time.Time{}, err
	if n > 0 {
		o.midLine = batch[n-1] != '\n'
	}
	if err != nil {
		o.drop(batch[n:])
	}
}

// sayDropped logs how many lines were dropped, unless lines cannot be written.
func (o *Output) sayDropped() {
	o.mu.Lock()
	log, n, since := o.log, o.unsaid, o.drops.since
	if log == nil || n == 0 || o.lastFail != nil {
		o.mu.Unlock()
		return
	}
	o.unsaid = 0
	o.mu.Unlock()
	log.WithField("lines", n).WithField("since", since.UTC().Format(time.RFC3339)).
		Warn("lines of the log were dropped: its reader did not read, or it could not be written")
}

package syslog

import (
	"bytes"
	"errors"
	"strconv"
)

// errFraming is a frame length that no message has. What follows it cannot be
// told apart any more, so the connection is closed.
var errFraming = errors.New("impossible frame length")

const (
	// absurdLength is the frame length from which on a sender is not believed.
	absurdLength = 1 << 20
	// maxDigits bounds the digits read as a frame length.
	maxDigits = 20
)

// framer finds messages in a TCP stream (RFC 6587). Each frame is looked at anew:
// an octet count, a space and "<" begin a counted one, anything else ends at a
// newline or a NUL. The same bytes give the same messages, however they are split
// over calls of feed.
type framer struct {
	max   int                              // bytes kept of a message
	emit  func(msg []byte, cut bool) error // msg is valid during the call
	buf   []byte                           // the message so far, at most max bytes
	state frameState
	left  int  // counted: bytes still to come
	over  bool // the message is longer than max
}

type frameState int

const (
	between frameState = iota // no byte of the next frame yet
	length                    // reading what may be a count
	space                     // a count and a space; "<" decides
	counted                   // a message of known length
	line                      // a message up to a newline or NUL
)

// resize changes how many bytes are kept of messages that have not begun.
func (f *framer) resize(n int) {
	if f.state == between {
		f.max = n
	}
}

// feed takes the next bytes of the stream. It returns errFraming or the error of
// emit; then the framer is of no more use.
func (f *framer) feed(p []byte) error {
	ends := newEnds(p)
	for at := 0; at < len(p); {
		n, err := f.step(p[at:], at, ends)
		if err != nil {
			return err
		}
		at += n
	}
	return nil
}

// step consumes part of p, which is not empty and begins at in the chunk of ends.
func (f *framer) step(p []byte, at int, ends *ends) (int, error) {
	switch f.state {
	case between:
		return f.start(p[0]), nil
	case length:
		return f.count(p[0]), nil
	case space:
		return 0, f.decide(p[0])
	case counted:
		return f.take(p)
	default:
		return f.takeLine(p, ends.after(at)-at)
	}
}

// start looks at the first byte of a frame.
func (f *framer) start(c byte) int {
	switch {
	case c == '\n' || c == 0:
		return 1 // the end of a frame that was counted as well, or an empty one
	case c >= '1' && c <= '9':
		f.state = length
	default:
		f.state = line
	}
	return 0
}

// count collects digits of a length.
func (f *framer) count(c byte) int {
	switch {
	case c >= '0' && c <= '9' && len(f.buf) < min(maxDigits+1, f.max):
		f.buf = append(f.buf, c)
		return 1
	case c == ' ' && len(f.buf) < f.max:
		f.buf = append(f.buf, c)
		f.state = space
		return 1
	default:
		f.state = line
		return 0
	}
}

// decide looks at the byte after a number and a space.
func (f *framer) decide(c byte) error {
	if c != '<' {
		f.state = line
		return nil
	}
	n, err := strconv.Atoi(string(f.buf[:len(f.buf)-1]))
	if err != nil || n > absurdLength {
		return errFraming
	}
	f.buf, f.left, f.state = f.buf[:0], n, counted
	return nil
}

// take collects a counted message.
func (f *framer) take(p []byte) (int, error) {
	n := min(len(p), f.left)
	f.left -= n
	if f.left > 0 {
		f.keep(p[:n])
		return n, nil
	}
	return n, f.end(p[:n])
}

// takeLine collects a message whose end is at p[end], or not in p if end is len(p).
func (f *framer) takeLine(p []byte, end int) (int, error) {
	if end >= len(p) {
		f.keep(p)
		return len(p), nil
	}
	return end + 1, f.end(p[:end])
}

// keep appends to the message what still fits.
func (f *framer) keep(p []byte) {
	n := min(len(p), f.max-len(f.buf))
	f.over = f.over || n < len(p)
	f.buf = append(f.buf, p[:n]...)
}

// end hands out the message that ends with p. A message that lies whole in p is
// not copied.
func (f *framer) end(p []byte) error {
	msg, cut := p, f.over
	if len(f.buf) > 0 || len(p) > f.max {
		f.keep(p)
		msg, cut = f.buf, f.over
	}
	f.buf, f.over, f.state = f.buf[:0], false, between
	if msg = trim(msg); len(msg) == 0 {
		return nil
	}
	return f.emit(msg, cut)
}

// finish hands out what a sender left without an end when it closed.
func (f *framer) finish() error {
	if f.state == between {
		return nil
	}
	f.over = f.over || f.state == counted
	return f.end(nil)
}

// trim removes line ends from the end of a message (RFC 6587 3.4.2; senders over
// UDP add them, too).
func trim(msg []byte) []byte { return bytes.TrimRight(msg, "\r\n\x00") }

// ends finds the frame ends in one chunk and looks at each byte of it only once
// for each kind of end.
type ends struct {
	p       []byte
	nl, nul int // first of its kind not before the place asked for last
}

func newEnds(p []byte) *ends { return &ends{p: p, nl: -1, nul: -1} }

// after returns the place of the first end from at on, or the length of the chunk.
func (e *ends) after(at int) int {
	if e.nl < at {
		e.nl = e.find('\n', at)
	}
	if e.nul < at {
		e.nul = e.find(0, at)
	}
	return min(e.nl, e.nul)
}

func (e *ends) find(c byte, at int) int {
	if i := bytes.IndexByte(e.p[at:], c); i >= 0 {
		return at + i
	}
	return len(e.p)
}

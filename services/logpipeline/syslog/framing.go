package syslog

import (
	"bytes"
	"errors"
	"strconv"
)

// errFraming is a frame length that no message has: the connection is closed.
var errFraming = errors.New("impossible frame length")

const (
	// maxFrame is the largest frame length that is believed.
	maxFrame = 1 << 20
	// maxDigits limits the digits read as a frame length.
	maxDigits = 20
)

// framer finds messages in a TCP stream (RFC 6587). The kind of each frame is detected: an
// octet count, a space and "<" begin a counted one, anything else ends at a newline or a
// NUL. The same bytes give the same messages, however they are split over calls of feed, unless a count is wrong: see resync.go.
type framer struct {
	max   int                              // bytes kept of a message
	emit  func(msg []byte, cut bool) error // msg is valid during the call
	buf   []byte                           // the message so far, at most max bytes
	state frameState
	left  int  // inCounted: bytes still to come
	over  bool // the message is longer than max

	count      int  // inCounted: of the message
	excess     int  // by how much the last count was too high; below zero, too low
	unverified bool // a counted message ended and nothing of what follows is here yet
	wrong      int  // messages whose count was wrong
}

type frameState int

const (
	frameStart frameState = iota // no byte of the next frame yet
	inCount                      // digits that may be an octet count
	afterCount                   // a count and a space; "<" decides
	inCounted                    // a message of known length
	inLine                       // a message up to a newline or NUL
	inRest                       // a message whose count was wrong, up to a newline, NUL or the next count with a priority
)

// setMax changes how many bytes are kept of messages that have not begun.
func (f *framer) setMax(n int) {
	if f.state == frameStart {
		f.max = n
	}
}

// feed takes the next bytes of the stream. It returns errFraming or the error of
// emit; the framer cannot be used after it.
func (f *framer) feed(p []byte) error {
	ends := &frameEnds{p: p, newline: -1, nul: -1}
	for at := 0; at < len(p); {
		n, err := f.step(p[at:], at, ends)
		if err != nil {
			return err
		}
		at += n
	}
	return nil
}

// step consumes part of p, which is not empty and begins at offset at of the chunk that
// ends searches. It returns how many bytes; after 0 the state has changed.
func (f *framer) step(p []byte, at int, ends *frameEnds) (int, error) {
	c := p[0]
	switch f.state {
	case frameStart:
		switch {
		case c == '\n' || c == 0:
			f.unverified = false
			return 1, nil // the end of a frame that was counted as well, or an empty one
		case c >= '1' && c <= '9':
			f.state = inCount
		default:
			f.unverified = f.unverified && !startsFrame(p)
			f.beginText()
		}
		return 0, nil
	case inCount:
		switch {
		case c >= '0' && c <= '9' && len(f.buf) < min(maxDigits+1, f.max):
		case c == ' ' && len(f.buf) < f.max:
			f.state = afterCount
		default:
			f.beginText()
			return 0, nil
		}
		f.buf = append(f.buf, c)
		return 1, nil
	case afterCount:
		if c != '<' {
			f.beginText()
			return 0, nil
		}
		n, err := strconv.Atoi(string(f.buf[:len(f.buf)-1]))
		if err != nil || n > maxFrame {
			return 0, errFraming
		}
		return 0, f.beginCounted(n, nil)
	case inCounted:
		n := min(len(p), f.left)
		f.left -= n
		if f.left > 0 {
			f.keep(p[:n])
			return n, nil
		}
		more, err := f.endCounted(p[:n], p[n:])
		return n + more, err
	case inRest:
		return f.stepRest(p, min(len(p), ends.after(at)-at))
	default:
		end := ends.after(at) - at
		if end >= len(p) {
			f.keep(p)
			return len(p), nil
		}
		return end + 1, f.end(p[:end])
	}
}

// keep appends to the message what still fits.
func (f *framer) keep(p []byte) {
	n := min(len(p), f.max-len(f.buf))
	f.over = f.over || n < len(p)
	f.buf = append(f.buf, p[:n]...)
}

// end emits the message that ends with p. A message that lies whole in p is not copied.
func (f *framer) end(p []byte) error {
	msg, cut := p, f.over
	if len(f.buf) > 0 || len(p) > f.max {
		f.keep(p)
		msg, cut = f.buf, f.over
	}
	f.buf, f.over, f.state = f.buf[:0], false, frameStart
	if msg = trimEnd(msg); len(msg) == 0 {
		return nil
	}
	return f.emit(msg, cut)
}

// finish emits a message that has no end because the sender closed.
func (f *framer) finish() error {
	if f.state == frameStart {
		return nil
	}
	switch {
	case f.mayBeWhole():
		return f.takeAsWhole()
	case f.state == inCounted:
		f.over = true
	}
	return f.end(nil)
}

// trimEnd removes line ends from the end of a message (RFC 6587 3.4.2; senders over
// UDP add them, too).
func trimEnd(msg []byte) []byte { return bytes.TrimRight(msg, "\r\n\x00") }

// frameEnds finds the frame ends in one chunk. Each byte of it is compared only once for
// each kind of end.
type frameEnds struct {
	p            []byte
	newline, nul int // the first of its kind at or after the last offset asked for
}

// after returns the offset of the first end at or after at, or the length of the chunk.
func (e *frameEnds) after(at int) int {
	find := func(c byte) int {
		if i := bytes.IndexByte(e.p[at:], c); i >= 0 {
			return at + i
		}
		return len(e.p)
	}
	if e.newline < at {
		e.newline = find('\n')
	}
	if e.nul < at {
		e.nul = find(0)
	}
	return min(e.newline, e.nul)
}

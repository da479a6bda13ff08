package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

const (
	// A bar is shown for what takes longer than this, to a terminal.
	meterAfter = time.Second
	meterEvery = 200 * time.Millisecond
	meterWidth = 30
)

// meter counts what is read of a file and shows how far that is.
type meter struct {
	size, read int64
	to         io.Writer
	next       time.Time
	drawn      bool
}

// Write implements io.Writer: it counts.
func (m *meter) Write(p []byte) (int, error) {
	m.read += int64(len(p))
	return len(p), nil
}

// show draws the bar if it is due.
func (m *meter) show(what string, now time.Time) {
	if m.next.IsZero() {
		m.next = now.Add(meterAfter)
	}
	if now.Before(m.next) || m.size <= 0 || !tty(m.to) {
		return
	}
	m.next, m.drawn = now.Add(meterEvery), true
	_, _ = fmt.Fprint(m.to, "\r", bar(m.read, m.size), " ", what)
}

// clear takes the bar away.
func (m *meter) clear() {
	if m.drawn {
		m.drawn = false
		_, _ = fmt.Fprint(m.to, "\r\x1b[K")
	}
}

func bar(read, size int64) string {
	share := min(1, max(0, float64(read)/float64(size)))
	full := int(share * meterWidth)
	return fmt.Sprintf("[%s%s] %3.0f %%", strings.Repeat("#", full), strings.Repeat(".", meterWidth-full), 100*share)
}

// tty tells whether a bar may be drawn: on a terminal that can take it back.
func tty(w io.Writer) bool { return os.Getenv("TERM") != "dumb" && terminal(w) }

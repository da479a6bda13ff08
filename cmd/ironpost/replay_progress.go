package main

import (
	"fmt"
	"io"
	"strings"
	"time"
)

const (
	progressDelay    = time.Second // no bar for what takes less
	progressInterval = 200 * time.Millisecond
	progressWidth    = 30
)

// progress counts what is done, such as the bytes read of a file, and draws a bar on a terminal. Where the size is not
// known, 0, it shows the text alone.
type progress struct {
	size, read int64
	w          io.Writer
	next       time.Time
	drawn      bool
}

// Write implements io.Writer: it counts.
func (p *progress) Write(b []byte) (int, error) {
	p.read += int64(len(b))
	return len(b), nil
}

// show draws the bar and text if an update is due.
func (p *progress) show(text string, now time.Time) {
	if p.next.IsZero() {
		p.next = now.Add(progressDelay)
	}
	if now.Before(p.next) || !controllable(p.w) {
		return
	}
	p.next, p.drawn = now.Add(progressInterval), true
	if p.size > 0 {
		text = progressBar(p.read, p.size) + " " + text
	}
	_, _ = fmt.Fprint(p.w, "\r\x1b[K", text)
}

// clear removes the bar.
func (p *progress) clear() {
	if p.drawn {
		p.drawn = false
		_, _ = fmt.Fprint(p.w, "\r\x1b[K")
	}
}

func progressBar(read, size int64) string {
	share := min(1, max(0, float64(read)/float64(size)))
	full := int(share * progressWidth)
	return fmt.Sprintf("[%s%s] %3.0f %%", strings.Repeat("#", full), strings.Repeat(".", progressWidth-full), 100*share)
}

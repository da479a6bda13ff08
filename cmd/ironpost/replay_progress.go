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
	began      time.Time
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
		p.began, p.next = now, now.Add(progressDelay)
	}
	if now.Before(p.next) || !controllable(p.w) {
		return
	}
	p.next, p.drawn = now.Add(progressInterval), true
	if p.size > 0 {
		text = progressBar(p.read, p.size) + " " + text + p.rate(now)
	}
	_, _ = fmt.Fprint(p.w, "\r\x1b[K", text)
}

// rate returns how many bytes a second are read, and for how much longer.
func (p *progress) rate(now time.Time) string {
	seconds := now.Sub(p.began).Seconds()
	if seconds <= 0 || p.read <= 0 {
		return ""
	}
	perSecond := float64(p.read) / seconds
	text := ", " + byteSize(uint64(perSecond)) + "/s"
	if left := p.size - p.read; left > 0 {
		text += ", " + shortDuration(time.Duration(float64(left)/perSecond*float64(time.Second))) + " left"
	}
	return text
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

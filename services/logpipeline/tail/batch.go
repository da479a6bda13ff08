package tail

import (
	"bytes"
	"slices"
)

// maxBatchBytes bounds the text that Next returns, but for its last line: so paths get equal turns.
const maxBatchBytes = 128 << 10

// maxFreeBatches bounds the batches whose memory is kept for others.
const maxFreeBatches = 4

// batch collects the lines of one Next.
type batch struct {
	limit, bytes int
	work         int // bytes read or unpacked so far
	lines        []Line
	texts        []byte // one after the other
	positions    []byte // one after the other
	ends         []int  // where each position ends
}

func (b *batch) full() bool { return len(b.lines) >= b.limit || b.bytes >= maxBatchBytes }

// add appends a line of f.
func (b *batch) add(p *watchedPath, f *logFile, line Line) {
	line.Text = bytes.TrimSuffix(line.Text, []byte{'\r'})
	number, hash := f.nextPosition(p, line.Text)
	b.positions = appendPosition(b.positions, f.prefix, number, line.Offset, hash)
	b.ends = append(b.ends, len(b.positions))
	b.bytes += len(line.Text)
	b.lines = append(b.lines, line)
}

// grow makes room for the lines that n bytes may hold.
func (b *batch) grow(n int) {
	const perLine = 80 // a guess
	lines := min(n/perLine+1, b.limit-len(b.lines))
	b.lines = slices.Grow(b.lines, lines)
	b.ends = slices.Grow(b.ends, lines)
	b.positions = slices.Grow(b.positions, lines*perLine)
}

// copyTexts copies the texts from line first on out of the read buffer.
func (b *batch) copyTexts(first int) {
	total := 0
	for _, line := range b.lines[first:] {
		total += len(line.Text)
	}
	b.texts = slices.Grow(b.texts, total) // what was copied before may stay elsewhere
	for i := first; i < len(b.lines); i++ {
		from := len(b.texts)
		b.texts = append(b.texts, b.lines[i].Text...)
		b.lines[i].Text = b.texts[from:len(b.texts):len(b.texts)]
	}
}

// finish returns the lines; their positions share one string.
func (b *batch) finish() []Line {
	positions, from := string(b.positions), 0
	for i, end := range b.ends {
		b.lines[i].Position = positions[from:end]
		from = end
	}
	return b.lines
}

// newBatch returns an empty batch, in the memory of one that is done if there is one.
func (t *Tailer) newBatch(limit int) *batch {
	n := len(t.free)
	if n == 0 {
		return &batch{limit: limit}
	}
	b := t.free[n-1]
	t.free = t.free[:n-1]
	clear(b.lines)
	*b = batch{limit: limit, lines: b.lines[:0], texts: b.texts[:0], positions: b.positions[:0], ends: b.ends[:0]}
	return b
}

// release keeps the memory of b, whose lines nobody uses any more.
func (t *Tailer) release(b *batch) {
	if len(t.free) < maxFreeBatches {
		t.free = append(t.free, b)
	}
}

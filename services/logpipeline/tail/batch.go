package tail

import (
	"bytes"
	"hash/crc32"
	"slices"
	"strconv"
)

// maxBatchBytes bounds the text that Next returns, but for its last line: so paths get equal turns.
const maxBatchBytes = 128 << 10

// batch collects the lines of one Next.
type batch struct {
	limit, bytes int
	work         int // bytes read or unpacked so far
	lines        []Line
	positions    []byte // one after the other
	ends         []int  // where each position ends
}

func (b *batch) full() bool { return len(b.lines) >= b.limit || b.bytes >= maxBatchBytes }

// add appends a line. Its position ends in a checksum of the text: not even a file
// overwritten in place repeats a position.
func (b *batch) add(line Line, prefix string) {
	line.Text = bytes.TrimSuffix(line.Text, []byte{'\r'})
	b.positions = append(b.positions, prefix...)
	b.positions = strconv.AppendInt(b.positions, line.Offset, 16)
	b.positions = append(b.positions, '.')
	b.positions = strconv.AppendUint(b.positions, uint64(crc32.Checksum(line.Text, crc32.MakeTable(crc32.Castagnoli))), 16)
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

// copyTexts copies the texts from line first on out of the read buffer, all into one
// allocation.
func (b *batch) copyTexts(first int) {
	total := 0
	for _, line := range b.lines[first:] {
		total += len(line.Text)
	}
	arena := make([]byte, 0, total)
	for i := first; i < len(b.lines); i++ {
		from := len(arena)
		arena = append(arena, b.lines[i].Text...)
		b.lines[i].Text = arena[from:len(arena):len(arena)]
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

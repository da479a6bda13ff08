package inputstats

import (
	"maps"
	"math"
)

const (
	// maxKeys bounds the formats, and the causes of losses, of one input.
	maxKeys = 64
	// restKey counts those beyond.
	restKey = "other"
)

// Counts are of lines, but for Bytes and Lost. Lines is the sum of Formats, Unparsed, Empty and Unreadable; those of LeftOut are not among them.
type Counts struct {
	Lines      uint64            `json:"lines"`                // taken from the input
	Bytes      uint64            `json:"bytes"`                // of their texts
	Formats    map[string]uint64 `json:"formats,omitempty"`    // of a known format, by its name
	Unparsed   uint64            `json:"unparsed"`             // of no known format: only their text is matched
	Empty      uint64            `json:"empty,omitempty"`      // without a text
	Unreadable uint64            `json:"unreadable,omitempty"` // damaged in the spool, or dead-lettered
	Late       uint64            `json:"late"`                 // their text says a time long before they came
	Future     uint64            `json:"future"`               // their text says a time after they came, which is not believed
	Truncated  uint64            `json:"truncated"`            // longer than max_line_bytes: the rest was cut off
	LeftOut    map[string]uint64 `json:"left_out,omitempty"`   // not judged because another input has them, by reason
	Lost       map[string]uint64 `json:"lost,omitempty"`       // by cause; see Table.Lose
}

// Line adds a line of size bytes: of a format, or plain, which is of none.
func (c *Counts) Line(format string, plain bool, size int) {
	c.Lines++
	c.Bytes += uint64(size)
	switch {
	case size == 0:
		c.Empty++
	case plain:
		c.Unparsed++
	default:
		c.Decoded(format)
	}
}

// Decoded adds a line of a known format.
func (c *Counts) Decoded(format string) { addTo(&c.Formats, format, 1) }

// LeaveOut adds a line that is not judged.
func (c *Counts) LeaveOut(reason string) { addTo(&c.LeftOut, reason, 1) }

// add adds d to c.
func (c *Counts) add(d Counts) {
	for _, n := range []struct {
		to *uint64
		by uint64
	}{
		{&c.Lines, d.Lines}, {&c.Bytes, d.Bytes}, {&c.Unparsed, d.Unparsed}, {&c.Empty, d.Empty}, {&c.Unreadable, d.Unreadable},
		{&c.Late, d.Late}, {&c.Future, d.Future}, {&c.Truncated, d.Truncated},
	} {
		*n.to = sum(*n.to, n.by)
	}
	for name, n := range d.Formats {
		addTo(&c.Formats, name, n)
	}
	for reason, n := range d.LeftOut {
		addTo(&c.LeftOut, reason, n)
	}
	for cause, n := range d.Lost {
		addTo(&c.Lost, cause, n)
	}
}

func (c *Counts) clone() Counts {
	out := *c
	out.Formats, out.LeftOut, out.Lost = maps.Clone(c.Formats), maps.Clone(c.LeftOut), maps.Clone(c.Lost)
	return out
}

// addTo adds n to m[key], or to m[restKey] if m is full.
func addTo(m *map[string]uint64, key string, n uint64) {
	if *m == nil {
		*m = map[string]uint64{}
	}
	before, known := (*m)[key]
	if !known && len(*m) >= maxKeys {
		key = restKey
		before = (*m)[key]
	}
	(*m)[key] = sum(before, n)
}

func sum(a, b uint64) uint64 {
	if a > math.MaxUint64-b {
		return math.MaxUint64
	}
	return a + b
}

package audit

import "fmt"

// Fault is a kind of damage.
type Fault string

// The faults that Verify tells apart.
const (
	Changed    Fault = "changed"    // bytes of a record are not those that were written
	Removed    Fault = "removed"    // records are missing between two others, or at the start
	Swapped    Fault = "swapped"    // a record stands after one that followed it
	Doubled    Fault = "doubled"    // a record stands in the trail again
	Inserted   Fault = "inserted"   // a line that is no record stands between two that follow each other
	Replaced   Fault = "replaced"   // a record is whole, but its successor was written after another
	Cut        Fault = "cut"        // the end is missing: the head names a later record
	Rewritten  Fault = "rewritten"  // the record that the head names is another one
	Unfinished Fault = "unfinished" // the last line has no end: a crash while writing, or a cut
	Disputed   Fault = "disputed"   // an operator accepted the trail as it was, and it is not so any more
	Declared   Fault = "declared"   // the collector itself found the trail broken here and said so
)

// Problem is one damage, with its place.
type Problem struct {
	Fault Fault `json:"fault"`
	// Seq is the first record concerned, LastSeq the last.
	Seq     uint64 `json:"seq"`
	LastSeq uint64 `json:"last_seq"`
	// File, Line (from 1) and Offset (bytes, of the line's start) say where it shows.
	File   string `json:"file"`
	Line   int    `json:"line"`
	Offset int64  `json:"offset"`
	// Byte is the offset in File of the one byte that was changed, where that can be told.
	Byte *int64 `json:"byte,omitempty"`
	// What explains it to a person. It may quote the trail: escape it before a terminal sees it.
	What string `json:"what"`
}

// String returns "file:line: what".
func (p Problem) String() string {
	return fmt.Sprintf("%s:%d: %s", p.File, p.Line, p.What)
}

// setByte names the changed byte, at bytes after the start of the line.
func (p *Problem) setByte(at int) {
	if at < 0 {
		return
	}
	offset := p.Offset + int64(at)
	p.Byte = &offset
	p.What += fmt.Sprintf(" (byte %d of the file)", offset)
}

// place is where a line begins.
type place struct {
	file   string
	line   int
	offset int64
}

// span is a run of records, by seq.
type span struct{ first, last uint64 }

func (s span) String() string {
	if s.first == s.last {
		return fmt.Sprintf("record %d", s.first)
	}
	return fmt.Sprintf("records %d to %d", s.first, s.last)
}

func (p place) problem(fault Fault, s span, what string) Problem {
	return Problem{Fault: fault, Seq: s.first, LastSeq: s.last, File: p.file, Line: p.line, Offset: p.offset, What: what}
}

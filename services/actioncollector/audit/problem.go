package audit

import "fmt"

// Fault is a kind of damage.
type Fault string

// The faults that Verify distinguishes.
const (
	Changed    Fault = "changed"    // bytes of a record are not those that were written
	Removed    Fault = "removed"    // records are missing between two others, or at the start
	Swapped    Fault = "swapped"    // a record follows one that was written after it
	Doubled    Fault = "doubled"    // a record is in the trail again
	Inserted   Fault = "inserted"   // a line that is no record is between two consecutive records
	Replaced   Fault = "replaced"   // a record is valid, but its successor was written after another one
	Cut        Fault = "cut"        // the end is missing: the stored head names a later record
	Rewritten  Fault = "rewritten"  // the record that the stored head names has another hash
	Unfinished Fault = "unfinished" // the last line has no end: a crash while writing, or a cut
	Disputed   Fault = "disputed"   // the trail before an Accepted record was changed after it was accepted
	Declared   Fault = "declared"   // a Break record: the collector found the trail damaged before it
)

// Problem is one damage and its position.
type Problem struct {
	Fault Fault `json:"fault"`
	// Seq and LastSeq are the first and the last record concerned.
	Seq     uint64 `json:"seq"`
	LastSeq uint64 `json:"last_seq"`
	// File, Line (from 1) and Offset (of the line's first byte) say where the damage shows.
	File   string `json:"file"`
	Line   int    `json:"line"`
	Offset int64  `json:"offset"`
	// Byte is the offset in File of the only changed byte, nil if that cannot be determined.
	Byte *int64 `json:"byte,omitempty"`
	// What describes the damage. It may quote the trail: escape it before it is printed to a terminal.
	What string `json:"what"`
}

// String returns "file:line: what".
func (p Problem) String() string {
	return fmt.Sprintf("%s:%d: %s", p.File, p.Line, p.What)
}

// setByte names the changed byte by its distance from the start of the line; a negative one is unknown.
func (p *Problem) setByte(at int) {
	if at < 0 {
		return
	}
	offset := p.Offset + int64(at)
	p.Byte = &offset
	p.What += fmt.Sprintf(" (byte %d of the file)", offset)
}

// position is the start of a line.
type position struct {
	file   string
	line   int
	offset int64
}

func (p position) problem(fault Fault, s seqRange, what string) Problem {
	return Problem{Fault: fault, Seq: s.first, LastSeq: s.last, File: p.file, Line: p.line, Offset: p.offset, What: what}
}

// seqRange is a run of records, by seq, both ends included.
type seqRange struct{ first, last uint64 }

func (s seqRange) String() string {
	if s.first == s.last {
		return fmt.Sprintf("record %d", s.first)
	}
	return fmt.Sprintf("records %d to %d", s.first, s.last)
}

package audit

import (
	"bytes"
	"context"
	"fmt"
	"hash"
	"slices"
	"time"
)

// maxProblems bounds how many problems one pass lists; more are only counted.
const maxProblems = 100

// progress is what is known of a trail up to some record without any damage that is not declared.
type progress struct {
	last      Head // newest record, by seq
	lastTime  time.Time
	records   uint64
	lastBreak time.Time // when the newest Break that is not accepted was written, zero if there is none
	digest    hash.Hash // of all lines up to here, each with a line feed; an Accepted record names it
}

// state returns the digest of all lines so far.
func (p *progress) state() (state Hash) {
	p.digest.Sum(state[:0])
	return state
}

// checker follows a trail line by line and lists the problems. After damage it goes on, so that one change
// is not reported as many. Its memory is bounded whatever it reads.
type checker struct {
	progress

	first  Head         // oldest record
	head   Head         // as stored outside the trail; Seq 0 if unknown
	search int          // for how many records the changed byte is searched
	visit  func(Record) // gets each valid record that is in its position; may be nil. The record is valid during the call.

	anyPrev    bool // after damage the next record may name any predecessor
	damage     damage
	gaps       []gap
	problems   []Problem
	unlisted   int      // problems beyond maxProblems
	undeclared *Problem // the first problem since the newest Break
	accepted   []Acceptance
}

// newChecker returns a checker for a trail that begins at begin, in the given file. head is as stored outside
// the trail; it says where the trail may begin.
func newChecker(head Head, begin beginning, file string) *checker {
	c := &checker{progress: begin.progress(), head: head}
	allowed := max(head.First, 1)
	if head.Seq > 0 && begin.first > allowed {
		missing := seqRange{allowed, begin.first - 1}
		c.report(position{file: file, line: 1}.problem(Removed, missing, fmt.Sprintf("%v missing at the start: the trail may begin at record %d", missing, allowed)))
	}
	return c
}

// gap is a run of records that were not where they belong.
type gap struct {
	seqRange
	problem int // its index in checker.problems
}

// take checks the next line, given without its line feed. The line is valid during the call.
func (c *checker) take(at position, line []byte) {
	c.checkLine(at, line)
	c.digest.Write(line) // never fails
	c.digest.Write([]byte{'\n'})
}

// takeSegment checks the next segment in dir and returns where it ends. newest says that a crash may have
// left its last line torn.
func (c *checker) takeSegment(ctx context.Context, dir, name string, newest bool) (position, error) {
	rest, err := readSegmentFile(ctx, dir, name, c.take)
	switch {
	case err != nil:
		return position{}, err
	case newest && c.isTornEnd(rest):
		c.report(rest.at.problem(Unfinished, seqRange{c.last.Seq + 1, c.last.Seq + 1},
			fmt.Sprintf("record %d is unfinished: %d bytes without an end", c.last.Seq+1, len(rest.text))))
	default:
		c.takeUnended(rest)
	}
	return rest.at, nil
}

// isTornEnd reports whether rest is what a crash leaves at the end of a trail that is valid so far.
func (c *checker) isTornEnd(rest remainder) bool {
	return len(rest.text) > 0 && c.damage.lines == 0 && !c.anyPrev && isTorn(rest.text, c.last)
}

// takeUnended checks a last line that has no line feed although it should.
func (c *checker) takeUnended(rest remainder) {
	if len(rest.text) == 0 {
		return
	}
	c.take(rest.at, rest.text)
	if hasValidHash(rest.text) {
		c.report(rest.at.problem(Changed, seqRange{c.last.Seq, c.last.Seq}, fmt.Sprintf("the line of record %d has no end", c.last.Seq)))
	}
}

// end checks what only the end of the trail can tell; at is where the last segment ends.
func (c *checker) end(at position) {
	c.resolveDamage(nil)
	if c.head.Seq > c.last.Seq {
		missing := seqRange{c.last.Seq + 1, c.head.Seq}
		c.report(at.problem(Cut, missing, fmt.Sprintf("%v missing at the end: the trail ends at record %d, its head is record %d", missing, c.last.Seq, c.head.Seq)))
	}
}

func (c *checker) checkLine(at position, line []byte) {
	s, err := splitHash(line)
	if err != nil {
		c.takeDamaged(at, line, s)
		return
	}
	r, err := decodeBody(s)
	if err != nil {
		c.takeDamaged(at, line, s)
		return
	}
	c.takeRecord(at, r)
}

// takeRecord checks the position of a valid record in the chain.
func (c *checker) takeRecord(at position, r Record) {
	c.resolveDamage(&r)
	expected := c.last.Seq + 1
	switch {
	case r.Seq < expected:
		c.takeLate(at, r)
		return
	case r.Seq > expected:
		missing := seqRange{expected, r.Seq - 1}
		if i := c.report(at.problem(Removed, missing, fmt.Sprintf("%v missing before record %d", missing, r.Seq))); i >= 0 {
			c.gaps = append(c.gaps, gap{missing, i})
		}
	case r.Kind == Break || c.anyPrev || r.Prev == c.last.Hash:
	case r.Seq == 1:
		c.report(at.problem(Replaced, seqRange{1, 1}, "record 1 names a predecessor"))
	default:
		c.report(at.problem(Replaced, seqRange{r.Seq - 1, r.Seq - 1},
			fmt.Sprintf("record %d was replaced: record %d was written after another one", r.Seq-1, r.Seq)))
	}
	c.anyPrev = false
	c.last, c.lastTime = Head{Seq: r.Seq, Hash: r.Hash}, r.Time
	if c.first.Seq == 0 {
		c.first = c.last
	}
	c.records++
	c.compareHead(at, r)
	if c.visit != nil {
		c.visit(r)
	}
	switch r.Kind {
	case Break:
		c.report(at.problem(Declared, seqRange{r.Seq, r.Seq}, fmt.Sprintf("the collector found the trail broken before record %d: %s", r.Seq, r.Reason)))
		c.undeclared, c.lastBreak = nil, r.Time
	case Accepted:
		c.takeAccepted(at, r)
	}
}

// takeAccepted moves every problem so far to the accepted ones, but only if the trail before r is the one
// that was accepted.
func (c *checker) takeAccepted(at position, r Record) {
	if c.state() != r.State {
		c.report(at.problem(Disputed, seqRange{r.Seq, r.Seq},
			fmt.Sprintf("record %d accepts another trail than the one before it: that was changed since", r.Seq)))
		return
	}
	c.accepted = append(c.accepted, Acceptance{Seq: r.Seq, Time: r.Time, By: r.By, Reason: r.Reason, Problems: len(c.problems) + c.unlisted})
	c.problems, c.unlisted, c.gaps, c.undeclared, c.lastBreak = nil, 0, nil, nil, time.Time{}
}

// takeLate checks a record whose seq is not above the last one: one that was missing so far, or a duplicate.
func (c *checker) takeLate(at position, r Record) {
	one := seqRange{r.Seq, r.Seq}
	c.compareHead(at, r)
	i := slices.IndexFunc(c.gaps, func(g gap) bool { return g.first <= r.Seq && r.Seq <= g.last })
	if i < 0 {
		c.report(at.problem(Doubled, one, fmt.Sprintf("record %d is in the trail again", r.Seq)))
		return
	}
	swapped := at.problem(Swapped, one, fmt.Sprintf("record %d follows record %d", r.Seq, c.last.Seq))
	g := &c.gaps[i]
	switch {
	case g.first == g.last:
		c.problems[g.problem] = swapped
		c.gaps = slices.Delete(c.gaps, i, i+1)
		return
	case r.Seq == g.first:
		g.first++
	case r.Seq == g.last:
		g.last--
	default: // in the middle of the gap, which is left as it is
		c.report(swapped)
		return
	}
	p := &c.problems[g.problem]
	p.Seq, p.LastSeq, p.What = g.first, g.last, fmt.Sprintf("%v missing here", g.seqRange)
	c.report(swapped)
}

func (c *checker) compareHead(at position, r Record) {
	if r.Seq == c.head.Seq && r.Hash != c.head.Hash {
		c.report(at.problem(Rewritten, seqRange{r.Seq, r.Seq},
			fmt.Sprintf("record %d is not the one that the stored head names: the trail was rewritten", r.Seq)))
	}
}

// takeDamaged handles a line that is no valid record. If its line feed was changed, the record in front is
// still valid. Otherwise the line is kept until the next valid record tells what it was.
func (c *checker) takeDamaged(at position, line []byte, s hashedLine) {
	end := recordEnd(line)
	if end == 0 {
		c.damage.add(at, line, s)
		return
	}
	c.checkLine(at, line[:end])
	p := at.problem(Changed, seqRange{c.last.Seq, c.last.Seq}, fmt.Sprintf("the end of record %d was changed", c.last.Seq))
	p.setByte(end)
	c.report(p)
	if rest := line[end+1:]; len(rest) > 0 {
		c.checkLine(position{at.file, at.line, at.offset + int64(end) + 1}, rest)
	}
}

// resolveDamage reports what the damaged lines before next were; next is nil at the end of the trail.
func (c *checker) resolveDamage(next *Record) {
	d := c.damage
	if d.lines == 0 {
		return
	}
	c.damage = damage{}
	lost := seqRange{c.last.Seq + 1, c.last.Seq + uint64(d.lines)}
	if next != nil {
		lost.last = next.Seq - 1
	}
	if lost.last < lost.first {
		c.report(d.at.problem(Inserted, seqRange{c.last.Seq, c.last.Seq}, fmt.Sprintf("a line that is no record follows record %d", c.last.Seq)))
		return
	}
	p := d.at.problem(Changed, lost, fmt.Sprintf("%v changed", lost))
	p.setByte(d.changedByte(c, lost, next))
	c.report(p)
	c.last = Head{Seq: lost.last}
	c.anyPrev = true
}

// report lists p and returns its index, or -1 if there are too many.
func (c *checker) report(p Problem) int {
	if c.undeclared == nil {
		c.undeclared = &p
	}
	if len(c.problems) == maxProblems {
		c.unlisted++
		return -1
	}
	c.problems = append(c.problems, p)
	return len(c.problems) - 1
}

// recordEnd returns where in line a valid record ends that another one, or a single byte, follows: the byte
// at that index was its line feed. It returns 0 if there is no such record.
func recordEnd(line []byte) int {
	const tries = 8 // bounds the hashing of a line made to look like many records
	from := 0
	for range tries {
		i := bytes.Index(line[from:], []byte(`{"seq":`))
		if i < 0 {
			break
		}
		if end := from + i - 1; end > 0 && hasValidHash(line[:end]) {
			return end
		}
		from += i + 1
	}
	if n := len(line) - 1; n > 0 && hasValidHash(line[:n]) {
		return n
	}
	return 0
}

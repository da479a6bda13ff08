package audit

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"hash"
	"slices"
	"time"
)

// maxProblems bounds what one pass remembers; more are only counted.
const maxProblems = 100

// chain follows a trail line by line and notes every place where it does not
// hold. It goes on after a damage, so that one is not mistaken for many. Its
// memory is bounded, whatever it reads.
type chain struct {
	head   Head         // as kept outside the trail; Seq 0 if unknown
	search int          // for how many records to search the one byte that was changed
	visit  func(Record) // sees each whole record in its place, may be nil; the record is valid during the call

	first    Head // oldest record
	last     Head // newest record, by seq
	count    uint64
	anyPrev  bool // after a damage the next record may name any predecessor
	damage   damage
	missing  []gap
	problems []Problem
	unlisted int
	fresh    *Problem  // the first since the newest Break: one that nobody has declared yet
	broken   time.Time // when the newest Break was written
	running  hash.Hash // of all lines so far, nil before the first
	accepted []Acceptance
}

// gap is a run of records that were not where they belong.
type gap struct {
	span
	problem int // its index
}

// take takes the next line of a file, without its line feed. The line is valid during the call.
func (c *chain) take(at place, line []byte) {
	c.line(at, line)
	if c.running == nil {
		c.running = sha256.New()
	}
	c.running.Write(line) // never fails
	c.running.Write([]byte{'\n'})
}

// state is the hash of all lines taken so far.
func (c *chain) state() (state Hash) {
	if c.running != nil {
		c.running.Sum(state[:0])
	}
	return state
}

func (c *chain) line(at place, line []byte) {
	s, err := unseal(line)
	if err != nil {
		c.damaged(at, line, s)
		return
	}
	r, err := decodeBody(s)
	if err != nil {
		c.damaged(at, line, s)
		return
	}
	c.record(at, r)
}

func (c *chain) record(at place, r Record) {
	c.settle(&r)
	expected := c.last.Seq + 1
	if r.Seq < expected {
		c.late(at, r)
		return
	}
	if r.Seq > expected {
		c.skipped(at, span{expected, r.Seq - 1})
	} else if r.Kind != Break && !c.anyPrev && r.Prev != c.last.Hash {
		c.replaced(at, r)
	}
	c.accept(at, r)
	if r.Kind == Break {
		c.note(at.problem(Declared, span{r.Seq, r.Seq}, fmt.Sprintf("the collector found the trail broken before record %d: %s", r.Seq, r.Reason)))
		c.fresh, c.broken = nil, r.Time
	}
	if r.Kind == Accepted {
		c.settled(at, r)
	}
}

// settled takes note that an operator knows of every problem so far. That holds for the
// trail as it was then: if anything before was changed since, nothing is settled.
func (c *chain) settled(at place, r Record) {
	if c.state() != r.State {
		c.note(at.problem(Disputed, span{r.Seq, r.Seq},
			fmt.Sprintf("record %d accepts another trail than what stands before it: that was changed since", r.Seq)))
		return
	}
	c.accepted = append(c.accepted, Acceptance{Seq: r.Seq, Time: r.Time, By: r.By, Reason: r.Reason, Problems: len(c.problems) + c.unlisted})
	c.problems, c.unlisted, c.missing, c.fresh, c.broken = nil, 0, nil, nil, time.Time{}
}

func (c *chain) accept(at place, r Record) {
	c.anyPrev = false
	c.last = Head{Seq: r.Seq, Hash: r.Hash}
	if c.first.Seq == 0 {
		c.first = c.last
	}
	c.count++
	c.checkHead(at, r)
	if c.visit != nil {
		c.visit(r)
	}
}

func (c *chain) replaced(at place, r Record) {
	if r.Seq == 1 {
		c.note(at.problem(Replaced, span{1, 1}, "record 1 names a predecessor"))
		return
	}
	c.note(at.problem(Replaced, span{r.Seq - 1, r.Seq - 1},
		fmt.Sprintf("record %d was replaced: record %d was written after another one", r.Seq-1, r.Seq)))
}

func (c *chain) skipped(at place, s span) {
	i := c.note(at.problem(Removed, s, fmt.Sprintf("%v missing before record %d", s, s.last+1)))
	if i >= 0 {
		c.missing = append(c.missing, gap{s, i})
	}
}

// late handles a record that should have come before: one that was missing, or one again.
func (c *chain) late(at place, r Record) {
	one := span{r.Seq, r.Seq}
	c.checkHead(at, r)
	i := slices.IndexFunc(c.missing, func(g gap) bool { return g.first <= r.Seq && r.Seq <= g.last })
	if i < 0 {
		c.note(at.problem(Doubled, one, fmt.Sprintf("record %d stands in the trail again", r.Seq)))
		return
	}
	swapped := at.problem(Swapped, one, fmt.Sprintf("record %d stands after record %d", r.Seq, c.last.Seq))
	g := c.missing[i]
	if g.first == g.last {
		c.problems[g.problem] = swapped
		c.missing = slices.Delete(c.missing, i, i+1)
		return
	}
	c.narrow(i, r.Seq)
	c.note(swapped)
}

// narrow takes seq, which was found, off the end of gap i.
func (c *chain) narrow(i int, seq uint64) {
	g := &c.missing[i]
	switch seq {
	case g.first:
		g.first++
	case g.last:
		g.last--
	default:
		return
	}
	p := &c.problems[g.problem]
	p.Seq, p.LastSeq, p.What = g.first, g.last, fmt.Sprintf("%v missing here", g.span)
}

func (c *chain) checkHead(at place, r Record) {
	if r.Seq == c.head.Seq && r.Hash != c.head.Hash {
		c.note(at.problem(Rewritten, span{r.Seq, r.Seq},
			fmt.Sprintf("record %d is not the one that the head was kept for: the trail was rewritten", r.Seq)))
	}
}

// damaged remembers a line that is no whole record until the next whole one
// tells what it was.
func (c *chain) damaged(at place, line []byte, s sealed) {
	if cut := joint(line); cut > 0 {
		c.line(at, line[:cut])
		p := at.problem(Changed, span{c.last.Seq, c.last.Seq}, fmt.Sprintf("the end of record %d was changed", c.last.Seq))
		p.setByte(cut)
		c.note(p)
		if rest := line[cut+1:]; len(rest) > 0 {
			c.line(place{at.file, at.line, at.offset + int64(cut) + 1}, rest)
		}
		return
	}
	c.damage.add(at, line, s)
}

// settle decides what the damaged lines before next were; next is nil at the end of the trail.
func (c *chain) settle(next *Record) {
	d := c.damage
	if d.lines == 0 {
		return
	}
	c.damage = damage{}
	lost := span{c.last.Seq + 1, c.last.Seq + uint64(d.lines)}
	if next != nil {
		lost.last = next.Seq - 1
	}
	if lost.last < lost.first {
		c.note(d.at.problem(Inserted, span{c.last.Seq, c.last.Seq}, fmt.Sprintf("a line that is no record stands after record %d", c.last.Seq)))
		return
	}
	p := d.at.problem(Changed, lost, fmt.Sprintf("%v changed", lost))
	p.setByte(d.locate(c, lost, next))
	c.note(p)
	c.last = Head{Seq: lost.last}
	c.anyPrev = true
}

// end takes note of what only the end of the trail can tell.
func (c *chain) end(at place) {
	c.settle(nil)
	if c.head.Seq > c.last.Seq {
		c.note(at.problem(Cut, span{c.last.Seq + 1, c.head.Seq},
			fmt.Sprintf("%v missing at the end: the trail ends at record %d, its head is record %d",
				span{c.last.Seq + 1, c.head.Seq}, c.last.Seq, c.head.Seq)))
	}
}

// note remembers p and returns its index, or -1 if there were too many.
func (c *chain) note(p Problem) int {
	if c.fresh == nil {
		c.fresh = &p
	}
	if len(c.problems) == maxProblems {
		c.unlisted++
		return -1
	}
	c.problems = append(c.problems, p)
	return len(c.problems) - 1
}

// joint returns where in line a whole record ends that another one follows, or
// where anything but a line feed follows it, at its one damaged byte; 0 if nowhere.
func joint(line []byte) int {
	const tries = 8 // bounds the hashing of a line made to look like many records
	from := 0
	for range tries {
		i := bytes.Index(line[from:], []byte(`{"seq":`))
		if i < 0 {
			break
		}
		if cut := from + i - 1; cut > 0 && whole(line[:cut]) {
			return cut
		}
		from += i + 1
	}
	if n := len(line) - 1; n > 0 && whole(line[:n]) {
		return n
	}
	return 0
}

func whole(line []byte) bool {
	_, err := unseal(line)
	return err == nil
}

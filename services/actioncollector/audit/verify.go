package audit

import (
	"context"
	"fmt"
	"path/filepath"
	"time"
)

// maxSearches bounds the time for naming single bytes, about a second each.
const maxSearches = 3

// Report is what Verify checked and found.
type Report struct {
	Path    string `json:"path"`
	Intact  bool   `json:"intact"`
	Records uint64 `json:"records"` // whole records in their place
	Files   int    `json:"files"`
	First   Head   `json:"first"`
	Last    Head   `json:"last"`
	// Head is what the end was compared with; nil if it was not known.
	Head *Head `json:"head,omitempty"`
	// Accepted are problems that an operator knows of; they are not in Problems.
	Accepted []Acceptance `json:"accepted,omitempty"`
	// Problems holds the first 100; Unlisted counts the rest.
	Problems []Problem `json:"problems"`
	Unlisted int       `json:"unlisted,omitempty"`
}

// Verify reads the trail in dir from its first byte to its last and reports every place where it
// is not what was written. head is its head as kept elsewhere, nil if that is
// not known: then an end that was cut off between two records cannot be seen. It returns an error
// only if the trail cannot be read. It changes nothing; a collector may be writing meanwhile, if head was
// read before.
func Verify(ctx context.Context, dir string, head *Head) (Report, error) {
	c := &chain{search: maxSearches}
	if head != nil {
		c.head = *head
	}
	names, err := segments(dir)
	if err != nil {
		return Report{}, err
	}
	var at place
	for i, name := range names {
		last := i == len(names)-1
		if at, err = c.file(ctx, dir, name, last); err != nil {
			return Report{}, err
		}
	}
	c.end(at)
	return Report{
		Path: dir, Intact: len(c.problems) == 0, Records: c.count, Files: len(names), First: c.first, Last: c.last,
		Head: head, Accepted: c.accepted, Problems: c.problems, Unlisted: c.unlisted,
	}, nil
}

// VerifyLive is Verify for a trail that may be written meanwhile: it looks again, a few times, while
// the only problem is a last line that has no end yet.
func VerifyLive(ctx context.Context, dir string, head *Head) (Report, error) {
	const tries, pause = 5, 50 * time.Millisecond
	for n := 1; ; n++ {
		report, err := Verify(ctx, dir, head)
		if err != nil || n == tries || !report.onlyUnfinished() {
			return report, err
		}
		select {
		case <-ctx.Done():
			return report, ctx.Err()
		case <-time.After(pause):
		}
	}
}

func (r Report) onlyUnfinished() bool {
	return len(r.Problems) == 1 && r.Problems[0].Fault == Unfinished
}

// file checks one segment and returns where it ended.
func (c *chain) file(ctx context.Context, dir, name string, newest bool) (place, error) {
	rest, err := c.read(ctx, dir, name)
	if err != nil || len(rest.text) == 0 {
		return rest.at, err
	}
	if newest && c.unfinished(rest) {
		c.note(rest.at.problem(Unfinished, span{c.last.Seq + 1, c.last.Seq + 1},
			fmt.Sprintf("record %d is unfinished: %d bytes without an end", c.last.Seq+1, len(rest.text))))
		return rest.at, nil
	}
	c.unended(rest)
	return rest.at, nil
}

// read passes the lines of one segment to c and returns what follows the last.
func (c *chain) read(ctx context.Context, dir, name string) (tail, error) {
	if err := ctx.Err(); err != nil {
		return tail{}, err
	}
	f, err := openRead(filepath.Join(dir, name))
	if err != nil {
		return tail{}, err
	}
	defer f.Close() //nolint:errcheck // only read
	return readSegment(f, name, c.take)
}

// unfinished reports whether rest is what a crash leaves at the end of a trail
// that holds so far.
func (c *chain) unfinished(rest tail) bool {
	return c.damage.lines == 0 && !c.anyPrev && torn(rest.text, c.last.Seq+1, c.last.Hash)
}

// unended takes a last line that has no end where it should.
func (c *chain) unended(rest tail) {
	c.take(rest.at, rest.text)
	if whole(rest.text) {
		c.note(rest.at.problem(Changed, span{c.last.Seq, c.last.Seq}, fmt.Sprintf("the line of record %d has no end", c.last.Seq)))
	}
}

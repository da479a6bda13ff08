package audit

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"time"
)

// maxSearches bounds for how many damaged records the changed byte is searched, about a second each.
const maxSearches = 3

// Report is the result of Verify.
type Report struct {
	Path    string `json:"path"`
	Intact  bool   `json:"intact"`
	Records uint64 `json:"records"` // valid records in their position
	Files   int    `json:"files"`
	First   Head   `json:"first"`
	Last    Head   `json:"last"`
	// Head is the stored head that the end was compared with; nil if it was not known.
	Head *Head `json:"head,omitempty"`
	// Accepted lists what operators accepted; the problems concerned are not in Problems.
	Accepted []Acceptance `json:"accepted,omitempty"`
	// Problems holds the first 100; Unlisted counts the others.
	Problems []Problem `json:"problems"`
	Unlisted int       `json:"unlisted,omitempty"`
}

// Verify reads every byte of the trail in dir and reports every position where it is not what was written.
// head is its head as stored elsewhere, nil if that is not known: then an end that was cut off between two
// records cannot be detected. It returns an error only if the trail cannot be read, and changes nothing. A
// collector may be writing meanwhile, if head was read before.
func Verify(ctx context.Context, dir string, head *Head) (Report, error) {
	var known Head
	if head != nil {
		known = *head
	}
	c, files, err := checkDir(ctx, dir, known, maxSearches)
	if err != nil {
		return Report{}, err
	}
	return Report{
		Path: dir, Intact: len(c.problems) == 0, Records: c.records, Files: files, First: c.first, Last: c.last,
		Head: head, Accepted: c.accepted, Problems: c.problems, Unlisted: c.unlisted,
	}, nil
}

// checkDir checks every segment in dir and returns how many there are.
func checkDir(ctx context.Context, dir string, head Head, searches int) (c *checker, files int, err error) {
	names, err := segmentNames(dir)
	if err != nil {
		return nil, 0, err
	}
	begin, names, _, err := findBeginning(dir, names)
	if err != nil {
		return nil, 0, err
	}
	var end position
	if len(names) > 0 {
		end.file = names[0]
	}
	c = newChecker(head, begin, end.file)
	c.search = searches
	for i, name := range names {
		if end, err = c.takeSegment(ctx, dir, name, i == len(names)-1); err != nil {
			return nil, 0, err
		}
	}
	c.end(end)
	return c, len(names), nil
}

// VerifyLive is Verify for a trail that may be written meanwhile: it repeats it a few times while the only
// problem is a last line that has no end yet.
func VerifyLive(ctx context.Context, dir string, head *Head) (Report, error) {
	const tries, pause = 5, 50 * time.Millisecond
	for n := 1; ; n++ {
		report, err := Verify(ctx, dir, head)
		unfinished := len(report.Problems) == 1 && report.Problems[0].Fault == Unfinished
		if err != nil || n == tries || !unfinished {
			return report, err
		}
		select {
		case <-ctx.Done():
			return report, ctx.Err()
		case <-time.After(pause):
		}
	}
}

// Check reads every byte of the trail up to its last record, as Verify does, while other methods may be
// called. It returns ErrTampered if there is damage that no Break record declares.
func (t *Trail) Check(ctx context.Context) error {
	t.mu.Lock()
	closed, size, begin, head := slices.Clone(t.closed), t.size, t.begin, t.openedWith
	var active *os.File
	var err error
	if t.file != nil {
		active, err = openRead(t.path(activeName))
	}
	t.mu.Unlock()
	if err != nil {
		return err
	}
	if active != nil {
		defer active.Close() //nolint:errcheck // only read
	}
	head.First = max(head.First, begin.first) // it may have been pruned since it was opened
	c := newChecker(head, begin, activeName)
	for _, file := range closed {
		if _, err := c.takeSegment(ctx, t.dir, file.Name, false); err != nil {
			return err
		}
	}
	if active != nil {
		rest, err := readSegment(ctx, io.LimitReader(active, size), activeName, c.take)
		if err != nil {
			return err
		}
		c.takeUnended(rest)
	}
	c.resolveDamage(nil)
	if c.undeclared != nil {
		return fmt.Errorf("%v: %w", c.undeclared, ErrTampered)
	}
	return nil
}

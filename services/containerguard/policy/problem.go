package policy

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

const (
	maxProblems = 1000 // kept in an Error
	maxShown    = 100  // in its text
)

// Position is a place in a file; line and column count from 1, and are 0 for the whole file.
type Position struct {
	File         string
	Line, Column int
}

// String returns file:line:column.
func (p Position) String() string {
	if p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
}

// Problem is one mistake and its position.
type Problem struct {
	Position Position
	Key      string // such as "policy.match.severity"; empty for a syntax error
	What     string // the mistake, and what is allowed
}

// String returns "file:line:column: key: what".
func (p Problem) String() string {
	if p.Key == "" {
		return p.Position.String() + ": " + p.What
	}
	return p.Position.String() + ": " + p.Key + ": " + p.What
}

// Error is every problem of a set of policies, by file and position.
type Error struct {
	Problems []Problem
	Omitted  int // after the first 1000
}

// Error returns a line for each problem, at most 100.
func (e *Error) Error() string {
	lines := make([]string, 0, min(len(e.Problems), maxShown)+1)
	for i, p := range e.Problems {
		if i == maxShown {
			lines = append(lines, fmt.Sprintf("and %d more problems", len(e.Problems)-i+e.Omitted))
			break
		}
		lines = append(lines, p.String())
	}
	return strings.Join(lines, "\n")
}

// problemList collects problems.
type problemList struct {
	all     []Problem
	omitted int
}

func (l *problemList) add(at Position, key, format string, args ...any) {
	if len(l.all) >= maxProblems {
		l.omitted++
		return
	}
	l.all = append(l.all, Problem{Position: at, Key: key, What: fmt.Sprintf(format, args...)})
}

// err returns nil if there is no problem, else an *Error.
func (l *problemList) err() error {
	if len(l.all) == 0 {
		return nil
	}
	return &Error{Problems: sortByPosition(l.all), Omitted: l.omitted}
}

func sortByPosition(all []Problem) []Problem {
	slices.SortStableFunc(all, func(a, b Problem) int {
		return cmp.Or(
			cmp.Compare(a.Position.File, b.Position.File),
			cmp.Compare(a.Position.Line, b.Position.Line),
			cmp.Compare(a.Position.Column, b.Position.Column),
		)
	})
	return all
}

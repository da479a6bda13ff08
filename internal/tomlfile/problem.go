package tomlfile

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

// Error is String, so that a Problem can be an error.
func (p Problem) Error() string { return p.String() }

// Error is every problem of some files, by file and position.
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

// Problems collects problems. The zero value has none.
type Problems struct {
	All     []Problem // in the order of their finding
	omitted int
}

func (l *Problems) Add(at Position, key, format string, args ...any) {
	if len(l.All) >= maxProblems {
		l.omitted++
		return
	}
	l.All = append(l.All, Problem{Position: at, Key: key, What: fmt.Sprintf(format, args...)})
}

// Count returns how many problems there are, also those that are not kept.
func (l *Problems) Count() int { return len(l.All) + l.omitted }

// Err returns nil if there is no problem, else an *Error.
func (l *Problems) Err() error {
	if len(l.All) == 0 {
		return nil
	}
	return &Error{Problems: SortByPosition(l.All), Omitted: l.omitted}
}

// SortByPosition sorts all by file, line and column, and returns it.
func SortByPosition(all []Problem) []Problem {
	slices.SortStableFunc(all, func(a, b Problem) int {
		return cmp.Or(
			cmp.Compare(a.Position.File, b.Position.File),
			cmp.Compare(a.Position.Line, b.Position.Line),
			cmp.Compare(a.Position.Column, b.Position.Column),
		)
	})
	return all
}

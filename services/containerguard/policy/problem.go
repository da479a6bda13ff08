package policy

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// The bounds of an Error.
const (
	maxProblems = 1000 // kept
	maxShown    = 100  // printed
)

// Problem is one mistake and where it stands.
type Problem struct {
	Position Position
	Key      string // such as "policy.match.severity"; empty for a syntax error
	What     string // what is wrong and what is allowed
}

// String returns "file:line:column: key: what".
func (p Problem) String() string {
	if p.Key == "" {
		return p.Position.String() + ": " + p.What
	}
	return p.Position.String() + ": " + p.Key + ": " + p.What
}

// Error is everything wrong with a set of policies, by file and position.
type Error struct {
	Problems []Problem
	Omitted  int // after the first 1000
}

// Error returns a line per problem, at most 100.
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

// problemList collects mistakes.
type problemList struct {
	all     []Problem
	omitted int
}

func (p *problemList) add(problem Problem) {
	if len(p.all) >= maxProblems {
		p.omitted++
		return
	}
	p.all = append(p.all, problem)
}

// err returns nil for no problem.
func (p *problemList) err() error {
	if len(p.all) == 0 {
		return nil
	}
	return &Error{Problems: sortByPosition(p.all), Omitted: p.omitted}
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

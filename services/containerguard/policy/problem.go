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
	Place Place
	Key   string // such as "policy.match.severity"; empty for a syntax error
	What  string // what is wrong and what is allowed
}

// String returns "file:line:column: key: what".
func (p Problem) String() string {
	if p.Key == "" {
		return p.Place.String() + ": " + p.What
	}
	return p.Place.String() + ": " + p.Key + ": " + p.What
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

// problems collects mistakes.
type problems struct {
	all     []Problem
	omitted int
}

func (p *problems) add(problem Problem) {
	if len(p.all) >= maxProblems {
		p.omitted++
		return
	}
	p.all = append(p.all, problem)
}

// err returns nil for no problem.
func (p *problems) err() error {
	if len(p.all) == 0 {
		return nil
	}
	return &Error{Problems: byPlace(p.all), Omitted: p.omitted}
}

func byPlace(all []Problem) []Problem {
	slices.SortStableFunc(all, func(a, b Problem) int {
		return cmp.Or(
			cmp.Compare(a.Place.File, b.Place.File),
			cmp.Compare(a.Place.Line, b.Place.Line),
			cmp.Compare(a.Place.Column, b.Place.Column),
		)
	})
	return all
}

package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

const (
	maxReported = 100  // problems one error prints
	maxKept     = 1000 // problems of the file one error holds
)

// Position is a place in the file: line and column count from 1, the column in characters. The zero value means no place.
type Position struct {
	Line, Column int
}

// Problem is one mistake in a configuration, and where it stands.
type Problem struct {
	// File and At are set for a mistake in the file; At is zero when the file lacks something.
	File string
	At   Position
	// Source is the variable ("IRONPOST_BUS_MODE") or flag ("--log-level") that holds the mistake instead.
	Source string
	// Key is the full dotted key; empty for a syntax error.
	Key string
	// What states the mistake and what is allowed.
	What string
}

// String returns "file:line:column: key: what" or "VARIABLE: key: what".
func (p Problem) String() string {
	var parts []string
	switch {
	case p.Source != "":
		parts = append(parts, p.Source)
	case p.At.Line > 0:
		parts = append(parts, fmt.Sprintf("%s:%d:%d", p.File, p.At.Line, p.At.Column))
	case p.File != "":
		parts = append(parts, p.File)
	default:
		parts = append(parts, "default")
	}
	if p.Key != "" {
		parts = append(parts, p.Key)
	}
	return strings.Join(append(parts, p.What), ": ")
}

// Error holds every mistake in a configuration: those of the file by position, then variables and flags.
type Error struct {
	Problems []Problem
	// Omitted counts problems of the file after the first 1000, which are not kept.
	Omitted int
}

// Error returns one line per problem, at most 100.
func (e *Error) Error() string {
	lines := make([]string, 0, len(e.Problems))
	for i, p := range e.Problems {
		if i == maxReported {
			lines = append(lines, fmt.Sprintf("and %d more problems", len(e.Problems)-i+e.Omitted))
			break
		}
		lines = append(lines, p.String())
	}
	return strings.Join(lines, "\n")
}

// errorOf returns nil for no problems, else a sorted *Error.
func errorOf(problems []Problem, omitted int) error {
	if len(problems) == 0 {
		return nil
	}
	slices.SortStableFunc(problems, func(a, b Problem) int {
		return cmp.Or(
			cmp.Compare(a.Source, b.Source), // "" first: the file's problems
			cmp.Compare(a.At.Line, b.At.Line),
			cmp.Compare(a.At.Column, b.At.Column),
		)
	})
	return &Error{Problems: problems, Omitted: omitted}
}

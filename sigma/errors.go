package sigma

import "fmt"

// Source is a position in a file. Line and Column count from 1.
type Source struct {
	File   string
	Line   int
	Column int
}

// String returns file:line:column.
func (s Source) String() string {
	return fmt.Sprintf("%s:%d:%d", s.File, s.Line, s.Column)
}

// ParseError is one problem of a rule file, found by Parse or Compile.
type ParseError struct {
	File    string
	Line    int // from 1
	Column  int // from 1
	Message string
}

// Error returns file:line:column: message.
func (e *ParseError) Error() string {
	return fmt.Sprintf("%s:%d:%d: %s", e.File, e.Line, e.Column, e.Message)
}

func errorAt(at Source, format string, args ...any) *ParseError {
	return &ParseError{File: at.File, Line: at.Line, Column: at.Column, Message: fmt.Sprintf(format, args...)}
}

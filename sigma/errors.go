package sigma

import "fmt"

// ParseError is one fault of a rule file.
type ParseError struct {
	File   string
	Line   int // from 1
	Column int // from 1
	Message   string
}

// Error returns file:line:column: what.
func (e *ParseError) Error() string {
	return fmt.Sprintf("%s:%d:%d: %s", e.File, e.Line, e.Column, e.Message)
}

func errorAt(at Source, format string, args ...any) *ParseError {
	return &ParseError{File: at.File, Line: at.Line, Column: at.Column, Message: fmt.Sprintf(format, args...)}
}

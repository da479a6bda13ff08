package main

import (
	"context"
	"errors"

	"github.com/ironpost/ironpost/internal/config"
)

// The exit codes, the same for every command; --help lists them.
const (
	exitOK          = 0
	exitError       = 1
	exitUsage       = 2
	exitConfig      = 3
	exitFindings    = 4
	exitUnreachable = 5
	exitDegraded    = 6
)

const exitHelp = `Exit codes:
  0  all is well
  1  an error, or a broken audit trail
  2  wrong usage
  3  the configuration is invalid
  4  findings (commands that scan)
  5  the daemon cannot be reached
  6  the daemon, or a module of it, is degraded or unhealthy`

// codedError is an error with a code of its own. Silent ones were shown already.
type codedError struct {
	code   int
	silent bool
	err    error
}

func (e *codedError) Error() string { return e.err.Error() }
func (e *codedError) Unwrap() error { return e.err }

func usage(err error) error { return &codedError{code: exitUsage, err: err} }

// shown ends the command with code; what there is to say is on the screen.
func shown(code int, why string) error {
	return &codedError{code: code, silent: true, err: errors.New(why)}
}

// codeOf returns the exit code for err; ran tells whether the command itself was reached.
func codeOf(err error, ran bool) int {
	var own *codedError
	var bad *config.Error
	switch {
	case err == nil, errors.Is(err, context.Canceled):
		return exitOK
	case errors.As(err, &own):
		return own.code
	case errors.As(err, &bad):
		return exitConfig
	case !ran:
		return exitUsage
	}
	return exitError
}

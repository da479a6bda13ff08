package main

import (
	"context"
	"errors"

	"github.com/ironpost/ironpost/internal/config"
	"github.com/ironpost/ironpost/internal/storage"
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
  0  success
  1  an error, or a broken audit trail
  2  wrong usage
  3  the configuration or a policy is invalid
  4  replay found something; scan found what --fail-on names;
     blocklist check: the address is blocked
  5  the daemon, or PostgreSQL, cannot be reached
  6  the daemon or one of its modules is degraded or unhealthy, or the servers
     of an external bus have no leader; release: not all is as before`

// codedError is an error with its own exit code. A silent one is not printed,
// because the output already says what is wrong.
type codedError struct {
	code   int
	silent bool
	err    error
}

func (e *codedError) Error() string { return e.err.Error() }
func (e *codedError) Unwrap() error { return e.err }

func usageError(err error) error { return &codedError{code: exitUsage, err: err} }

// silentError ends the command with code and prints nothing more.
func silentError(code int, why string) error {
	return &codedError{code: code, silent: true, err: errors.New(why)}
}

// exitCode returns the exit code for err. An error from before the command
// started comes from the parsing of flags and arguments, so it is wrong usage.
func exitCode(err error, started bool) int {
	var coded *codedError
	var invalid *config.Error
	var database *storage.Error
	switch {
	case err == nil, errors.Is(err, context.Canceled):
		return exitOK
	case errors.As(err, &coded):
		return coded.code
	case errors.As(err, &invalid):
		return exitConfig
	case errors.As(err, &database) && (database.Kind == storage.Down || database.Kind == storage.Slow):
		return exitUnreachable
	case !started:
		return exitUsage
	}
	return exitError
}

package storage

import (
	"context"
	"errors"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// Kind is what is wrong with PostgreSQL, as one word or two for people.
type Kind string

// The kinds. Data is a row that will never be stored; with all others the same call may succeed
// later, some only after an operator has helped.
const (
	Down     Kind = "down"         // no connection, or it was lost
	Slow     Kind = "slow"         // no answer within the time limit
	ReadOnly Kind = "read-only"    // such as a standby
	Full     Kind = "full"         // no disk space, memory or connections left
	Denied   Kind = "denied"       // wrong password, or a privilege is missing
	Schema   Kind = "wrong schema" // tables missing, or of another version
	Data     Kind = "data"         // the content of a row is refused
	Other    Kind = "failing"      // any other error of the server
)

// Error is an error of PostgreSQL. Err never holds a password.
type Error struct {
	Kind Kind
	Err  error
}

// Error implements error.
func (e *Error) Error() string { return "PostgreSQL is " + e.state() + ": " + e.Err.Error() }

func (e *Error) state() string {
	switch e.Kind {
	case Denied:
		return "refusing the daemon"
	case Schema:
		return "not set up for this version"
	case Data:
		return "refusing the row"
	}
	return string(e.Kind)
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// Retryable reports whether the same call may succeed later.
func (e *Error) Retryable() bool { return e.Kind != Data }

// The codes of PostgreSQL that are not told by their class (PostgreSQL documentation, appendix A).
const (
	codeReadOnly        = "25006"
	codeUndefinedTable  = "42P01"
	codeUndefinedColumn = "42703"
	codeUndefinedFunc   = "42883"
	codeNoPrivilege     = "42501"
	codeNoSchema        = "3F000"
	codeNoDatabase      = "3D000"
	codeCheckViolation  = "23514" // COPY: no partition for a row
	codeUnique          = "23505"
	codeCanceled        = "57014" // statement_timeout
	codeLockTimeout     = "55P03"
)

// kinds has the kind of each code, or of each class of codes.
var kinds = map[string]Kind{
	codeReadOnly: ReadOnly, codeUndefinedTable: Schema, codeUndefinedColumn: Schema, codeUndefinedFunc: Schema, codeNoSchema: Schema,
	codeNoDatabase: Schema, codeNoPrivilege: Denied, codeCanceled: Slow, codeLockTimeout: Slow,
	"08": Down, "57": Down, "28": Denied, "53": Full, "22": Data, "23": Data, "54": Data,
}

// classify wraps err in an *Error. It returns nil for nil, and the error of ctx if ctx has ended.
func classify(ctx context.Context, err error) error {
	var known *Error
	switch {
	case err == nil, errors.As(err, &known):
		return err
	case errors.Is(context.Cause(ctx), errTimeout):
		return &Error{Kind: Slow, Err: errTimeout}
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return &Error{Kind: kindOf(err), Err: plain(err)}
}

func kindOf(err error) Kind {
	code := codeOf(err)
	if code == "" {
		return Down
	}
	if k, ok := kinds[code]; ok {
		return k
	}
	if k, ok := kinds[code[:min(2, len(code))]]; ok {
		return k
	}
	return Other
}

// plain is an error on one line: connecting fails with a line for each address.
func plain(err error) error {
	if text := err.Error(); strings.Contains(text, "\n") {
		return &oneLine{err: err, text: strings.Join(strings.Fields(text), " ")}
	}
	return err
}

type oneLine struct {
	err  error
	text string
}

func (e *oneLine) Error() string { return e.text }
func (e *oneLine) Unwrap() error { return e.err }

// codeOf returns the server's code of err, "" if it is no error of the server.
func codeOf(err error) string {
	if server, ok := errors.AsType[*pgconn.PgError](err); ok {
		return server.Code
	}
	return ""
}

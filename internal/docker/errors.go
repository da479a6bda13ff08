package docker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/client"
)

// The errors of calls, one for each class, for errors.Is.
var (
	ErrNotFound    = errors.New("not found")
	ErrConflict    = errors.New("conflicts with the current state")
	ErrForbidden   = errors.New("refused")
	ErrInvalid     = errors.New("invalid request")
	ErrUnavailable = errors.New("Docker is not reachable")
	ErrTimeout     = errors.New("no response in time")
	ErrServer      = errors.New("Docker reports an internal error")
	ErrTooLarge    = errors.New("response is too large")

	// ErrNotConnected is the answer to a disconnect from a network the container is not
	// on. Docker calls that an internal error (500), newer versions forbidden (403).
	ErrNotConnected = errors.New("not connected to the network")
	// ErrNotPaused is the answer to unpausing a container that is not paused.
	ErrNotPaused = errors.New("not paused")
	// ErrAlready is the answer to connecting or pausing a container that is connected or
	// paused already.
	ErrAlready = errors.New("already connected or paused")
)

// Class groups errors by how to react to them.
type Class int

// The classes. Only the last three are retryable.
const (
	OK          Class = iota
	Canceled          // the caller's context ended
	NotFound          // no such container or network
	Conflict          // the state does not allow it, such as pausing a stopped container
	Already           // the wanted state is reached: ErrNotConnected, ErrNotPaused, ErrAlready
	Forbidden         // refused by Docker or by a proxy before it
	Invalid           // the request is wrong
	TooLarge          // the response is larger than its limit
	Unavailable       // no connection, or it broke; the call may have had an effect
	Timeout           // no response within the budget; the call may have had an effect
	ServerError       // internal error of Docker
)

// String names the class in lower case.
func (c Class) String() string {
	names := [...]string{"ok", "canceled", "not_found", "conflict", "already", "forbidden", "invalid", "too_large", "unavailable", "timeout", "engine"}
	if c < 0 || int(c) >= len(names) {
		return "unknown"
	}
	return names[c]
}

// Retryable tells whether the same call may succeed later.
func (c Class) Retryable() bool { return c == Unavailable || c == Timeout || c == ServerError }

// ClassOf returns the class of an error of this package; OK for nil, and Engine
// for an error of other origin.
func ClassOf(err error) Class {
	if err == nil {
		return OK
	}
	for _, k := range kinds() {
		if errors.Is(err, k.sentinel) {
			return k.class
		}
	}
	return ServerError
}

type kind struct {
	sentinel error
	class    Class
}

func kinds() []kind {
	return []kind{
		{ErrNotConnected, Already},
		{ErrNotPaused, Already},
		{ErrAlready, Already},
		{ErrTooLarge, TooLarge},
		{ErrNotFound, NotFound},
		{ErrConflict, Conflict},
		{ErrForbidden, Forbidden},
		{ErrInvalid, Invalid},
		{ErrUnavailable, Unavailable},
		{ErrTimeout, Timeout},
		{context.Canceled, Canceled},
		{context.DeadlineExceeded, Canceled},
	}
}

// classify wraps err with what was tried and the error of its class.
func classify(ctx context.Context, what string, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil { // the caller's context ended, not the budget
		return fmt.Errorf("docker %s: %w", what, ctx.Err())
	}
	return fmt.Errorf("docker %s: %w: %w", what, sentinelOf(err), err)
}

func sentinelOf(err error) error {
	if s := sentinelByText(err.Error()); s != nil {
		return s
	}
	switch {
	case errors.Is(err, ErrTooLarge):
		return ErrTooLarge
	case errors.Is(err, ErrInvalid):
		return ErrInvalid
	case errors.Is(err, context.DeadlineExceeded):
		return ErrTimeout
	case connectionFailed(err):
		return ErrUnavailable
	case errdefs.IsNotFound(err):
		return ErrNotFound
	case errdefs.IsConflict(err):
		return ErrConflict
	case errdefs.IsPermissionDenied(err), errdefs.IsUnauthorized(err):
		return ErrForbidden
	case errdefs.IsInvalidArgument(err):
		return ErrInvalid
	case errdefs.IsUnavailable(err):
		return ErrUnavailable
	}
	return ErrServer
}

// sentinelByText recognises answers whose status code is misleading: disconnecting twice
// and unpausing twice are 500, connecting twice is 403.
func sentinelByText(text string) error {
	switch {
	case strings.Contains(text, "is not connected to"):
		return ErrNotConnected
	case strings.Contains(text, "is not paused"):
		return ErrNotPaused
	case strings.Contains(text, "is already paused"),
		strings.Contains(text, "already exists in network"),
		strings.Contains(text, "is already attached to network"):
		return ErrAlready
	}
	return nil
}

// connectionFailed tells whether a connection could not be made, or broke: a dockerd that
// is killed ends it with EOF or a reset.
func connectionFailed(err error) bool {
	var op *net.OpError
	return client.IsErrConnectionFailed(err) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.As(err, &op)
}

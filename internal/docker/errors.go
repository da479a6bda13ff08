package docker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
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
	ErrUnavailable = errors.New("dockerd is not reachable")
	ErrTimeout     = errors.New("no response in time")
	ErrServer      = errors.New("dockerd reports an internal error")
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

// Class is a group of errors that a caller handles in the same way.
type Class int

// The classes; see Class.Retryable.
const (
	OK          Class = iota
	Canceled          // the caller's context ended
	NotFound          // there is no such container or network
	Conflict          // the state does not allow the call, such as pausing a stopped container
	Already           // the state that the call asks for holds: ErrNotConnected, ErrNotPaused, ErrAlready
	Forbidden         // refused by Docker or by a proxy before it
	Invalid           // the request is not valid
	TooLarge          // the response is larger than its limit
	Unavailable       // there was no connection, or it broke; the call may have had an effect
	Timeout           // no response came within the budget; the call may have had an effect
	ServerError       // internal error of Docker
)

// Retryable reports whether the same call may succeed later.
func (c Class) Retryable() bool { return c == Unavailable || c == Timeout || c == ServerError }

// errorKind is an error of this package with its class, and how the library's errors of
// that kind are recognised; nil for those that are made here.
type errorKind struct {
	sentinel error
	class    Class
	is       func(error) bool
}

// errorKinds lists the kinds in the order in which they are tried. Some answers are
// recognised by their text, because their status is misleading: disconnecting twice and
// unpausing twice are 500, connecting twice is 403.
func errorKinds() []errorKind {
	text := func(parts ...string) func(error) bool {
		return func(err error) bool {
			return slices.ContainsFunc(parts, func(part string) bool { return strings.Contains(err.Error(), part) })
		}
	}
	return []errorKind{
		{ErrNotConnected, Already, text("is not connected to")},
		{ErrNotPaused, Already, text("is not paused")},
		{ErrAlready, Already, text("is already paused", "already exists in network", "is already attached to network")},
		{ErrTooLarge, TooLarge, nil},
		{ErrInvalid, Invalid, nil},
		{ErrTimeout, Timeout, func(err error) bool { return errors.Is(err, context.DeadlineExceeded) }},
		{ErrUnavailable, Unavailable, connectionFailed},
		{ErrNotFound, NotFound, errdefs.IsNotFound},
		{ErrConflict, Conflict, errdefs.IsConflict},
		{ErrForbidden, Forbidden, func(err error) bool { return errdefs.IsPermissionDenied(err) || errdefs.IsUnauthorized(err) }},
		{ErrInvalid, Invalid, errdefs.IsInvalidArgument},
		{ErrUnavailable, Unavailable, errdefs.IsUnavailable},
	}
}

// ClassOf returns the class of an error of this package: OK for nil, and ServerError for
// any other error.
func ClassOf(err error) Class {
	if err == nil {
		return OK
	}
	for _, k := range errorKinds() {
		if errors.Is(err, k.sentinel) {
			return k.class
		}
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return Canceled
	}
	return ServerError
}

// classify wraps err with what was tried and the error of its class.
func classify(ctx context.Context, what string, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil { // the caller's context ended, not the budget
		return fmt.Errorf("docker %s: %w", what, ctx.Err())
	}
	for _, k := range errorKinds() {
		if k.is != nil && k.is(err) || k.is == nil && errors.Is(err, k.sentinel) {
			return fmt.Errorf("docker %s: %w: %w", what, k.sentinel, err)
		}
	}
	return fmt.Errorf("docker %s: %w: %w", what, ErrServer, err)
}

// connectionFailed reports whether a connection could not be made, or broke: a dockerd that
// is killed ends it with EOF or a reset.
func connectionFailed(err error) bool {
	var op *net.OpError
	return client.IsErrConnectionFailed(err) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.As(err, &op)
}

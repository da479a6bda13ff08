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

// Sentinels of the classes, for errors.Is.
var (
	ErrNotFound    = errors.New("not found")
	ErrConflict    = errors.New("conflicts with the present state")
	ErrForbidden   = errors.New("refused")
	ErrInvalid     = errors.New("invalid request")
	ErrUnavailable = errors.New("container engine is not reachable")
	ErrTimeout     = errors.New("no answer in time")
	ErrServer      = errors.New("container engine reports an internal error")
	ErrTooLarge    = errors.New("answer is too large")

	// ErrNotConnected is the answer to a disconnect of what is not connected.
	// Docker calls it an internal error (500), newer ones forbidden (403).
	ErrNotConnected = errors.New("not connected to the network")
	// ErrNotPaused is the answer to unpausing what is not paused.
	ErrNotPaused = errors.New("not paused")
	// ErrAlready is the answer to connecting or pausing what is so already.
	ErrAlready = errors.New("is so already")
)

// Class groups errors by what can be done about them.
type Class int

// The classes. Only errors of the last three can pass by themselves.
const (
	OK          Class = iota
	Canceled          // the caller's context ended
	NotFound          // no such container or network
	Conflict          // the state does not allow it, such as pausing what does not run
	Already           // the wanted state is there: ErrNotConnected, ErrNotPaused, ErrAlready
	Forbidden         // refused by the engine or by a proxy before it
	Invalid           // the request is wrong
	TooLarge          // the answer is beyond its cap
	Unavailable       // no connection, or it broke: whether the call had effect is unknown
	Timeout           // no answer within the budget: whether the call had effect is unknown
	ServerError       // internal error of the engine
)

// String names the class in lower case.
func (c Class) String() string {
	names := [...]string{"ok", "canceled", "not_found", "conflict", "already", "forbidden", "invalid", "too_large", "unavailable", "timeout", "engine"}
	if c < 0 || int(c) >= len(names) {
		return "unknown"
	}
	return names[c]
}

// Retryable tells whether the same call may succeed later without anything else
// being done first.
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

// classify wraps err with what was tried and the sentinel of its class.
func classify(ctx context.Context, what string, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil { // the caller's, not the budget's
		return fmt.Errorf("docker %s: %w", what, ctx.Err())
	}
	return fmt.Errorf("docker %s: %w: %w", what, sentinelOf(err), err)
}

func sentinelOf(err error) error {
	if s := quirk(err.Error()); s != nil {
		return s
	}
	switch {
	case errors.Is(err, ErrTooLarge):
		return ErrTooLarge
	case errors.Is(err, ErrInvalid):
		return ErrInvalid
	case errors.Is(err, context.DeadlineExceeded):
		return ErrTimeout
	case disconnected(err):
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

// quirk recognises answers whose status code says something else than their
// text: disconnect twice is 500, unpause twice is 500 and connect twice is 403.
func quirk(text string) error {
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

// disconnected knows a connection that could not be made or broke: dockerd ends
// with EOF or a reset when it is killed.
func disconnected(err error) bool {
	var op *net.OpError
	return client.IsErrConnectionFailed(err) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.As(err, &op)
}

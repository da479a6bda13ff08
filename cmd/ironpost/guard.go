package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/ironpost/ironpost/bus"
)

// hostFlag is --host of the commands that ask a guard.
func hostFlag(cmd *cobra.Command, host *string) {
	cmd.Flags().StringVar(host, "host", "", "on which host (default: that of the daemon)")
}

// askGuard sends a request to the container guard of host, the daemon's own if empty.
func (a *app) askGuard(ctx context.Context, host, verb string, req, resp any) error {
	return a.askFor(ctx, max(a.timeout, 6*time.Second), func(ctx context.Context, conn *bus.Conn) error { // a verb has 4 s
		host = cmp.Or(host, conn.Host())
		if host == "" {
			return usage(errors.New("--url needs --host: whose containers are meant"))
		}
		err := conn.Request(ctx, bus.VerbSubject(bus.ContainerGuard, host, verb), req, resp)
		if errors.Is(err, bus.ErrUnreachable) {
			return &codedError{code: exitUnreachable, err: fmt.Errorf("no container guard answers on %s: set container.enabled, or see ironpost status", host)}
		}
		return err
	})
}

// briefID is as much of a container's id as people use.
func briefID(id string) string { return id[:min(12, len(id))] }

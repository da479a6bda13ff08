package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"

	"github.com/spf13/cobra"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/services/actioncollector"
)

func (a *app) auditAcceptCommand() *cobra.Command {
	var host, reason string
	cmd := &cobra.Command{
		Use:   "accept --reason text",
		Short: "record that the problems of the audit trail are known",
		Long: `A broken audit trail cannot be mended, and is reported until somebody says that they know.
This appends a record to it with who says so, when and why. From then on the collector is
not degraded by what was broken before, and audit verify tells it as accepted and exits
with 0. Nothing is removed from the trail, and nobody can hide behind it: the record holds
the hash of all that stands before it, so a later change there breaks the trail again.

Look at it first (ironpost audit verify), and keep a copy of the folder. The daemon must run.`,
		Example: `  sudo ironpost audit accept --reason "disk replaced on 2026-11-20, ticket 4711"`,
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.acceptBreak(cmd.Context(), host, reason) },
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why it is known, for who reads the trail later (needed)")
	cmd.Flags().StringVar(&host, "host", "", "whose trail (default: the host of the daemon)")
	return cmd
}

func (a *app) acceptBreak(ctx context.Context, host, reason string) error {
	if reason == "" {
		return usage(errors.New("--reason is needed: it is all that who reads the trail later will know"))
	}
	return a.ask(ctx, func(ctx context.Context, conn *bus.Conn) error {
		host := cmp.Or(host, conn.Host())
		if host == "" {
			return usage(errors.New("--url needs --host: whose trail"))
		}
		done, err := actioncollector.AcceptBreak(ctx, conn, host, actioncollector.Accept{By: whoami(), Reason: reason})
		if err != nil {
			return fmt.Errorf("the audit trail of %s: %w", host, err)
		}
		if a.json {
			return a.printJSON(done)
		}
		a.line(a.paint.word("accepted") + "  " + clean(fmt.Sprintf("problems: %d, by record %d of the audit trail of %s", done.Problems, done.Seq, host)))
		return nil
	})
}

// whoami names the person, also behind sudo.
func whoami() string {
	name := fmt.Sprintf("uid %d", os.Getuid())
	if u, err := user.Current(); err == nil {
		name = fmt.Sprintf("%s (%s)", u.Username, name)
	}
	if sudo := os.Getenv("SUDO_USER"); sudo != "" {
		name = sudo + " as " + name
	}
	return name
}

package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/ironpost/ironpost/services/containerguard"
)

func (a *app) approveCommand() *cobra.Command {
	var host string
	var deny bool
	cmd := &cobra.Command{
		Use:   "approve <request>",
		Short: "let a policy do what it asks about",
		Long: `Answers the request of a policy with approve = true: the guard does what it
asked about, or with --deny does not. The id of the request, or the beginning of
it, is in the notification, in ironpost actions, and in the column WHY of
ironpost quarantine waiting.

A request is about one action on one container because of one attack. If the
container is another by now, or the evidence has become stronger, nothing is
done, and there is a request with another id. One that nobody answers ends
after container.approval_timeout_secs, as a skipped action.`,
		Example: `  ironpost approve 3f9a1b2c4d5e
  ironpost approve 3f9a --deny`,
		Args: oneArg,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.approve(cmd.Context(), host, containerguard.ApproveRequest{ID: args[0], Deny: deny})
		},
	}
	cmd.Flags().BoolVar(&deny, "deny", false, "end the request, nothing is done")
	hostFlag(cmd, &host)
	return cmd
}

func (a *app) approve(ctx context.Context, host string, req containerguard.ApproveRequest) error {
	var reply containerguard.ApproveReply
	if err := a.operateGuard(ctx, host, containerguard.VerbApprove, req, &reply); err != nil {
		return err
	}
	if a.json {
		return a.printJSON(reply)
	}
	state := reply.State
	if reply.Denied {
		state = "denied"
	}
	if state != "" {
		a.printf("%s (%s): %s, %s", clean(reply.Name), shortID(reply.Container), reply.Kind, state)
	}
	if reply.Error != "" {
		return errors.New(clean(reply.Error))
	}
	if !reply.Denied {
		a.notef("to undo: ironpost release %s", clean(reply.Name))
	}
	return nil
}

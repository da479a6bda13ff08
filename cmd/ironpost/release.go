package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/ironpost/ironpost/services/containerguard"
)

func (a *app) releaseCommand() *cobra.Command {
	var host, reason string
	cmd := &cobra.Command{
		Use:   "release <container>",
		Short: "give a held container everything back",
		Long: `Ends the quarantine of a container: its networks with names and addresses, its restart
policy, its processes. The connections it held are destroyed first, so that nobody's
session goes on where it was cut; where that cannot be done it is started anew.`,
		Example: `  ironpost release web-1
  ironpost release 4f6c1b2a9d3e --reason "false alarm"`,
		Args: oneArg,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.release(cmd.Context(), host, containerguard.ReleaseRequest{Container: args[0], Reason: reason})
		},
	}
	hostFlag(cmd, &host)
	cmd.Flags().StringVar(&reason, "reason", "", "why, for those who wonder later")
	return cmd
}

func (a *app) release(ctx context.Context, host string, req containerguard.ReleaseRequest) error {
	if req.Reason == "" {
		req.Reason = byWhom()
	}
	var reply containerguard.ReleaseReply
	if err := a.askGuard(ctx, host, containerguard.VerbRelease, req, &reply); err != nil {
		return err
	}
	if a.json {
		return a.printJSON(reply)
	}
	word := "is released"
	if reply.Pending {
		word = "is being released"
	}
	a.line(fmt.Sprintf("%s (%s) %s", clean(reply.Name), briefID(reply.Container), word))
	if reply.Error != "" {
		return errors.New(reply.Error)
	}
	return nil
}

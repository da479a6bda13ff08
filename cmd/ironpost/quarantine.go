package main

import (
	"cmp"
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/ironpost/ironpost/services/containerguard"
)

func (a *app) quarantineCommand() *cobra.Command {
	return group("quarantine", "which containers are held, and why", a.quarantineListCommand())
}

func (a *app) quarantineListCommand() *cobra.Command {
	var host string
	cmd := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "list the containers that are held",
		Long: `Lists the containers in quarantine, the oldest first: by which policy, since when and
until when, and how far it has come. Held means that all is done, partial that a part
was refused, which ERROR explains.`,
		Example: `  ironpost quarantine list
  ironpost quarantine list --json | jq -r '.held[].name' | xargs -n1 ironpost release`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.quarantineList(cmd.Context(), host) },
	}
	hostFlag(cmd, &host)
	return cmd
}

func (a *app) quarantineList(ctx context.Context, host string) error {
	var reply containerguard.QuarantineReply
	if err := a.askGuard(ctx, host, containerguard.VerbQuarantine, nil, &reply); err != nil {
		return err
	}
	if a.json {
		return a.printJSON(reply)
	}
	if reply.Docker != "" {
		a.tell("warning: this is what the ledger says; " + clean(reply.Docker))
	}
	if len(reply.Quarantined) == 0 {
		a.tell("no container is held")
		return nil
	}
	rows := make([][]string, 0, len(reply.Quarantined))
	for _, h := range reply.Quarantined {
		rows = append(rows, []string{
			h.Name, briefID(h.Container), h.Kind, h.State, a.when(h.Since), a.when(h.Expires), briefID(h.Action),
			h.Policy, cmp.Or(h.Error, h.Reason),
		})
	}
	columns := []column{
		{"NAME", 32}, {"CONTAINER", 12}, {"KIND", 10}, {"STATE", 9}, {"SINCE", 25}, {"UNTIL", 25}, {"ACTION", 12}, {"POLICY", 24}, {"WHY", 120},
	}
	if err := a.printTable(columns, rows); err != nil {
		return err
	}
	if reply.Incomplete > 0 {
		a.tell(fmt.Sprintf("and %d more", reply.Incomplete))
	}
	return nil
}

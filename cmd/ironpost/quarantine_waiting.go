package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/services/containerguard"
)

func (a *app) quarantineWaitingCommand() *cobra.Command {
	var host string
	cmd := &cobra.Command{
		Use:   "waiting",
		Short: "list what policies would do and what it waits for",
		Long: `Lists the steps of policies that wait, those with the strongest evidence first.
NEEDS says for what:
  connection  the kernel must see the address connect to the service
  evidence    a further alert of the same matter that is better proven
  sign        a further independent sign that the container is compromised
  time        the policy does the step later, at the time in WHEN
  approval    an operator must approve it
  room        a cap of [container] or a cooldown refuses it for now; containers
              that are released or removed, and the next minute, make room
A step is done as soon as it has what it needs, and ends without an answer at
the time in UNTIL, which an action says where it is about a container.

The --json has the whole reasons; counts has the number of steps per need, and
incomplete how many of them are not listed.`,
		Example: `  ironpost quarantine waiting
  ironpost quarantine waiting --json | jq .counts`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.quarantineWaiting(cmd.Context(), host) },
	}
	hostFlag(cmd, &host)
	return cmd
}

func (a *app) quarantineWaiting(ctx context.Context, host string) error {
	var reply containerguard.WaitingReply
	if err := a.callGuard(ctx, host, containerguard.VerbWaiting, nil, &reply); err != nil {
		return err
	}
	if a.json {
		return a.printJSON(reply)
	}
	if len(reply.Waiting) == 0 {
		a.notef("nothing waits")
		return nil
	}
	list := rows{columns: []column{
		{"ALERT", 8}, {"ACTION", 12}, {"TARGET", 40}, {"NEEDS", 10}, {"STRENGTH", 20}, {"SINCE", 25}, {"WHEN", 25}, {"UNTIL", 25}, {"POLICY", 24}, {"WHY", 120},
	}}
	for _, w := range reply.Waiting {
		target := w.Target
		if w.Name != "" {
			target = w.Name
		}
		strength := strings.TrimSpace(string(w.Trust) + " " + w.Severity.String())
		list.add(event.ShortID(w.Series), w.Kind, target, w.Need, strength, a.when(w.Since, a.time), a.when(w.Due, a.time), a.when(w.Until, a.time), w.Policy, w.Reason)
	}
	a.printTables(list)
	if reply.Incomplete > 0 {
		a.notef("and %d more", reply.Incomplete)
	}
	return nil
}

package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/ironpost/ironpost/services/containerguard"
)

func (a *app) notifyCommand() *cobra.Command {
	return group("notify", "try out notifications", a.notifyTestCommand())
}

func (a *app) notifyTestCommand() *cobra.Command {
	var host string
	cmd := &cobra.Command{
		Use:   "test",
		Short: "send a test message through each notifier",
		Long: `Has the container guard send a message, marked as a test, through each
notifier that is configured: the webhook of container.webhook_url. For each it
says how long sending took, or what is wrong and what to do, and exits with 1
if one failed.

A message is tried once, for 3 seconds; others that wait are not sent before or
because of it. There is one test in 30 seconds at most, and each is an action
in the audit trail, in your name.`,
		Example: `  ironpost notify test
  ironpost notify test --json | jq '.notifiers[] | select(.sent | not)'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.notifyTest(cmd.Context(), host) },
	}
	hostFlag(cmd, &host)
	return cmd
}

func (a *app) notifyTest(ctx context.Context, host string) error {
	var reply containerguard.NotifyReply
	if err := a.operateGuard(ctx, host, containerguard.VerbNotify, nil, &reply); err != nil {
		return err
	}
	failed := false
	for _, n := range reply.Notifiers {
		failed = failed || !n.Sent
	}
	if a.json {
		if err := a.printJSON(reply); err != nil {
			return err
		}
	} else {
		a.printNotifyTests(reply.Notifiers)
	}
	if failed {
		return silentError(exitError, "a test failed")
	}
	return nil
}

func (a *app) printNotifyTests(tests []containerguard.NotifyTest) {
	for _, n := range tests {
		if n.Sent {
			a.printf("%s: sent in %d ms", clean(n.Notifier), n.DurationMS)
			continue
		}
		a.printf("%s: not sent: %s", clean(n.Notifier), clean(n.Error))
	}
}

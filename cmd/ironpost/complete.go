package main

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/docker"
	"github.com/ironpost/ironpost/services/containerguard"
	"github.com/ironpost/ironpost/services/logpipeline"
)

const (
	completionPatience = 2 * time.Second // an operator waits at the prompt
	completionAlerts   = 50              // newest ones that are offered
)

// complete offers to the shell what find returns, which is the truth of the moment: nothing if the daemon does not answer in time.
func (a *app) complete(find func(context.Context) []cobra.Completion) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp // every command that uses it takes one
		}
		return a.found(cmd, find), cobra.ShellCompDirectiveNoFileComp
	}
}

// completeFlagWith is complete for the values of a flag.
func (a *app) completeFlagWith(cmd *cobra.Command, flag string, find func(context.Context) []cobra.Completion) {
	err := cmd.RegisterFlagCompletionFunc(flag, func(cmd *cobra.Command, _ []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return a.found(cmd, find), cobra.ShellCompDirectiveNoFileComp
	})
	if err != nil {
		panic(err) // the flag does not exist: a mistake in this program
	}
}

func (a *app) found(cmd *cobra.Command, find func(context.Context) []cobra.Completion) []cobra.Completion {
	ctx, cancel := context.WithTimeout(cmd.Context(), completionPatience)
	defer cancel()
	a.timeout = min(a.timeout, completionPatience)
	list := find(ctx)
	slices.Sort(list)
	return slices.Compact(list)
}

// described is a value with what the shell shows beside it. Both may come from an attacker.
func described(value, text string) cobra.Completion {
	return cobra.CompletionWithDesc(clean(value), cell(strings.ReplaceAll(text, "\n", " "), 60))
}

// alertIDs returns the short ids of the newest series of a day.
func (a *app) alertIDs(ctx context.Context) (out []cobra.Completion) {
	known := map[string]bool{}
	_ = a.withConn(ctx, func(ctx context.Context, conn *bus.Conn) error { // without the daemon nothing is offered
		options := bus.HistoryOptions{Since: time.Now().Add(-24 * time.Hour), Filter: bus.AlertSubject("*", "*")}
		return conn.HistoryBack(ctx, bus.Alerts, options, func(d bus.Delivery) bool {
			var alert event.Alert
			if decodeRecord(d.Data, &alert) == nil && namesItsOrigin(d) && !known[alert.SeriesKey()] {
				known[alert.SeriesKey()] = true
				out = append(out, described(event.ShortID(alert.SeriesID()), alert.Severity.String()+" "+alert.Title))
			}
			return len(out) < completionAlerts
		})
	})
	return out
}

// isolatedContainers returns the names of the containers in quarantine.
func (a *app) isolatedContainers(ctx context.Context) (out []cobra.Completion) {
	var reply containerguard.QuarantineReply
	if a.callGuard(ctx, "", containerguard.VerbQuarantine, nil, &reply) != nil {
		return nil
	}
	for _, q := range reply.Quarantined {
		out = append(out, described(q.Name, q.Kind+", "+q.State))
	}
	return out
}

// runningContainers returns the names of the containers of this machine, if the operator may ask Docker.
func (a *app) runningContainers(ctx context.Context) (out []cobra.Completion) {
	cfg, _, err := a.loadConfig()
	if err != nil {
		return nil
	}
	client, err := docker.Connect(cfg.Container.DockerSocket)
	if err != nil {
		return nil
	}
	containers, err := client.List(ctx)
	if err != nil {
		return nil
	}
	for _, c := range containers {
		out = append(out, described(c.Name, c.Image))
	}
	return out
}

// ruleIDs returns the ids of the rules that are loaded.
func (a *app) ruleIDs(context.Context) (out []cobra.Completion) {
	cfg, _, err := a.loadConfig()
	if err != nil {
		return nil
	}
	rules, err := logpipeline.Rules(cfg.LogPipeline)
	if err != nil {
		return nil
	}
	for _, r := range rules {
		out = append(out, described(r.ID, r.Title))
	}
	return out
}

// sections returns the sections of the configuration.
func (a *app) sections(context.Context) (out []cobra.Completion) {
	_, loaded, err := a.loadConfig()
	if err != nil {
		return nil
	}
	for _, v := range loaded.Values {
		section, _ := splitKey(v.Key)
		out = append(out, section)
	}
	return out
}

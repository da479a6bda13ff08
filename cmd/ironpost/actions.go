package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
)

var phases = []string{"intended", "done", "failed", "skipped", "released"}

func (a *app) actionsCommand() *cobra.Command {
	var p page
	var f actionFilter
	cmd := &cobra.Command{
		Use:   "actions",
		Short: "what was done about it",
		Long: `Lists actions, the newest last, each step of an action on a line of its own. With
--json each is one line, as docs/events.md describes it.`,
		Example: `  ironpost actions
  ironpost actions --phase failed --since 7d
  ironpost actions --follow --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.phase != "" && !slices.Contains(phases, f.phase) {
				return usage(fmt.Errorf("--phase %q is none of %s", f.phase, strings.Join(phases, ", ")))
			}
			return a.list(cmd.Context(), p, a.actions(p.host, f))
		},
	}
	p.flags(cmd)
	cmd.Flags().StringVar(&f.phase, "phase", "", "only this phase: "+strings.Join(phases, ", "))
	cmd.Flags().StringVar(&f.kind, "kind", "", "only this kind, such as isolate or block-source")
	cmd.Flags().StringVar(&f.policy, "policy", "", "only of this policy")
	complete(cmd, "phase", phases...)
	return cmd
}

type actionFilter struct{ phase, kind, policy string }

func (f actionFilter) passes(a *event.Action) bool {
	return (f.phase == "" || string(a.Phase) == f.phase) && (f.kind == "" || a.Kind == f.kind) && (f.policy == "" || a.Policy == f.policy)
}

func (a *app) actions(host string, filter actionFilter) records {
	return records{
		name: "actions", stream: bus.Actions, feed: bus.RepublishedActions, subject: bus.ActionSubject("*", cmp.Or(host, "*")),
		columns: []column{{"TIME", 25}, {"PHASE", 8}, {"KIND", 14}, {"HOST", 20}, {"TARGET", 40}, {"POLICY", 24}, {"WHY", 120}},
		row: func(data []byte) ([]string, error) {
			var action event.Action
			if err := decode(data, &action); err != nil || !filter.passes(&action) {
				return nil, err
			}
			return []string{
				a.when(action.Time), string(action.Phase), action.Kind, action.Host, action.Target, cmp.Or(action.Policy, "-"), why(&action),
			}, nil
		},
	}
}

// why says what a person wants to know first: what went wrong, else the reason.
func why(a *event.Action) string {
	text := cmp.Or(a.Error, a.Reason, "-")
	if a.DryRun {
		return "dry run: " + text
	}
	return text
}

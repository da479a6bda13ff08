package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/storage"
)

var phases = []string{"intended", "done", "failed", "skipped", "released"}

func (a *app) actionsCommand() *cobra.Command {
	var list recordFlags
	var filter actionFilter
	var about string
	cmd := &cobra.Command{
		Use:   "actions",
		Short: "list actions taken on alerts",
		Long: `Lists actions, the newest last. Every phase of an action (intended, then done
or failed, later released) is a line of its own. With --json every line is one
record, as docs/events.md describes it.

They come from PostgreSQL if log_pipeline.storage.postgres_url is set, else from
the streams of the bus. --socket, --url and --follow always read the streams.`,
		Example: `  ironpost actions
  ironpost actions --phase failed --since 7d
  ironpost actions --alert k4x2m7qa --since all
  ironpost actions --follow --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if filter.phase != "" && !slices.Contains(phases, filter.phase) {
				return usageError(fmt.Errorf("--phase %q is none of %s", filter.phase, strings.Join(phases, ", ")))
			}
			if about != "" {
				series, err := a.findSeries(cmd.Context(), about, list.host)
				if err != nil {
					return err
				}
				filter.alerts = series.ids()
			}
			return a.listRecords(cmd.Context(), list, a.actionKind(list.host, filter))
		},
	}
	list.register(cmd)
	cmd.Flags().StringVar(&filter.phase, "phase", "", "only this phase: intended, done, failed,\nskipped or released")
	cmd.Flags().StringVar(&filter.kind, "kind", "", "only this kind, such as isolate or\nblock-source")
	cmd.Flags().StringVar(&filter.policy, "policy", "", "only of this policy")
	cmd.Flags().StringVar(&about, "alert", "", "only about this alert: the `id` in the list of\nalerts, or its beginning")
	completeFlag(cmd, "phase", phases...)
	a.completeFlagWith(cmd, "alert", a.alertIDs)
	return cmd
}

// actionFilter excludes actions that differ in a field that is not empty.
type actionFilter struct {
	phase, kind, policy string
	alerts              []string // ids
}

func (f actionFilter) matches(a *event.Action) bool {
	return (f.alerts == nil || slices.Contains(f.alerts, a.AlertID)) &&
		(f.phase == "" || string(a.Phase) == f.phase) && (f.kind == "" || a.Kind == f.kind) && (f.policy == "" || a.Policy == f.policy)
}

// query returns f for PostgreSQL.
func (f actionFilter) query() storage.Query {
	return storage.Query{Phase: f.phase, Kind: f.kind, Policy: f.policy, AlertIDs: f.alerts}
}

func (a *app) actionKind(host string, filter actionFilter) recordKind {
	return recordKind{
		name: "actions", stored: storage.Actions, query: filter.query(), record: func() event.Record { return new(event.Action) }, stream: bus.Actions, republished: bus.RepublishedActions, subject: bus.ActionSubject("*", cmp.Or(host, "*")),
		onlyIfDifferent: "HOST",
		columns:         []column{{"TIME", 25}, {"PHASE", 8}, {"KIND", 14}, {"HOST", 20}, {"TARGET", 40}, {"POLICY", 24}, {"WHY", 120}},
		row: func(data []byte) ([]string, error) {
			var action event.Action
			if err := decodeRecord(data, &action); err != nil || !filter.matches(&action) {
				return nil, err
			}
			why := cmp.Or(action.Error, action.Reason, "-")
			if action.DryRun {
				why = "dry run: " + why
			}
			return []string{
				a.when(action.Time, a.time), string(action.Phase), action.Kind, action.Host, action.Target, cmp.Or(action.Policy, "-"), why,
			}, nil
		},
	}
}

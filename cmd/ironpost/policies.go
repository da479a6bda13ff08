package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/ironpost/ironpost/cmd/internal/suite"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/services/containerguard"
	"github.com/ironpost/ironpost/services/containerguard/policy"
	"github.com/ironpost/ironpost/services/logpipeline"
	"github.com/ironpost/ironpost/services/sbomscanner"
)

func (a *app) policiesCommand() *cobra.Command {
	return group("policies", "check policies and test them on alerts", a.policiesLintCommand(), a.policiesTestCommand(), a.policiesSimulateCommand())
}

func (a *app) policiesLintCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "lint [file or folder]...",
		Short: "check policies for mistakes",
		Long: `Reads policies as the guard does and reports every mistake with file, line and
column, then warnings about what is valid but unusual. Patterns that match
nothing are mistakes, too: of containers, images, labels and tags as they cannot
be called, and of rules and tags that log_pipeline.rules_path does not have.
Without arguments it reads container.policy_path of the configuration. Exits
with 3 if there is a mistake.`,
		Example: `  ironpost policies lint
  ironpost policies lint ./policies
  ironpost policies lint --json web.toml | jq '.problems'`,
		RunE: func(_ *cobra.Command, args []string) error { return a.policiesLint(args) },
	}
}

// lintResult is the --json of policies lint.
type lintResult struct {
	Valid    bool      `json:"valid"`
	Policies int       `json:"policies"`
	Files    int       `json:"files"`
	Problems []problem `json:"problems"`
	Warnings []problem `json:"warnings"`
}

func policyProblems(in []policy.Problem) []problem {
	out := []problem{}
	for _, p := range in {
		out = append(out, problem{File: p.Position.File, Line: p.Position.Line, Column: p.Position.Column, Key: p.Key, What: p.What})
	}
	return out
}

var errPolicyInvalid = silentError(exitConfig, "a policy is invalid")

func (a *app) policiesLint(paths []string) error {
	cfg, _, err := a.loadConfig()
	if err != nil {
		if len(paths) == 0 {
			return configError(err)
		}
		a.notef("warning: rules and tags are not checked: %s", clean(configError(err).Error()))
	}
	if len(paths) == 0 {
		paths = []string{cfg.Container.PolicyPath}
	}
	checkRules := err == nil
	var result lintResult
	var problems, warnings []policy.Problem
	for _, path := range paths {
		set, err := policy.Load(path)
		if invalid, ok := errors.AsType[*policy.Error](err); ok {
			problems = append(problems, invalid.Problems...)
			continue
		}
		if err != nil {
			return err
		}
		result.Policies, result.Files = result.Policies+len(set.Policies), result.Files+set.Files
		problems, warnings = append(problems, set.Mistakes...), append(warnings, set.Warnings...)
		if !checkRules {
			continue
		}
		unknown, victims := a.checkRules(cfg, set)
		warnings = append(warnings, victims...)
		if cfg.HasPlugins() { // which may have rules of their own
			warnings = append(warnings, unknown...)
		} else {
			problems = append(problems, unknown...)
		}
	}
	result.Valid = len(problems) == 0
	result.Problems, result.Warnings = policyProblems(problems), policyProblems(warnings)
	if a.json {
		if err := a.printJSON(result); err != nil {
			return err
		}
	} else {
		for _, p := range problems {
			a.printf("%s", clean(p.String()))
		}
		for _, p := range warnings {
			a.printf("warning: %s", clean(p.String()))
		}
		if result.Valid {
			a.printf("valid: %d policies in %d files", result.Policies, result.Files)
		}
	}
	if !result.Valid {
		return errPolicyInvalid
	}
	return nil
}

// checkRules returns the patterns of rules and tags that match none that is loaded, and those that match rules about victims.
func (a *app) checkRules(cfg suite.Config, set *policy.Set) (unknown, victims []policy.Problem) {
	rules, err := logpipeline.Rules(cfg.LogPipeline)
	if err != nil {
		a.notef("warning: rules and tags are not checked: %s", clean(err.Error()))
		return nil, nil
	}
	for _, name := range sbomscanner.RuleNames() {
		rules = append(rules, event.Rule{ID: name})
	}
	return set.CheckRules(rules), set.CheckVictims(rules)
}

type policiesTestFlags struct {
	path string
	host string
	now  bool
}

func (a *app) policiesTestCommand() *cobra.Command {
	var f policiesTestFlags
	cmd := &cobra.Command{
		Use:   "test <alert.json>",
		Short: "show what the policies would do about an alert",
		Long: `Asks the guard what its policies would do about an alert: which policy applies,
to which container, which actions, and why not. Nothing is done. The alert is a
file as "ironpost alerts --json" prints it, or - for standard input.

The guard decides as if it were the time of the alert; with --now as of this
moment, when the alert may be too old.

With --path the policies of a file or folder are tested without a daemon; the
container is then the one that the alert names.`,
		Example: `  ironpost alerts --json --limit 1 | ironpost policies test -
  ironpost policies test alert.json --path ./policies`,
		Args: oneArg,
		RunE: func(cmd *cobra.Command, args []string) error { return a.policiesTest(cmd, args[0], f) },
	}
	cmd.Flags().StringVar(&f.path, "path", "", "policy `file` or folder to test, without a daemon")
	cmd.Flags().BoolVar(&f.now, "now", false, "decide as of now, not as of the alert's time")
	hostFlag(cmd, &f.host)
	return cmd
}

func (a *app) policiesTest(cmd *cobra.Command, file string, f policiesTestFlags) error {
	alert, raw, err := readAlert(cmd.InOrStdin(), file)
	if err != nil {
		return err
	}
	at := time.Now()
	if !f.now {
		at = alert.Time
		if received := alert.ReceivedAt(); received.After(at) {
			at = received
		}
	}
	var decisions []containerguard.PolicyDecision
	if f.path != "" {
		decisions, err = a.testOffline(cmd.Context(), f.path, alert, at)
	} else {
		err = a.callGuard(cmd.Context(), f.host, containerguard.VerbTest, containerguard.TestRequest{Alert: raw, At: at}, &decisions)
	}
	if err != nil {
		return err
	}
	if a.json {
		return a.printJSON(decisions)
	}
	a.printDecisions(decisions)
	return nil
}

func (a *app) testOffline(ctx context.Context, path string, alert *event.Alert, at time.Time) ([]containerguard.PolicyDecision, error) {
	set, err := a.loadPolicies(path)
	if err != nil {
		return nil, err
	}
	cfg, _, err := a.loadConfig()
	if err != nil {
		return nil, configError(err)
	}
	return containerguard.DryRun(ctx, cfg.Container, set, alert, at), nil
}

// loadPolicies reads the policies of path. Their mistakes are printed.
func (a *app) loadPolicies(path string) (*policy.Set, error) {
	set, err := policy.Load(path)
	invalid, ok := errors.AsType[*policy.Error](err)
	if !ok {
		return set, err
	}
	for _, p := range invalid.Problems {
		a.printf("%s", clean(p.String()))
	}
	return nil, errPolicyInvalid
}

// readAlert returns the first alert of a file, or of in for "-".
func readAlert(in io.Reader, file string) (*event.Alert, json.RawMessage, error) {
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return nil, nil, err
		}
		defer func() { _ = f.Close() }() // only read
		in = f
	}
	var raw json.RawMessage
	if err := json.NewDecoder(io.LimitReader(in, 2*event.MaxSize)).Decode(&raw); err != nil {
		return nil, nil, fmt.Errorf("%s is no alert in JSON: %w", file, err)
	}
	var alert event.Alert
	if err := event.Decode(raw, &alert); err != nil {
		return nil, nil, fmt.Errorf("%s is no alert: %w", file, err)
	}
	return &alert, raw, nil
}

func (a *app) printDecisions(decisions []containerguard.PolicyDecision) {
	list := rows{columns: []column{{"POLICY", 32}, {"APPLIES", 7}, {"ACTION", 14}, {"TARGET", 32}, {"OUTCOME", 8}, {"WHY", 120}}}
	for _, v := range decisions {
		applies := "no"
		if v.Applies {
			applies = "yes"
		}
		if len(v.Steps) == 0 {
			list.add(v.Policy, applies, "-", "-", "-", cmp.Or(v.Why, "-"))
		}
		for _, s := range v.Steps {
			list.add(v.Policy, applies, s.Kind, cmp.Or(s.Name, s.Target), s.Outcome, cmp.Or(s.Reason, "-"))
		}
	}
	if len(list.cells) == 0 {
		a.notef("there are no policies")
	}
	a.printTables(list)
}

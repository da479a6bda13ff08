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

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/services/containerguard"
	"github.com/ironpost/ironpost/services/containerguard/policy"
)

func (a *app) policiesCommand() *cobra.Command {
	return group("policies", "check policies, and try them on an alert", a.policiesLintCommand(), a.policiesTestCommand())
}

func (a *app) policiesLintCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "lint [file or folder]…",
		Short: "is every policy right",
		Long: `Reads policies as the guard does and names every mistake with file, line and column,
then what is allowed but odd. Without arguments it reads container.policy_path of the
configuration. Exits with 3 if there is a mistake.`,
		Example: `  ironpost policies lint
  ironpost policies lint ./policies && sudo cp policies/*.toml /etc/ironpost/policies/
  ironpost policies lint --json web.toml | jq '.problems'`,
		RunE: func(_ *cobra.Command, args []string) error { return a.policiesLint(args) },
	}
}

// linted is the --json of policies lint.
type linted struct {
	Valid    bool      `json:"valid"`
	Policies int       `json:"policies"`
	Files    int       `json:"files"`
	Problems []mistake `json:"problems"`
	Warnings []mistake `json:"warnings"`
}

type mistake struct {
	File   string `json:"file"`
	Line   int    `json:"line,omitempty"`
	Column int    `json:"column,omitempty"`
	Key    string `json:"key,omitempty"`
	What   string `json:"what"`
}

func mistakes(in []policy.Problem) []mistake {
	out := []mistake{}
	for _, p := range in {
		out = append(out, mistake{File: p.Position.File, Line: p.Position.Line, Column: p.Position.Column, Key: p.Key, What: p.What})
	}
	return out
}

func (a *app) policiesLint(paths []string) error {
	if len(paths) == 0 {
		cfg, _, err := a.load()
		if err != nil {
			return a.unreadable(err)
		}
		paths = []string{cfg.Container.PolicyPath}
	}
	result := linted{Valid: true, Problems: []mistake{}, Warnings: []mistake{}}
	for _, path := range paths {
		set, err := policy.Load(path)
		if bad, ok := errors.AsType[*policy.Error](err); ok {
			result.Valid = false
			result.Problems = append(result.Problems, mistakes(bad.Problems)...)
			continue
		}
		if err != nil {
			return err
		}
		result.Policies, result.Files = result.Policies+len(set.Policies), result.Files+set.Files
		result.Warnings = append(result.Warnings, mistakes(set.Warnings)...)
	}
	if a.json {
		if err := a.printJSON(result); err != nil {
			return err
		}
	} else {
		a.printLint(result)
	}
	if !result.Valid {
		return shown(exitConfig, "a policy is wrong")
	}
	return nil
}

func (a *app) printLint(r linted) {
	for _, m := range r.Problems {
		a.line(clean(m.text()))
	}
	for _, m := range r.Warnings {
		a.line("warning: " + clean(m.text()))
	}
	if r.Valid {
		a.line(fmt.Sprintf("valid: %d policies in %d files", r.Policies, r.Files))
	}
}

func (m mistake) text() string {
	return policy.Problem{Position: policy.Position{File: m.File, Line: m.Line, Column: m.Column}, Key: m.Key, What: m.What}.String()
}

// testFlags are those of policies test.
type testFlags struct {
	path string
	host string
	now  bool
}

func (a *app) policiesTestCommand() *cobra.Command {
	var f testFlags
	cmd := &cobra.Command{
		Use:   "test <alert.json>",
		Short: "what would be done about an alert",
		Long: `Asks the guard what its policies would do about an alert, a file in the form of
"ironpost alerts --json", or - for standard input: which policy applies, to which
container, and what stands against it. Nothing is done.

The alert is judged as at its own time; with --now as at this moment, when it may be too old.
With --path the policies there are tried without a daemon; then the container is taken to
be what the alert says.`,
		Example: `  ironpost alerts --json --limit 1 | ironpost policies test -
  ironpost policies test alert.json --path ./policies`,
		Args: oneArg,
		RunE: func(cmd *cobra.Command, args []string) error { return a.policiesTest(cmd, args[0], f) },
	}
	cmd.Flags().StringVar(&f.path, "path", "", "try the policies of this file or `folder`, without a daemon")
	cmd.Flags().StringVar(&f.host, "host", "", "ask the guard of this host (default: that of the daemon)")
	cmd.Flags().BoolVar(&f.now, "now", false, "judge the alert as at this moment")
	return cmd
}

func (a *app) policiesTest(cmd *cobra.Command, file string, f testFlags) error {
	alert, raw, err := readAlert(cmd.InOrStdin(), file)
	if err != nil {
		return err
	}
	at := time.Now()
	if !f.now {
		at = alert.Time
		if alert.LastSeen.After(at) {
			at = alert.LastSeen
		}
	}
	var verdicts []containerguard.PolicyDecision
	if f.path != "" {
		verdicts, err = a.rehearse(cmd.Context(), f.path, alert, at)
	} else {
		err = a.askGuard(cmd.Context(), f.host, containerguard.VerbTest, containerguard.TestRequest{Alert: raw, At: at}, &verdicts)
	}
	if err != nil {
		return err
	}
	if a.json {
		return a.printJSON(verdicts)
	}
	return a.printVerdicts(verdicts)
}

func (a *app) rehearse(ctx context.Context, path string, alert *event.Alert, at time.Time) ([]containerguard.PolicyDecision, error) {
	set, err := policy.Load(path)
	if bad, ok := errors.AsType[*policy.Error](err); ok {
		for _, p := range bad.Problems {
			a.line(clean(p.String()))
		}
		return nil, shown(exitConfig, "a policy is wrong")
	}
	if err != nil {
		return nil, err
	}
	cfg, _, err := a.load()
	if err != nil {
		return nil, a.unreadable(err)
	}
	return containerguard.DryRun(ctx, cfg.Container, set, alert, at), nil
}

// readAlert reads the first alert of a file, or of in for "-".
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

func (a *app) printVerdicts(verdicts []containerguard.PolicyDecision) error {
	var rows [][]string
	for _, v := range verdicts {
		word := "no"
		if v.Applies {
			word = "yes"
		}
		if len(v.Steps) == 0 {
			rows = append(rows, []string{v.Policy, word, "-", "-", "-", cmp.Or(v.Why, "-")})
		}
		for _, s := range v.Steps {
			rows = append(rows, []string{v.Policy, word, s.Kind, cmp.Or(s.Name, s.Target), s.Outcome, cmp.Or(s.Reason, "-")})
		}
	}
	if len(rows) == 0 {
		a.tell("there are no policies")
		return nil
	}
	return a.printTable([]column{{"POLICY", 32}, {"APPLIES", 7}, {"ACTION", 14}, {"TARGET", 32}, {"OUTCOME", 8}, {"WHY", 120}}, rows)
}

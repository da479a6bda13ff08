package main

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ironpost/ironpost/cmd/internal/suite"
	"github.com/ironpost/ironpost/internal/config"
	"github.com/ironpost/ironpost/internal/tomlfile"
	"github.com/ironpost/ironpost/services/containerguard/policy"
	"github.com/ironpost/ironpost/sigma"
)

func (a *app) configCommand() *cobra.Command {
	return group("config", "check and show the configuration", a.configValidateCommand(), a.configShowCommand())
}

func (a *app) configValidateCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "validate",
		Short: "check the configuration for mistakes",
		Long: `Reads the configuration file and the IRONPOST_* environment variables as the
daemon would and reports every mistake, as file:line:column: key: what is wrong
and what is allowed, or with the name of the variable. The files of the enabled
modules are checked, too: rules, log formats, feeds of addresses, policies, the
ignore file and the OpenVEX documents of the scanner; the keys with which others
join the bus; and, with general.strict_modes, that only root, you and the user
ironpost can change what the daemon trusts. Exits with 3 if there is a mistake.`,
		Example: `  ironpost config validate
  ironpost config validate -c ./ironpost.toml
  ironpost config validate --json | jq .problems`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return a.configValidate() },
	}
}

// validation is the --json of config validate.
type validation struct {
	Valid    bool      `json:"valid"`
	Path     string    `json:"path"`
	Found    bool      `json:"found"`
	Problems []problem `json:"problems"`
	Warnings []string  `json:"warnings"`
}

// problem is a mistake in a configuration or policy file, in JSON output.
type problem struct {
	File   string `json:"file,omitempty"`
	Line   int    `json:"line,omitempty"`
	Column int    `json:"column,omitempty"`
	Source string `json:"source,omitempty"`
	Key    string `json:"key,omitempty"`
	What   string `json:"what"`
}

func (a *app) configValidate() error {
	source := a.configSource()
	source.Trusted = suite.DaemonUsers()
	cfg, loaded, err := suite.Load(source)
	var invalid *config.Error
	if err != nil && !errors.As(err, &invalid) {
		return configError(err)
	}
	var mistakes []problem // in files that the configuration names, or that are read with it
	if invalid == nil {
		mistakes = append(fileMistakes(cfg), a.policyMistakes(cfg)...)
		refused, err := cfg.RefusedKeys()
		if err != nil {
			loaded.Warnings = append(loaded.Warnings, "the keys of the bus are not checked: "+err.Error())
		}
		for _, err := range refused {
			mistakes = append(mistakes, problem{Key: "bus", What: "a key that the daemon does not accept: " + clean(err.Error())})
		}
	}
	if a.json {
		v := newValidation(loaded, invalid)
		v.Valid = v.Valid && len(mistakes) == 0
		v.Problems = append(v.Problems, mistakes...)
		if err := a.printJSON(v); err != nil {
			return err
		}
	}
	if len(mistakes) > 0 {
		for _, m := range mistakes {
			if !a.json {
				a.printf("%s", m.What)
			}
		}
		return silentError(exitConfig, "a file that belongs to the configuration is invalid")
	}
	if invalid != nil {
		if !a.json {
			a.printf("%s", errorText(invalid))
		}
		return silentError(exitConfig, "the configuration is invalid")
	}
	if a.json {
		return nil
	}
	for _, w := range loaded.Warnings {
		a.notef("warning: %s", clean(w))
	}
	missing := ""
	if !loaded.Found {
		missing = " (no such file: defaults and environment variables)"
	}
	a.printf("valid: %s%s", clean(loaded.Path), missing)
	return nil
}

// fileMistakes returns the mistakes in rules, log formats, feeds and the exceptions of the scanner.
func fileMistakes(cfg suite.Config) []problem {
	var out []problem
	for _, m := range []suite.Module{suite.LogPipeline(), suite.EBPFEngine(), suite.SBOMScanner()} {
		for _, err := range suite.CheckFiles(cfg, []suite.Module{m}) {
			p := problem{Key: suite.SectionOf(m), What: cleanLines(err.Error())}
			if at, ok := errors.AsType[*sigma.ParseError](err); ok {
				p.File, p.Line, p.Column = at.File, at.Line, at.Column
			}
			if at, ok := errors.AsType[tomlfile.Problem](err); ok {
				p.File, p.Line, p.Column = at.Position.File, at.Position.Line, at.Position.Column
			}
			out = append(out, p)
		}
	}
	return out
}

// policyMistakes returns what is wrong with the policies of the guard, as "policies lint" does.
func (a *app) policyMistakes(cfg suite.Config) []problem {
	if !cfg.Container.Enabled {
		return nil
	}
	set, err := policy.Load(cfg.Container.PolicyPath)
	if invalid, ok := errors.AsType[*policy.Error](err); ok {
		return shownProblems(invalid.Problems)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil // the guard says so, and answers no alert
	}
	if err != nil {
		return []problem{{Key: "container.policy_path", What: clean(err.Error())}}
	}
	mistakes := set.Mistakes
	if unknown, _ := a.checkRules(cfg, set); !cfg.HasPlugins() { // which may have rules of their own
		mistakes = append(mistakes, unknown...)
	}
	return shownProblems(mistakes)
}

// shownProblems returns problems of policies whose texts say where they are.
func shownProblems(in []policy.Problem) []problem {
	out := policyProblems(in)
	for i, p := range in {
		out[i].What = clean(p.String())
	}
	return out
}

func newValidation(loaded *config.Loaded, invalid *config.Error) validation {
	v := validation{Valid: invalid == nil, Problems: []problem{}, Warnings: []string{}}
	if loaded != nil {
		v.Path, v.Found = loaded.Path, loaded.Found
		v.Warnings = append(v.Warnings, loaded.Warnings...)
	}
	if invalid != nil {
		for _, p := range invalid.Problems {
			v.Problems = append(v.Problems, problem{File: p.File, Line: p.At.Line, Column: p.At.Column, Source: p.Source, Key: p.Key, What: p.What})
		}
	}
	return v
}

// configError gives err, an invalid configuration or a file that cannot be read, its exit code, and adds what to do about it.
func configError(err error) error {
	if errors.Is(err, fs.ErrPermission) {
		err = fmt.Errorf("%w: only root may read the configuration; try sudo", err)
	}
	return &codedError{code: exitConfig, err: err}
}

func (a *app) configShowCommand() *cobra.Command {
	var section string
	cmd := &cobra.Command{
		Use:   "show",
		Short: "show every value and where it was set",
		Long: `Prints the effective configuration as TOML, with the origin of every value:
file and line, environment variable, or default. Secrets are masked.`,
		Example: `  ironpost config show
  ironpost config show --section bus
  ironpost config show --json | jq -r '.[] | select(.origin != "default").key'`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return a.configShow(section) },
	}
	cmd.Flags().StringVar(&section, "section", "", "only this section, such as bus or\nlog_pipeline.storage")
	a.completeFlagWith(cmd, "section", a.sections)
	return cmd
}

// shownValue is one element of the --json of config show.
type shownValue struct {
	Key      string `json:"key"`
	Value    any    `json:"value"`
	Origin   string `json:"origin"`
	Variable string `json:"variable"`
}

func (a *app) configShow(section string) error {
	_, loaded, err := a.loadConfig()
	if err != nil {
		return configError(err)
	}
	var values []config.Value
	var sections []string
	for _, v := range loaded.Values {
		if name, _ := splitKey(v.Key); len(sections) == 0 || sections[len(sections)-1] != name {
			sections = append(sections, name)
		}
		if section == "" || strings.HasPrefix(v.Key, section+".") {
			values = append(values, v)
		}
	}
	if len(values) == 0 {
		return usageError(fmt.Errorf("--section %q is none of %s", section, strings.Join(sections, ", ")))
	}
	if a.json {
		list := make([]shownValue, 0, len(values))
		for _, v := range values {
			list = append(list, shownValue{Key: v.Key, Value: v.Data, Origin: v.Origin.String(), Variable: v.Variable})
		}
		return a.printJSON(list)
	}
	last := ""
	for _, v := range values {
		name, key := splitKey(v.Key)
		if name != last {
			if last != "" {
				a.printf("")
			}
			a.printf("[%s]", name)
			last = name
		}
		a.printf("%-40s # %s", key+" = "+clean(v.Text), clean(v.Origin.String()))
	}
	return nil
}

// splitKey splits a dotted key into its section and its name.
func splitKey(key string) (section, name string) {
	i := strings.LastIndexByte(key, '.')
	if i < 0 {
		return "", key
	}
	return key[:i], key[i+1:]
}

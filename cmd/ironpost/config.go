package main

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ironpost/ironpost/internal/config"
)

func (a *app) configCommand() *cobra.Command {
	return group("config", "check and show the configuration", a.configValidateCommand(), a.configShowCommand())
}

func (a *app) configValidateCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "validate",
		Short: "check the file, the variables and every value",
		Long: `Reads the configuration as the daemon would, and names every mistake at once, each
as file:line:column: key: what is wrong and what is allowed, or with the name of
the variable. Exits with 3 if there is one.`,
		Example: `  ironpost config validate
  ironpost config validate -c ./ironpost.toml
  ironpost config validate --json | jq .problems`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return a.validate() },
	}
}

// verdict is the --json of config validate.
type verdict struct {
	Valid    bool      `json:"valid"`
	Path     string    `json:"path"`
	Found    bool      `json:"found"`
	Problems []problem `json:"problems"`
	Warnings []string  `json:"warnings"`
}

type problem struct {
	File   string `json:"file,omitempty"`
	Line   int    `json:"line,omitempty"`
	Column int    `json:"column,omitempty"`
	Source string `json:"source,omitempty"`
	Key    string `json:"key,omitempty"`
	What   string `json:"what"`
}

func (a *app) validate() error {
	_, loaded, err := a.load()
	var bad *config.Error
	if err != nil && !errors.As(err, &bad) {
		return a.unreadable(err)
	}
	if a.json {
		return a.validateJSON(loaded, bad)
	}
	if bad != nil {
		a.line(words(bad))
		return shown(exitConfig, "the configuration is invalid")
	}
	for _, w := range loaded.Warnings {
		a.tell("warning: " + clean(w))
	}
	where := clean(loaded.Path)
	if !loaded.Found {
		where += " (not there: defaults and variables)"
	}
	a.line("valid: " + where)
	return nil
}

func (a *app) validateJSON(loaded *config.Loaded, bad *config.Error) error {
	v := verdict{Valid: bad == nil, Problems: []problem{}, Warnings: []string{}}
	if loaded != nil {
		v.Path, v.Found = loaded.Path, loaded.Found
		v.Warnings = append(v.Warnings, loaded.Warnings...)
	}
	if bad != nil {
		for _, p := range bad.Problems {
			v.Problems = append(v.Problems, problem{File: p.File, Line: p.At.Line, Column: p.At.Column, Source: p.Source, Key: p.Key, What: p.What})
		}
	}
	if err := a.printJSON(v); err != nil || v.Valid {
		return err
	}
	return shown(exitConfig, "the configuration is invalid")
}

// unreadable adds what a person can do about a file that cannot be read.
func (a *app) unreadable(err error) error {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: the configuration may be read by root only; try sudo", err)
	case errors.Is(err, fs.ErrNotExist):
		return &codedError{code: exitConfig, err: err}
	}
	return err
}

func (a *app) configShowCommand() *cobra.Command {
	var section string
	cmd := &cobra.Command{
		Use:   "show",
		Short: "show every value and where it was set",
		Long: `Prints the configuration in force, as TOML, with the origin of each value: the file
and line, the variable, or default. Secrets are not shown.`,
		Example: `  ironpost config show
  ironpost config show --section bus
  ironpost config show --json | jq -r '.[] | select(.origin != "default") | .key'`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return a.show(section) },
	}
	cmd.Flags().StringVar(&section, "section", "", "only this section, such as bus or log_pipeline.storage")
	return cmd
}

// shownValue is one element of the --json of config show.
type shownValue struct {
	Key      string `json:"key"`
	Value    any    `json:"value"`
	Origin   string `json:"origin"`
	Variable string `json:"variable"`
}

func (a *app) show(section string) error {
	_, loaded, err := a.load()
	if err != nil {
		return a.unreadable(err)
	}
	values := within(loaded.Values, section)
	if len(values) == 0 {
		return usage(fmt.Errorf("--section %q is none of %s", section, strings.Join(sections(loaded.Values), ", ")))
	}
	if a.json {
		list := make([]shownValue, 0, len(values))
		for _, v := range values {
			list = append(list, shownValue{Key: v.Key, Value: v.Data, Origin: v.Origin.String(), Variable: v.Variable})
		}
		return a.printJSON(list)
	}
	a.showTOML(values)
	return nil
}

func (a *app) showTOML(values []config.Value) {
	last := ""
	for _, v := range values {
		section, key := split(v.Key)
		if section != last {
			if last != "" {
				a.line("")
			}
			a.line("[" + section + "]")
			last = section
		}
		a.line(fmt.Sprintf("%-40s # %s", key+" = "+clean(v.Text), clean(v.Origin.String())))
	}
}

// within returns the values of section and the sections below it; all for "".
func within(values []config.Value, section string) []config.Value {
	var out []config.Value
	for _, v := range values {
		if section == "" || strings.HasPrefix(v.Key, section+".") {
			out = append(out, v)
		}
	}
	return out
}

func sections(values []config.Value) []string {
	var names []string
	for _, v := range values {
		if section, _ := split(v.Key); len(names) == 0 || names[len(names)-1] != section {
			names = append(names, section)
		}
	}
	return names
}

// split parts a dotted key into its section and its name.
func split(key string) (section, name string) {
	i := strings.LastIndexByte(key, '.')
	if i < 0 {
		return "", key
	}
	return key[:i], key[i+1:]
}

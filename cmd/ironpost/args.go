package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// aCommand refuses what is none of cmd's commands, and says what may be meant.
func aCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	const near = 2 // letters that differ
	cmd.SuggestionsMinimumDistance = near
	err := fmt.Errorf("unknown command %q for %q", args[0], cmd.CommandPath())
	if likely := cmd.SuggestionsFor(args[0]); len(likely) > 0 {
		err = fmt.Errorf("%w: did you mean %s?", err, strings.Join(likely, " or "))
	}
	return err
}

// oneArg refuses more and less than one argument.
func oneArg(cmd *cobra.Command, args []string) error {
	if len(args) == 1 {
		return nil
	}
	return fmt.Errorf("one argument is needed, %d were given: %s", len(args), cmd.UseLine())
}

// someArgs refuses no arguments.
func someArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return nil
	}
	return fmt.Errorf("an argument is needed: %s", cmd.UseLine())
}

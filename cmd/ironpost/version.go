package main

import (
	"runtime"

	"github.com/spf13/cobra"

	"github.com/ironpost/ironpost/cmd/internal/suite"
)

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "print the version",
		Example: "  ironpost version\n  ironpost version --json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			v := struct {
				Version string `json:"version"`
				Go      string `json:"go"`
				OS      string `json:"os"`
				Arch    string `json:"arch"`
			}{suite.Version(), runtime.Version(), runtime.GOOS, runtime.GOARCH}
			if a.json {
				return a.printJSON(v)
			}
			a.printf("ironpost %s (%s %s/%s)", v.Version, v.Go, v.OS, v.Arch)
			return nil
		},
	}
}

package main

import (
	"runtime"

	"github.com/spf13/cobra"

	"github.com/ironpost/ironpost/cmd/internal/suite"
)

// programVersion is the --json of version.
type programVersion struct {
	Version  string `json:"version"`
	Revision string `json:"revision"` // commit of the source; empty if the build did not know it
	Go       string `json:"go"`
	OS       string `json:"os"`
	Arch     string `json:"arch"`
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "print the version",
		Example: "  ironpost version\n  ironpost version --json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			build := suite.Build()
			v := programVersion{build.Version, build.Revision, build.GoVersion, runtime.GOOS, runtime.GOARCH}
			if a.json {
				return a.printJSON(v)
			}
			a.printf("ironpost %s (%s %s/%s)", v.Version, v.Go, v.OS, v.Arch)
			return nil
		},
	}
}

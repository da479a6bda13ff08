package main

import (
	"flag"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/cmd/internal/manual"
	"github.com/ironpost/ironpost/internal/testenv"
)

var manualDir = flag.String("man", "", "write the manual pages into this `folder` (make packages)")

// Every command has a page, which the checker of mandoc has nothing to say about.
func TestManualPages(t *testing.T) {
	dir := *manualDir
	if dir == "" {
		dir = t.TempDir()
	}
	root := (&app{out: &output{w: io.Discard}, err: io.Discard}).rootCommand()
	root.InitDefaultCompletionCmd()
	var pages []string
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		see := []string{"ironpost-daemon(8)"}
		if cmd.HasParent() {
			see = []string{manual.Name(cmd.Parent()) + "(1)"}
		}
		page := filepath.Join(dir, manual.Name(cmd)+".1")
		require.NoError(t, os.WriteFile(page, []byte(manual.Page(cmd, "1", see)), 0o644))
		pages = append(pages, page)
		for _, sub := range cmd.Commands() {
			if sub.IsAvailableCommand() {
				walk(sub)
			}
		}
	}
	walk(root)
	require.Greater(t, len(pages), 40)
	testenv.ManualPagesAreClean(t, pages...)
}

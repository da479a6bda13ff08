package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"
)

var (
	// called matches a call of this command, inCode the code in a Markdown document.
	called = regexp.MustCompile("\\bironpost((?: +[^\\s|&;()<>#`\"]+)+)")
	inCode = regexp.MustCompile("(?s)```.*?```|`[^`\n]+`")
)

// calls returns the commands that text calls: command path → arguments of each call.
func calls(text string) map[string][][]string {
	root := (&app{}).rootCommand()
	found := map[string][][]string{}
	for _, m := range called.FindAllStringSubmatch(text, -1) {
		words := strings.Fields(m[1])
		cmd, rest, err := root.Find(words)
		if err == nil && cmd != root {
			found[cmd.CommandPath()] = append(found[cmd.CommandPath()], rest)
		}
	}
	return found
}

// Every command in the documents exists, has the flags used, and is run by a script.
func TestDocumentedCommandsAreRunByScripts(t *testing.T) {
	t.Parallel()
	scripts := calls(read(t, "testdata/script/*.txtar"))
	documented := calls(strings.Join(inCode.FindAllString(read(t, "../../README.md", "../../docs/*.md"), -1), "\n"))
	require.Greater(t, len(documented), 8, "the documents are read")
	root := (&app{}).rootCommand()
	for path, uses := range documented {
		require.Contains(t, scripts, path, "documented, but run by no script")
		for _, words := range uses {
			cmd, _, err := root.Find(strings.Fields(path)[1:])
			require.NoError(t, err)
			for _, name := range flagsOf(words) {
				require.True(t, hasFlag(cmd, name), "%s has no %s", path, name)
			}
		}
	}
}

func flagsOf(words []string) []string {
	var flags []string
	for _, w := range words {
		if name, _, _ := strings.Cut(w, "="); strings.HasPrefix(name, "-") && name != "-" {
			flags = append(flags, name)
		}
	}
	return flags
}

func hasFlag(cmd *cobra.Command, name string) bool {
	if short, ok := strings.CutPrefix(name, "-"); ok && len(short) == 1 {
		return cmd.Flags().ShorthandLookup(short) != nil || cmd.InheritedFlags().ShorthandLookup(short) != nil
	}
	return cmd.Flag(strings.TrimPrefix(name, "--")) != nil
}

// read returns the joined text of all files that match.
func read(t *testing.T, patterns ...string) string {
	t.Helper()
	var all strings.Builder
	for _, pattern := range patterns {
		files, err := filepath.Glob(pattern)
		require.NoError(t, err)
		require.NotEmpty(t, files, pattern)
		for _, name := range files {
			text, err := os.ReadFile(name)
			require.NoError(t, err)
			all.Write(text)
			all.WriteByte('\n')
		}
	}
	return all.String()
}

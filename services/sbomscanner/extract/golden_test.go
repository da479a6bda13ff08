package extract_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/services/sbomscanner/extract"
	"github.com/ironpost/ironpost/services/sbomscanner/inventory"
)

var update = flag.Bool("update", false, "write the golden file anew") //nolint:gochecknoglobals // a flag

// TestGoldenPackages reads a real file of every package manager and compares all packages with a list.
func TestGoldenPackages(t *testing.T) {
	t.Parallel()
	const golden = "testdata/packages.txt"
	folders, err := filepath.Glob("testdata/files/*")
	require.NoError(t, err)
	require.Greater(t, len(folders), 30)
	var text strings.Builder
	for _, folder := range folders {
		found := scan(t, extract.Options{NoGitignore: true}, folder)
		require.True(t, found.Complete(), "%s: %v", folder, found.Problems)
		require.NotEmpty(t, found.Packages, folder)
		fmt.Fprintf(&text, "%s\n", filepath.Base(folder))
		for _, p := range found.Packages {
			fmt.Fprintf(&text, "\t%s %s%s %v %d\n", p.PURL, p.Ecosystem, source(p), p.Groups, len(p.DependsOn))
			read, err := inventory.FromPURL(p.PURL)
			require.NoError(t, err)
			require.Equal(t, p.PURL, read.PURL, "the URL is canonical")
		}
	}
	if *update {
		require.NoError(t, os.WriteFile(golden, []byte(text.String()), 0o600))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	require.Equal(t, string(want), text.String())
}

func source(p inventory.Package) string {
	if p.AdvisoryName == "" {
		return ""
	}
	return "(" + p.AdvisoryName + ")"
}

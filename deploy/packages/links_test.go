package packages_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

var link = regexp.MustCompile(`\]\(([^)#\s]+)(#[^)\s]*)?\)`)

// Every link of a packaged document to another file leads to a file or a folder in the package, as in the repository.
func TestLinksOfPackagedDocumentsLeadSomewhere(t *testing.T) {
	t.Chdir("../..")
	text, err := os.ReadFile("deploy/packages/ironpost.yaml")
	require.NoError(t, err)
	var config struct {
		Contents []struct{ Src, Dst string }
	}
	require.NoError(t, yaml.Unmarshal(text, &config))
	packaged, documents := map[string]bool{}, map[string]string{} // by path in the package
	for _, c := range config.Contents {
		sources, err := filepath.Glob(c.Src)
		require.NoError(t, err)
		for _, src := range sources {
			dst := c.Dst
			if strings.HasSuffix(dst, "/") {
				dst += filepath.Base(src)
			}
			if strings.HasSuffix(src, ".md") {
				documents[dst] = src
			}
			for path := dst; path != "/"; path = filepath.Dir(path) {
				packaged[path] = true
			}
		}
	}
	links := 0
	for dst, src := range documents {
		text, err := os.ReadFile(src)
		require.NoError(t, err)
		for _, found := range link.FindAllStringSubmatch(string(text), -1) {
			if strings.Contains(found[1], "://") {
				continue
			}
			links++
			require.True(t, packaged[filepath.Join(filepath.Dir(dst), found[1])], "%s, as %s: nothing is packaged at %s", src, dst, found[1])
			_, err := os.Stat(filepath.Join(filepath.Dir(src), found[1]))
			require.NoError(t, err, src)
		}
	}
	require.Greater(t, links, 50)
}

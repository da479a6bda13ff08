package event_test

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

// goldenBlock is a marker naming a golden file and the code block after it.
var goldenBlock = regexp.MustCompile("(?s)<!-- golden: ([a-z_]+) -->\n```json\n.*?```")

func TestDocumentationShowsTheGoldenForms(t *testing.T) {
	const path = "../docs/events.md"
	page, err := os.ReadFile(path)
	require.NoError(t, err)
	shown := map[string]bool{}
	want := goldenBlock.ReplaceAllFunc(page, func(block []byte) []byte {
		name := string(goldenBlock.FindSubmatch(block)[1])
		shown[name] = true
		b, err := os.ReadFile(filepath.Join("testdata", name+".json"))
		require.NoError(t, err)
		return []byte("<!-- golden: " + name + " -->\n```json\n" + string(b) + "```")
	})
	if *update {
		require.NoError(t, os.WriteFile(path, want, 0o600))
		page = want
	}
	require.Equal(t, string(want), string(page), "run: go test ./event -update")
	for name := range golden() {
		require.True(t, shown[name], "docs/events.md does not show %s", name)
	}
}

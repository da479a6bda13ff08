package testenv

import (
	"os"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

// Documented returns the commands that docs/operations.md has under a title. The working directory must be two folders below that of the
// module, as it is in a test of a package there.
func Documented(t testing.TB, title string) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/operations.md")
	require.NoError(t, err)
	found := regexp.MustCompile("(?s)<!-- " + title + " -->\n```sh\n(.*?)```").FindSubmatch(text)
	require.NotNil(t, found, title)
	return string(found[1])
}

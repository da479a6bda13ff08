package testenv

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// ManualPagesAreClean fails t if mandoc warns of anything in the pages but that they have no date: they are made at each build.
func ManualPagesAreClean(t testing.TB, pages ...string) {
	t.Helper()
	_, err := exec.LookPath("mandoc")
	Require(t, "mandoc", err)
	out, err := exec.CommandContext(t.Context(), "mandoc", append([]string{"-T", "lint", "-W", "warning"}, pages...)...).CombinedOutput()
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	undated := func(line string) bool { return strings.Contains(line, "missing date") }
	require.Len(t, slices.DeleteFunc(slices.Clone(lines), func(l string) bool { return !undated(l) }), len(pages), "each page is checked: %v", err)
	require.Empty(t, slices.DeleteFunc(lines, undated))
}

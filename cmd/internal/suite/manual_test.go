package suite_test

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/cmd/internal/manual"
	"github.com/ironpost/ironpost/cmd/internal/suite"
	"github.com/ironpost/ironpost/internal/testenv"
)

var manualDir = flag.String("man", "", "write the manual pages into this `folder` (make packages)")

// Every program has a page, which the checker of mandoc has nothing to say about.
func TestManualPages(t *testing.T) {
	t.Parallel()
	dir := *manualDir
	if dir == "" {
		dir = t.TempDir()
	}
	programs := []suite.Program{suite.Daemon()}
	for _, m := range suite.Modules() {
		programs = append(programs, suite.Single(m))
	}
	require.Len(t, programs, 6)
	var pages []string
	for _, p := range programs {
		cmd := p.Command()
		page := filepath.Join(dir, manual.Name(cmd)+".8")
		require.NoError(t, os.WriteFile(page, []byte(manual.Page(cmd, "8", []string{"ironpost(1)"})), 0o644))
		pages = append(pages, page)
	}
	testenv.ManualPagesAreClean(t, pages...)
}

package document_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/internal/testenv"
	"github.com/ironpost/ironpost/services/sbomscanner/document"
	"github.com/ironpost/ironpost/services/sbomscanner/extract"
	"github.com/ironpost/ironpost/services/sbomscanner/extract/bom"
	"github.com/ironpost/ironpost/services/sbomscanner/inventory"
)

// The documents of real projects are valid, the same on a second scan, and hold every package for other readers.
func TestDocumentsOfRealProjects(t *testing.T) {
	t.Parallel()
	compiled := schemas(t)
	projects, err := os.ReadDir(testenv.Data(t, "manifests"))
	require.NoError(t, err)
	for _, project := range projects {
		t.Run(project.Name(), func(t *testing.T) {
			t.Parallel()
			dir := testenv.Data(t, filepath.Join("manifests", project.Name()))
			scanner, err := extract.New(extract.Options{})
			require.NoError(t, err)
			inv, err := scanner.Directory(t.Context(), dir)
			require.NoError(t, err)
			again, err := scanner.Directory(t.Context(), dir)
			require.NoError(t, err)
			require.NotEmpty(t, inv.Packages)
			require.False(t, inv.Time.IsZero())
			for _, f := range formats() {
				raw := encode(t, compiled[f], f, inv, document.Options{})
				second, err := document.Encode(f, again, document.Options{})
				require.NoError(t, err)
				require.True(t, bytes.Equal(raw, second), "a second scan gives another document")
				require.Equal(t, purls(t, inv), readBack(t, f, raw))
				own, err := bom.Read(raw)
				require.NoError(t, err)
				require.Zero(t, own.Unnamed, "our own reader finds every package URL")
				require.Len(t, own.Packages, len(inv.Packages))
				require.Equal(t, edges(inv), edges(&inventory.Inventory{Packages: own.Packages}), "dependencies")
				t.Logf("%s: %d packages, %d dependencies, %d bytes", f, len(inv.Packages), edges(inv), len(raw))
			}
		})
	}
}

// edges counts the dependencies between packages.
func edges(inv *inventory.Inventory) int {
	n := 0
	for _, p := range inv.Packages {
		n += len(p.DependsOn)
	}
	return n
}

package advisory_test

import (
	"archive/zip"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/internal/testenv"
	"github.com/ironpost/ironpost/services/sbomscanner/advisory"
)

// TestRealAdvisories imports what OSV has of three ecosystems, and CISA's catalog: every record of the archives is found again.
func TestRealAdvisories(t *testing.T) {
	t.Parallel()
	source, dir := testenv.Data(t, "osv"), t.TempDir()
	report, err := advisory.Import(t.Context(), dir, source, advisory.Options{})
	require.NoError(t, err)
	require.Len(t, report.Imported, 3)
	kev, err := advisory.Import(t.Context(), dir, testenv.Data(t, "kev/known_exploited_vulnerabilities.json"), advisory.Options{})
	require.NoError(t, err)
	require.Equal(t, 1404, kev.KEV.Records)
	require.NotEqual(t, report.ID, kev.ID)

	store := open(t, dir)
	require.Equal(t, kev.ID, store.Status().ID)
	for ecosystem, want := range map[string]int{"Go": 4291, "PyPI": 2661, "crates.io": 1206} {
		coverage, ok := store.Coverage(ecosystem)
		require.True(t, ok)
		require.Equal(t, want, coverage.Records, "%v", coverage.Examples)
		require.Empty(t, coverage.Refused)
		for _, id := range idsIn(t, filepath.Join(source, ecosystem, "all.zip")) {
			found, err := store.ByID(id)
			require.NoError(t, err)
			require.Equal(t, id, found[0].ID)
			for _, affected := range found[0].Affected {
				byName, err := store.Lookup(ecosystem, affected.Name)
				require.NoError(t, err)
				require.NotEmpty(t, byName, "%s %s", id, affected.Name)
			}
		}
	}
	entry, ok, err := store.KEV("CVE-2025-48384")
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, advisory.KEV{
		CVE: "CVE-2025-48384", Name: "Git Link Following Vulnerability", Added: "2025-08-25", Due: "2025-09-15",
	}, entry)
}

func idsIn(t *testing.T, path string) []string {
	t.Helper()
	archive, err := zip.OpenReader(path)
	require.NoError(t, err)
	defer func() { require.NoError(t, archive.Close()) }()
	var ids []string
	for _, f := range archive.File {
		ids = append(ids, f.Name[:len(f.Name)-len(".json")])
	}
	return ids
}

func TestWithoutDatabaseNothingIsAssessed(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "none")
	store := open(t, dir)
	require.True(t, store.Empty())
	_, ok := store.Coverage("npm")
	require.False(t, ok)
	_, err := store.Lookup("npm", "lodash")
	require.ErrorIs(t, err, advisory.ErrNotCovered)
	_, err = os.Stat(dir)
	require.ErrorIs(t, err, os.ErrNotExist)
	changed, err := store.Changed()
	require.NoError(t, err)
	require.False(t, changed)
}

func open(t *testing.T, dir string) *advisory.Store {
	t.Helper()
	store, err := advisory.Open(dir)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	return store
}

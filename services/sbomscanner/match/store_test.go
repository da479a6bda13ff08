package match_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/services/sbomscanner/advisory"
	"github.com/ironpost/ironpost/services/sbomscanner/inventory"
	"github.com/ironpost/ironpost/services/sbomscanner/match"
)

// open imports records, with CVE-2021-0001 as one that is known to be exploited.
func open(t testing.TB, records ...string) *advisory.Store {
	t.Helper()
	dir, source := t.TempDir(), t.TempDir()
	for i, r := range records {
		require.True(t, json.Valid([]byte(r)), r)
		require.NoError(t, os.WriteFile(filepath.Join(source, fmt.Sprintf("%d.json", i)), []byte(r), 0o600))
	}
	feeds := map[string]string{
		"known_exploited_vulnerabilities.json": `{"vulnerabilities":[{"cveID":"CVE-2021-0001"}]}`,
		"epss_scores-2021-01-01.csv":           "cve,epss,percentile\nCVE-2021-0001,0.93,0.99\n",
	}
	for name, content := range feeds {
		require.NoError(t, os.WriteFile(filepath.Join(source, name), []byte(content), 0o600))
	}
	_, err := advisory.Import(t.Context(), dir, source, advisory.Options{})
	require.NoError(t, err)
	return openStore(t, dir)
}

func openStore(t testing.TB, dir string) *advisory.Store {
	t.Helper()
	store, err := advisory.Open(dir)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	return store
}

func run(t testing.TB, store *advisory.Store, packages ...inventory.Package) *match.Result {
	t.Helper()
	r, err := match.New(store, match.Options{}).Match(t.Context(), &inventory.Inventory{Packages: packages})
	require.NoError(t, err)
	return r
}

package finding_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/services/sbomscanner/finding"
	"github.com/ironpost/ironpost/services/sbomscanner/inventory"
)

func TestInventoriesAreKept(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "inventories")
	s, problems, err := finding.OpenInventories(dir)
	require.NoError(t, err)
	require.Empty(t, problems)
	inv := &inventory.Inventory{Asset: asset, Packages: []inventory.Package{
		{PURL: "pkg:npm/a@1", Name: "a", Version: "1", Ecosystem: "npm", Locations: []string{"package-lock.json"}, DependsOn: []string{"pkg:npm/b@1"}},
	}}
	for _, want := range []bool{true, false} {
		changed, err := s.Put(inv)
		require.NoError(t, err)
		require.Equal(t, want, changed)
	}
	require.NoError(t, s.Close())

	s, problems, err = finding.OpenInventories(dir)
	require.NoError(t, err)
	require.Empty(t, problems)
	require.Equal(t, 1, s.Packages())
	changed, err := s.Put(inv)
	require.NoError(t, err)
	require.False(t, changed)
	require.Nil(t, s.Get(asset.Key()).Packages[0].DependsOn)
	full, err := s.Full(asset.Key())
	require.NoError(t, err)
	require.Equal(t, inv, full)
	require.NoError(t, s.Close())

	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	require.NoError(t, err)
	require.Len(t, files, 1)
	require.NoError(t, os.WriteFile(files[0], []byte(`{"version":2}`), 0o600))
	s, problems, err = finding.OpenInventories(dir)
	require.NoError(t, err)
	require.Len(t, problems, 1)
	require.Empty(t, s.Keys())
	require.NoError(t, s.Close())
}

func FuzzDecodeInventory(f *testing.F) {
	f.Add([]byte(`{"version":1,"asset":{"kind":"directory","name":"/a"},"packages":[{"purl":"pkg:npm/a@1"}]}`))
	f.Add([]byte(`{"version":1,"Inventory":null}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if inv, err := finding.DecodeInventory(data); err == nil {
			require.NotEmpty(t, inv.Asset.Key())
		}
	})
}

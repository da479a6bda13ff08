package match_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/internal/testenv"
	"github.com/ironpost/ironpost/services/sbomscanner/advisory"
	"github.com/ironpost/ironpost/services/sbomscanner/extract"
	"github.com/ironpost/ironpost/services/sbomscanner/match"
)

// Real manifests against real advisories; the time for 5,500 packages is to stay below 30 ms.
func BenchmarkMatch(b *testing.B) {
	manifests, advisories, dir := testenv.Data(b, "manifests"), testenv.Data(b, "osv"), b.TempDir()
	_, err := advisory.Import(b.Context(), dir, advisories, advisory.Options{})
	require.NoError(b, err)
	extractor, err := extract.New(extract.Options{})
	require.NoError(b, err)
	inv, err := extractor.Directory(b.Context(), manifests)
	require.NoError(b, err)
	m := match.New(openStore(b, dir), match.Options{})
	for b.Loop() {
		_, err := m.Match(b.Context(), inv)
		require.NoError(b, err)
	}
	perPackage := float64(b.Elapsed().Nanoseconds()) / float64(b.N) / float64(len(inv.Packages))
	b.ReportMetric(perPackage*5500/1e6, "ms/5500_packages")
}

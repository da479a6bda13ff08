package extract_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/internal/testenv"
	"github.com/ironpost/ironpost/services/sbomscanner/extract"
)

// lockTree writes 200 lock files with 10,000 packages between 2,000 other files.
func lockTree(b *testing.B) string {
	b.Helper()
	dir := b.TempDir()
	for i := range 200 {
		folder := filepath.Join(dir, fmt.Sprint(i%20), fmt.Sprint(i))
		require.NoError(b, os.MkdirAll(folder, 0o700))
		var lock strings.Builder
		for n := range 50 {
			fmt.Fprintf(&lock, ",\n\"node_modules/p%d\": {\"version\": \"1.%d.0\", \"dependencies\": {\"p%d\": \"*\"}}", n, i, n+1)
		}
		require.NoError(b, os.WriteFile(filepath.Join(folder, "package-lock.json"), []byte(`{"packages": {"": {}`+lock.String()+"}}"), 0o600))
		for n := range 10 {
			require.NoError(b, os.WriteFile(filepath.Join(folder, fmt.Sprintf("%d.go", n)), nil, 0o600))
		}
	}
	return dir
}

// BenchmarkDirectory compares a full scan of a tree with one in which nothing has changed: the ratio is reported.
func BenchmarkDirectory(b *testing.B) { compare(b, lockTree(b)) }

// BenchmarkManifests does the same with the manifests of the data folder, where the second scan may take 50 ms.
func BenchmarkManifests(b *testing.B) { compare(b, testenv.Data(b, "manifests")) }

func compare(b *testing.B, dir string) {
	b.Helper()
	cache := extract.NewCache()
	e, err := extract.New(extract.Options{Cache: cache})
	require.NoError(b, err)
	e.Settle(0)
	measured := func(e *extract.Extractor) time.Duration {
		began := time.Now()
		_, err := e.Directory(b.Context(), dir)
		require.NoError(b, err)
		return time.Since(began)
	}
	full, err := extract.New(extract.Options{})
	require.NoError(b, err)
	measured(e)
	var first, again time.Duration
	for b.Loop() {
		first += measured(full)
		again += measured(e)
	}
	b.ReportMetric(float64(first)/float64(again), "full/unchanged")
	b.ReportMetric(float64(again)/float64(b.N)/1e6, "unchanged-ms")
	b.ReportMetric(float64(first)/float64(b.N)/1e6, "full-ms")
}

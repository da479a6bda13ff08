package audit_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/services/actioncollector/audit"
)

func BenchmarkAppend(b *testing.B) {
	trail := open(b, audit.Config{Dir: b.TempDir()})
	n := 0
	for b.Loop() {
		n++
		_, err := trail.Append(entry(n))
		require.NoError(b, err)
	}
}

func BenchmarkVerify(b *testing.B) {
	dir := b.TempDir()
	trail := open(b, audit.Config{Dir: dir})
	for i := range 100 {
		batch := make([]audit.Entry, 1000)
		for j := range batch {
			batch[j] = entry(1000*i + j + 1)
		}
		_, err := trail.Append(batch...)
		require.NoError(b, err)
	}
	info, err := os.Stat(filepath.Join(dir, "audit.log"))
	require.NoError(b, err)
	b.SetBytes(info.Size())
	for b.Loop() {
		_, err := audit.Verify(b.Context(), dir, nil)
		require.NoError(b, err)
	}
}
